"""What the tools need of a database, and the ways in which it can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from voicebridge_sql.statement import Statement

CELL_CHARS: Final = 2_000
"""A text longer than this loses its tail: nothing of it will ever be said."""
STATEMENT_S: Final = 3.0
"""How long checking one statement may take when the daemon starts."""

Values = Mapping[str, Any]


class DatabaseError(Exception):
    """The database is at fault, or cannot be reached; trying again may help. The text is for the log."""


class Refused(Exception):
    """A rule of the database's own (UNIQUE, CHECK, a foreign key, a trigger) does not allow what was to be written.

    `rule` is the constraint's name, or what a trigger said; "" where the database does not tell.
    """

    def __init__(self, rule: str = "") -> None:
        super().__init__(rule)
        self.rule = rule


class BadStatement(Exception):
    """A configured statement that the database does not take; the text tells why."""


@dataclass(frozen=True, slots=True)
class Job:
    """A statement to run, with its limits.

    `most` is how many rows are given at most; a write that changes more is undone. `deadline` is on `time.monotonic`'s
    clock: then the statement is ended in the database.
    """

    statement: Statement
    values: Values
    write: bool
    most: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Rows:
    """`more`: there are further rows, which were not fetched. `changed` counts what a write wrote."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    more: bool = False
    changed: int = 0

    def as_dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


class Database(Protocol):
    """One for all tools; its methods block, may be called from several threads and end at the job's deadline."""

    def check(self, statement: Statement, values: Values, *, write: bool) -> tuple[str, ...]:
        """The columns it gives (none of a write), without doing it. `values` are samples of the right types.

        Raises BadStatement, DatabaseError.
        """

    def run(self, job: Job) -> Rows:
        """Raises Refused, TimeoutError, DatabaseError; BadStatement where the tables have changed since the check."""

    def close(self) -> None: ...


def columns_of(names: Sequence[str]) -> tuple[str, ...]:
    """Raises BadStatement where two have one name, or one has none that can be used in `say`."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadStatement(f"two columns are called {twice[0]!r}: name one with AS")
    return tuple(names)


def cell(value: Any) -> Any:
    """A value as the tools pass it on."""
    if isinstance(value, str) and len(value) > CELL_CHARS:
        return value[:CELL_CHARS] + "..."
    if isinstance(value, bytes | bytearray | memoryview):
        return None  # nobody can say it
    return value
