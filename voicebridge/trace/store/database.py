"""The database behind the store: SQLite in the store's folder, or the PostgreSQL of `[store] url`.

A server that is frozen keeps its sockets open and answers nothing, and neither its own statement timeout nor TCP's ends
that: `within` closes the socket from our side when the time is over.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from voicebridge.trace.store.owner import handed_over

FILE = "calls.db"
APPLICATION = "voicebridge"
BUSY_S = 5.0
"""How long SQLite waits for another process that writes."""
CONNECT_S = 3
STATEMENT_S = 5.0


class StoreError(Exception):
    """The store cannot be used as it is; the text names the cause and the cure."""


class NewerStoreError(StoreError):
    """The database was migrated by a later voicebridge."""


class NoStoreError(StoreError):
    """There is no store yet."""


class DamagedRecordError(StoreError):
    """What is kept of a call is no record."""


def address(folder: Path, url: str) -> URL:
    """Of the database: `url`, or SQLite in the folder where that is "". Raises StoreError."""
    if not url:
        return URL.create("sqlite+pysqlite", database=str(folder / FILE))
    try:
        made = make_url(url)
    except (ArgumentError, ValueError):  # the latter of a port
        raise StoreError(
            "not a database's address: write postgresql://user@host/database, or leave it out"
        ) from None
    if made.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return made.set(drivername="postgresql+psycopg")
    if made.drivername in ("sqlite", "sqlite+pysqlite"):
        return made.set(drivername="sqlite+pysqlite")
    raise StoreError(f"{made.drivername} is not supported: write postgresql://user@host/database")


def is_sqlite(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"


def shown(url: URL) -> str:
    """For messages: a file's path, or the address without its password."""
    return str(url.database) if is_sqlite(url) else url.render_as_string(hide_password=True)


def writing(url: URL, *, statement_s: float = STATEMENT_S) -> Engine:
    """For one writer. Raises StoreError where the driver is missing. Connections are made when they are needed."""
    return _sqlite_writing(url) if is_sqlite(url) else _postgresql(url, statement_s, read_only=False)


def reading(url: URL, *, statement_s: float = 30.0) -> Engine:
    """For other processes; changes nothing, not even by mistake."""
    return _sqlite_reading(url) if is_sqlite(url) else _postgresql(url, statement_s, read_only=True)


# ---- SQLite


def make_file(url: URL) -> None:
    """For the owner only, whatever the umask: what SQLite makes beside it gets the same mode. Raises OSError."""
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    path.chmod(0o600)
    handed_over(path)


def _sqlite_writing(url: URL) -> Engine:
    engine = create_engine(
        url, poolclass=NullPool, connect_args={"timeout": BUSY_S, "check_same_thread": False}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions are begun by us, so that they hold DDL too
        cursor = connection.cursor()
        for pragma in (
            "auto_vacuum = INCREMENTAL", "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON",
            "foreign_keys = ON", "temp_store = MEMORY",
        ):  # fmt: skip
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _sqlite_reading(url: URL) -> Engine:
    path = Path(str(url.database))
    wal = path.with_name(path.name + "-wal")

    def connect() -> Any:
        import sqlite3

        mode = "mode=ro"
        if not wal.exists():  # nobody has it open: in a folder we may not write, the index of the WAL cannot be made
            with contextlib.suppress(sqlite3.OperationalError):
                return _opened(f"file:{quote(str(path))}?{mode}")
            mode += "&immutable=1"
        return _opened(f"file:{quote(str(path))}?{mode}")

    engine = create_engine("sqlite+pysqlite://", poolclass=NullPool, creator=connect, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _opened(uri: str) -> Any:
    import sqlite3

    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, check_same_thread=False, isolation_level=None)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_master")
    except BaseException:
        connection.close()
        raise
    return connection


# ---- PostgreSQL


def _postgresql(url: URL, statement_s: float, *, read_only: bool) -> Engine:
    options = {
        "statement_timeout": round(statement_s * 1000),
        "lock_timeout": round(statement_s * 1000),
        "idle_in_transaction_session_timeout": 60_000,
        "default_transaction_read_only": "on" if read_only else "off",
    }
    arguments = {
        "connect_timeout": CONNECT_S,
        "tcp_user_timeout": round(statement_s * 1000),
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
        "application_name": APPLICATION,
        "options": " ".join(f"-c {name}={value}" for name, value in options.items()),
    }
    try:
        return create_engine(url, poolclass=NullPool, connect_args=arguments, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise StoreError(
            "PostgreSQL needs its driver: pip install 'voicebridge-pbx[postgres]'"
        ) from error


# ---- both


@contextlib.contextmanager
def within(connection: Connection, seconds: float) -> Iterator[None]:
    """What is done on the connection fails (OperationalError) where it takes longer. SQLite has its own limits."""
    ours = _own_end(connection)
    if ours is None:
        yield
        return
    watch = threading.Timer(seconds, _cut, [ours])
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()
        ours.close()


def _own_end(connection: Connection) -> socket.socket | None:
    """A second handle of the connection's socket; None where there is none, or none any more."""
    driver = connection.connection.driver_connection
    if driver is None or connection.dialect.name == "sqlite":
        return None
    try:
        return socket.socket(fileno=os.dup(driver.fileno()))
    except (OSError, connection.dialect.loaded_dbapi.Error):
        return None  # lost already: what is done on it fails at once


def _cut(ours: socket.socket) -> None:
    with contextlib.suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)


def cause(error: Exception) -> str:
    """In one line, without the statement and what it was to write."""
    inner: object = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = " ".join(str(inner).split())
    # A server's DETAIL quotes values of the row.
    return text.split(" DETAIL:")[0].split(" CONTEXT:")[0] or type(inner).__name__
