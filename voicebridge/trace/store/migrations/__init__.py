"""Changes of the tables, one file a change, in the order of their numbers. Never edit one that was released.

A new one is a file in `versions/` with the next number, tried on SQLite and PostgreSQL by tests/trace/store; set
`migrate.HEAD` to it.
"""
