"""The review of a week as people read it: one content (`content`), as Markdown (`markdown`) and as a page (`page`)."""
