"""Where a caller can be sent, and how: named targets, who is there now, and what the human is told."""
