"""Tools that look things up and write them down in a database: `[tools.sql]` of voicebridge.toml.

The README tells how they are configured; `settings` names every key.
"""

from voicebridge_sql.toolbox import SQL

__all__ = ["SQL"]
