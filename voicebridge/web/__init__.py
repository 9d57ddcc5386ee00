"""The dashboard: a process of its own that reads the store and the daemon's socket. Nothing in a call knows of it."""
