"""SQLite: a connection a run, in the tools' threads; what a statement may do is decided by SQLite's own authorizer."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from datetime import date
from datetime import time as time_of_day
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from voicebridge.tools import SetupError
from voicebridge_sql.database import (
    STATEMENT_S,
    BadStatement,
    DatabaseError,
    Job,
    Refused,
    Rows,
    Values,
    cell,
    columns_of,
)
from voicebridge_sql.statement import Statement

STEPS: Final = 2_000
"""So many steps of SQLite's machine between two looks at the clock: well below a millisecond."""
MOST_BYTES: Final = 1_000_000
"""Of one value or row; what is longer is an error of the statement."""

_READ: Final = frozenset({
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE,
})  # fmt: skip
_WRITE: Final = _READ | {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE}
_REFUSED: Final = frozenset({
    sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_CHECK,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_CONSTRAINT_TRIGGER, sqlite3.SQLITE_CONSTRAINT_ROWID,
})  # fmt: skip
_TIMED_OUT: Final = frozenset({sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Sqlite:
    """A database file. `read_only`: it is never opened for writing."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Raises SetupError."""
        self._path = path
        self._read_only = read_only
        if not path.is_file():
            raise SetupError(f"database: there is no file {path}; create it, or correct the path")
        try:
            with self._opened(write=not read_only, deadline=time.monotonic() + STATEMENT_S) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            wanted = "read" if read_only else "read and written"
            cure = "whose are the file and its folder?"
            raise SetupError(f"database: {path} cannot be {wanted}: {error}; {cure}") from None

    def check(self, statement: Statement, values: Values, *, write: bool) -> tuple[str, ...]:
        given = {name: _bound(value) for name, value in values.items()}
        try:
            with self._allowed(write=write, deadline=time.monotonic() + STATEMENT_S) as connection:
                connection.execute(f"EXPLAIN {statement.text}", given).fetchall()
                if write:
                    return ()
                shown = connection.execute(f"SELECT * FROM (\n{statement.text}\n) LIMIT 0", given)
                # SQLite calls the second `name` of a subselect `name:1`.
                return columns_of([name.rpartition(":")[0] or name for name, *_ in shown.description])
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise _mapped(error, statement, checking=True) from None

    def run(self, job: Job) -> Rows:
        values = {name: _bound(value) for name, value in job.values.items()}
        try:
            with self._allowed(write=job.write, deadline=job.deadline) as connection:
                return _written(connection, job, values) if job.write else _fetched(connection, job, values)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise _mapped(error, job.statement) from None

    def close(self) -> None:
        pass

    @contextlib.contextmanager
    def _opened(self, *, write: bool, deadline: float) -> Iterator[sqlite3.Connection]:
        """A connection that gives up at the deadline, also where another holds the lock."""
        address = f"file:{quote(str(self._path))}?mode={'rw' if write else 'ro'}"
        left = max(0.0, deadline - time.monotonic())
        connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=left)
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_BYTES)
            connection.execute(f"PRAGMA query_only = {int(not write)}")
            connection.execute("PRAGMA foreign_keys = ON")
            connection.set_progress_handler(lambda: int(time.monotonic() >= deadline), STEPS)
            yield connection
        finally:
            connection.close()  # what was not committed is undone

    @contextlib.contextmanager
    def _allowed(self, *, write: bool, deadline: float) -> Iterator[sqlite3.Connection]:
        """A connection with which nothing else can be done than reading, or reading and writing rows."""
        if write and self._read_only:
            raise BadStatement("the database is read_only")
        with self._opened(write=write, deadline=deadline) as connection:
            if write:
                connection.execute("BEGIN IMMEDIATE")
            allowed = _WRITE if write else _READ

            def authorize(action: int, *_: Any) -> int:
                return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY

            connection.set_authorizer(authorize)
            yield connection


def _fetched(connection: sqlite3.Connection, job: Job, values: Values) -> Rows:
    cursor = connection.execute(job.statement.text, values)
    rows = cursor.fetchmany(job.most + 1)
    columns = columns_of([name for name, *_ in cursor.description])
    return Rows(columns, _cells(rows[: job.most]), more=len(rows) > job.most)


def _written(connection: sqlite3.Connection, job: Job, values: Values) -> Rows:
    cursor = connection.execute(job.statement.text, values)
    rows = cursor.fetchall()  # a RETURNING is not done before its last row was fetched
    columns = columns_of([name for name, *_ in cursor.description or ()])
    changed = cursor.rowcount
    if changed > job.most:
        raise BadStatement(f"it would have changed {changed} rows, and max_rows is {job.most}: nothing was written")
    connection.set_authorizer(None)
    connection.commit()
    return Rows(columns, _cells(rows), changed=changed)


def _cells(rows: list[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(cell(value) for value in row) for row in rows)


def _bound(value: Any) -> Any:
    """Dates and times as ISO text (`HH:MM`, with seconds only where there are some): SQLite has no type for them."""
    if isinstance(value, time_of_day):
        return value.isoformat("seconds" if value.second else "minutes")
    return value.isoformat() if isinstance(value, date) else value


def _mapped(error: Exception, statement: Statement, *, checking: bool = False) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _REFUSED:
        return Refused(str(error).rpartition("constraint failed: ")[2])
    if code & 0xFF in _TIMED_OUT:
        return DatabaseError(f"busy while it was checked: {error}") if checking else TimeoutError()
    if code & 0xFF == sqlite3.SQLITE_AUTH or "not authorized" in str(error):
        return BadStatement(f"{statement.first.upper()} does more than its kind may: {error}")
    if checking or isinstance(error, sqlite3.ProgrammingError | sqlite3.Warning):
        return BadStatement(str(error))
    return DatabaseError(f"{type(error).__name__}: {error}")
