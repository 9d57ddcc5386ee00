"""The writer's way to the database: opened when needed, brought up to date, opened anew where it was lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from voicebridge.trace.record import Record
from voicebridge.trace.store import database
from voicebridge.trace.store.database import NoStoreError, StoreError
from voicebridge.trace.store.migrate import migrate
from voicebridge.trace.store.upsert import upsert

WRITE_S = 5.0
WARM_ID = "00000000-0000-0000-0000-000000000000"


class UnavailableError(StoreError):
    """The database cannot be written now; later it may."""


class RefusedError(StoreError):
    """The database will not take this record."""


class Link:
    """For one thread. `folder`: the store's, where SQLite's file is too. Raises StoreError where `url` is wrong."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder
        self._url = database.address(folder, url)
        self._engine: Engine = database.writing(self._url)
        self._connection: Connection | None = None
        self._inode = 0

    @property
    def where(self) -> str:
        return database.shown(self._url)

    def open(self) -> None:
        """Connect, and bring the tables up to date. Raises UnavailableError, NewerStoreError."""
        self.close()
        try:
            if database.is_sqlite(self._url):
                database.make_file(self._url)
            migrate(self._engine)
            self._connection = self._engine.connect()
            self._inode = self._inode_now()
        except (DBAPIError, OSError) as error:
            raise UnavailableError(f"{self.where}: {database.cause(error)}") from error

    def warm(self) -> None:
        """Have all statements compiled, some 50 ms of computing, before calls are there to be disturbed by it."""
        assert self._connection is not None
        turn: dict[str, list[Record]] = {"spans": [{}], "tools": [{}], "handoffs": [{}]}
        try:
            with database.within(self._connection, WRITE_S), self._connection.begin() as transaction:
                upsert(self._connection, self._folder, WARM_ID, {"turns": [turn]}, "{}")
                transaction.rollback()
        except DBAPIError as error:
            raise UnavailableError(f"{self.where}: {database.cause(error)}") from error

    def _inode_now(self) -> int:
        """Somebody may put another file, or none, in the place of the one that is open."""
        if not database.is_sqlite(self._url):
            return 0
        try:
            return os.stat(str(self._url.database)).st_ino  # noqa: PTH116 - a file name for SQLite
        except FileNotFoundError:
            return -1

    def write(self, call_id: str, record: Record, document: str) -> None:
        """Raises UnavailableError, RefusedError, NewerStoreError. A connection that was lost is opened anew once."""
        fresh = self._connection is None or self._inode != self._inode_now()
        if fresh:
            self.open()
        try:
            self._write(call_id, record, document)
        except UnavailableError:
            if fresh:
                raise
            self.open()
            self._write(call_id, record, document)

    def _write(self, call_id: str, record: Record, document: str) -> None:
        assert self._connection is not None
        try:
            with database.within(self._connection, WRITE_S), self._connection.begin():
                upsert(self._connection, self._folder, call_id, record, document)
        except (DataError, IntegrityError) as error:
            raise RefusedError(f"{self.where}: {database.cause(error)}") from error
        except DBAPIError as error:
            self.close()
            raise UnavailableError(f"{self.where}: {database.cause(error)}") from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(DBAPIError):
                connection.close()


@contextlib.contextmanager
def opened(
    folder: Path, url: str, *, make: bool = False, statement_s: float = 60.0
) -> Iterator[tuple[Engine, str]]:
    """A database of the current version, for work that is not a record; and how it is called.

    `make`: SQLite's file too, where there is none. Raises StoreError (NoStoreError), OSError.
    """
    address = database.address(folder, url)
    engine = database.writing(address, statement_s=statement_s)
    where = database.shown(address)
    if database.is_sqlite(address) and not Path(where).exists():
        if not make:
            raise NoStoreError(f"no calls are kept in {where} yet")
        database.make_file(address)
    try:
        migrate(engine)
        yield engine, where
    except DBAPIError as error:
        raise UnavailableError(f"{where}: {database.cause(error)}") from error
    finally:
        engine.dispose()
