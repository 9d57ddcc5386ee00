"""PostgreSQL by psycopg 3: a few connections kept, every statement in a transaction with a time limit of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

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

KEPT: Final = 4
"""Connections that stay open between runs: as many as threads that a tool gets."""
CONNECT_S: Final = 2
GRACE_S: Final = 0.5
"""A server that has not ended a statement so long after its limit does not answer any more: the connection is cut."""

_REFUSED: Final = (
    psycopg.errors.UniqueViolation, psycopg.errors.CheckViolation, psycopg.errors.ExclusionViolation,
    psycopg.errors.ForeignKeyViolation, psycopg.errors.RaiseException,
)  # fmt: skip


class Postgres:
    """`read_only`: every session is; otherwise only the transactions of lookups are."""

    def __init__(self, address: str, password: str, *, read_only: bool) -> None:
        """Raises SetupError for an address that is none; a server that is not there is no error of the setup."""
        try:
            given = conninfo_to_dict(address)
        except psycopg.ProgrammingError as error:
            raise SetupError(f"database: {str(error).strip()}; write postgresql://user@host/name") from None
        if "password" in given:
            raise SetupError("database: no password belongs here; name it with password_file or password_env")
        self._parameters: dict[str, Any] = {"connect_timeout": CONNECT_S, "application_name": "voicebridge"} | given
        if password:
            self._parameters["password"] = password
        self._read_only = read_only
        self._lock = threading.Lock()
        self._idle: list[psycopg.Connection[Any]] = []
        self._closed = False

    def check(self, statement: Statement, values: Values, *, write: bool) -> tuple[str, ...]:
        deadline = time.monotonic() + CONNECT_S + STATEMENT_S
        with self._transaction(write=False, deadline=deadline) as connection:
            if write:
                connection.execute(f"EXPLAIN {statement.as_pyformat()}".encode(), values)
                return ()
            with connection.cursor("vb_check") as cursor:
                cursor.execute(statement.as_pyformat().encode(), values)
                return columns_of([column.name for column in cursor.description or ()])

    def run(self, job: Job) -> Rows:
        with self._transaction(write=job.write, deadline=job.deadline) as connection:
            return _written(connection, job) if job.write else _fetched(connection, job)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # ---- connections

    @contextlib.contextmanager
    def _transaction(self, *, write: bool, deadline: float) -> Iterator[psycopg.Connection[Any]]:
        """A transaction, ended by the server at the deadline; committed where nothing is raised."""
        if write and self._read_only:
            raise BadStatement("the database is read_only")
        connection = None
        try:
            connection = self._begun(write, deadline)
            with _cut_at(connection, deadline + GRACE_S):
                yield connection
                connection.commit()
        except psycopg.Error as error:
            raise _mapped(error, deadline) from None
        finally:
            if connection is not None:
                self._put_back(connection)

    def _begun(self, write: bool, deadline: float) -> psycopg.Connection[Any]:
        """A connection in a transaction. One that died while it was idle is replaced: nothing was asked of it yet."""
        while (kept := self._kept()) is not None:
            try:
                return _limited(kept, write, deadline)
            except psycopg.OperationalError:
                kept.close()
        if deadline - time.monotonic() < 0:
            raise TimeoutError
        return _limited(self._connected(), write, deadline)

    def _kept(self) -> psycopg.Connection[Any] | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connected(self) -> psycopg.Connection[Any]:
        way = "on" if self._read_only else "off"
        options = f"{self._parameters.get('options', '')} -c default_transaction_read_only={way}".strip()
        return psycopg.connect("", **{**self._parameters, "options": options})

    def _put_back(self, connection: psycopg.Connection[Any]) -> None:
        with contextlib.suppress(psycopg.Error):
            connection.rollback()
        with self._lock:
            if not self._closed and not connection.closed and not connection.broken and len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()


def _limited(connection: psycopg.Connection[Any], write: bool, deadline: float) -> psycopg.Connection[Any]:
    """Begin a transaction that the server itself ends. Closes the connection where that fails."""
    left_ms = max(1, round((deadline - time.monotonic()) * 1000))
    begin = sql.SQL("SET TRANSACTION {}").format(sql.SQL("READ WRITE" if write else "READ ONLY"))
    try:
        with _cut_at(connection, deadline + GRACE_S):
            connection.execute(begin)
            connection.execute("SELECT set_config('statement_timeout', %s, true)", (str(left_ms),))
    except psycopg.Error:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _cut_at(connection: psycopg.Connection[Any], at: float) -> Iterator[None]:
    """Cut the connection then: a frozen server, or a network that swallows packets, would hold the thread for ever."""
    timer = threading.Timer(max(0.0, at - time.monotonic()), _cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(connection: psycopg.Connection[Any]) -> None:
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as link:
        link.shutdown(socket.SHUT_RDWR)


# ---- statements


def _fetched(connection: psycopg.Connection[Any], job: Job) -> Rows:
    """By a cursor in the server: rows beyond the limit never leave it, and it takes nothing but one SELECT."""
    with connection.cursor("vb") as cursor:
        cursor.execute(job.statement.as_pyformat().encode(), job.values)
        columns = columns_of([column.name for column in cursor.description or ()])
        rows = cursor.fetchmany(job.most + 1)
    return Rows(columns, _cells(rows[: job.most]), more=len(rows) > job.most)


def _written(connection: psycopg.Connection[Any], job: Job) -> Rows:
    cursor = connection.execute(job.statement.as_pyformat().encode(), job.values)
    if cursor.rowcount > job.most:
        raise BadStatement(
            f"it would have changed {cursor.rowcount} rows, and max_rows is {job.most}: nothing was written"
        )
    if cursor.description is None:
        return Rows(changed=cursor.rowcount)
    columns = columns_of([column.name for column in cursor.description])
    return Rows(columns, _cells(cursor.fetchall()), changed=cursor.rowcount)


def _cells(rows: list[Any]) -> tuple[tuple[Any, ...], ...]:
    return tuple(tuple(cell(value) for value in row) for row in rows)


def _mapped(error: psycopg.Error, deadline: float) -> Exception:
    told = " ".join(str(error).split())
    if isinstance(error, _REFUSED):
        return Refused(error.diag.constraint_name or error.diag.message_primary or "")
    if isinstance(error, psycopg.errors.QueryCanceled | psycopg.errors.LockNotAvailable):
        return TimeoutError()
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        late = time.monotonic() >= deadline
        return TimeoutError() if late else DatabaseError(f"{type(error).__name__}: {told}")
    return BadStatement(f"{type(error).__name__}: {told}")
