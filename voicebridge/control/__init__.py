"""The daemon's own socket: how it stands, what happens in its calls, and what an administrator asks of it."""
