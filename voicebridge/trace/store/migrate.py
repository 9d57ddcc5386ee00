"""Bringing a database to the tables of this version: at each start, by one process at a time."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from voicebridge.trace.store.database import NewerStoreError, StoreError, within

log = logging.getLogger(__name__)

HEAD = "0001"
MIGRATE_S = 600.0
LOCK_S = 60.0
LOCK_EVERY_S = 0.1
LOCK = 0x766F6963  # "voic": advisory locks of PostgreSQL are numbers


def revision(connection: Connection) -> str:
    """Of the database's tables; "" where there are none of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def migrate(engine: Engine) -> bool:
    """Whether anything was to be done. Raises NewerStoreError, StoreError, sqlalchemy.exc.DBAPIError."""
    with engine.connect() as connection, within(connection, MIGRATE_S), connection.begin():
        _only_one(connection)
        found = revision(connection)
        if found == HEAD:
            return False
        _upgrade(connection, found)
    log.info("store: tables brought from %s to %s", found or "nothing", HEAD)
    return True


def _only_one(connection: Connection) -> None:
    """SQLite's transaction is the lock; on PostgreSQL one that ends with the transaction, or with us."""
    if connection.dialect.name != "postgresql":
        return
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    until = time.monotonic() + LOCK_S
    while not connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": LOCK}).scalar():
        if time.monotonic() > until:
            raise StoreError(f"another voicebridge has been changing the database's tables for {LOCK_S:.0f} s: wait")
        time.sleep(LOCK_EVERY_S)


def _upgrade(connection: Connection, found: str) -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command  # half as heavy as SQLAlchemy, and needed once
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found and found not in known:
        raise NewerStoreError(
            f"the store's tables are of version {found}, this voicebridge knows them up to {HEAD}: run the later "
            "voicebridge, or restore the database as it was before"
        )
    command.upgrade(config, "head")
