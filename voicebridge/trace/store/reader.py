"""The calls that are kept, for other processes: dashboard and command line. Reads only, while the daemon writes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, or_, select
from sqlalchemy.exc import DBAPIError

from voicebridge.config import Settings
from voicebridge.trace.record import Record
from voicebridge.trace.rows import CallRow, Page, Query
from voicebridge.trace.store import database
from voicebridge.trace.store.callers import known_key
from voicebridge.trace.store.database import NoStoreError, StoreError
from voicebridge.trace.store.document import loaded
from voicebridge.trace.store.schema import calls, recordings, turns

READ_S = 30.0
STREAM_ROWS = 100
MOST_WORDS = 30
"""Of a search; SQLite takes no query of a thousand."""
CALL_ID = re.compile(r"[0-9a-f-]{36}")
_ROW = (
    calls.c.call_id, calls.c.began_at, calls.c.seconds, calls.c.agent, calls.c.caller, calls.c.dialled,
    calls.c.outcome, calls.c.ended_by, calls.c.target, calls.c.turns, calls.c.gap_p50, calls.c.gap_max,
    calls.c.problems, recordings.c.call_id.is_not(None).label("recorded"),
)  # fmt: skip


class NoSuchCallError(FileNotFoundError):
    """No call of this id is kept."""

    def __init__(self, call_id: str) -> None:
        super().__init__(f"no call {call_id} is kept: it is unknown, or past its retention")


class Calls:
    """`folder`: `[store] dir`; `url`: `[store] url`. May be used by several threads. Methods raise StoreError where
    the database cannot be read."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self._folder = folder
        self._url = database.address(folder, url)
        self._engine = database.reading(self._url, statement_s=READ_S)

    def find(self, query: Query) -> Page:
        """Newest first."""
        where = self._where(query)
        listed = (
            select(*_ROW)
            .select_from(calls.outerjoin(recordings, recordings.c.call_id == calls.c.call_id))
            .where(where)
            .order_by(calls.c.began_at.desc(), calls.c.id.desc())
            .limit(query.limit)
            .offset(query.offset)
        )
        with self._open() as connection:
            total = connection.execute(select(func.count()).select_from(calls).where(where)).scalar_one()
            found = connection.execute(listed).all()
        return Page(tuple(CallRow(**row._mapping) for row in found), total)

    def _where(self, query: Query) -> Any:
        terms = []
        if query.since is not None:
            terms.append(calls.c.began_at >= query.since)
        if query.until is not None:
            terms.append(calls.c.began_at < query.until)
        for column, wanted in (
            (calls.c.agent, query.agent), (calls.c.outcome, query.outcome), (calls.c.ended_by, query.ended_by)
        ):  # fmt: skip
            if wanted:
                terms.append(column == _asked(wanted))
        if query.caller:
            key = known_key(self._folder, query.caller)
            terms.append(calls.c.caller_key == key if key else calls.c.call_id == "")
        if query.min_gap_s is not None:
            terms.append(calls.c.gap_max >= query.min_gap_s)
        if query.problems:
            terms.append(calls.c.problems > 0)
        terms += [_says(word) for word in query.text.split()[:MOST_WORDS]]
        return and_(True, *terms)

    def record(self, call_id: str) -> Record:
        """Raises NoSuchCallError (a FileNotFoundError), StoreError where the record is damaged."""
        with self._open() as connection:
            found = connection.execute(select(calls.c.document).where(calls.c.call_id == _asked(call_id))).scalar()
        if found is None:
            raise NoSuchCallError(call_id)
        return loaded(call_id, found)

    def matching(self, prefix: str, limit: int = 20) -> list[str]:
        """Ids of the newest calls that begin so."""
        wanted = select(calls.c.call_id).order_by(calls.c.began_at.desc(), calls.c.id.desc()).limit(limit)
        if prefix:
            wanted = wanted.where(calls.c.call_id.startswith(_asked(prefix).lower(), autoescape=True))
        with self._open() as connection:
            return list(connection.execute(wanted).scalars())

    def records(self, since: float | None = None, until: float | None = None, agent: str = "") -> Iterator[Record]:
        """Oldest first, a few at a time, so that nobody waits for a reader; damaged ones are left out."""
        chosen = select(calls.c.began_at, calls.c.id, calls.c.call_id, calls.c.document).where(
            self._where(Query(since=since, until=until, agent=agent))
        )
        chosen = chosen.order_by(calls.c.began_at, calls.c.id).limit(STREAM_ROWS)
        found = self._rows(chosen)
        while found:
            for row in found:
                with contextlib.suppress(StoreError):
                    yield loaded(row.call_id, row.document)
            last = found[-1]
            later = or_(
                calls.c.began_at > last.began_at, and_(calls.c.began_at == last.began_at, calls.c.id > last.id)
            )
            found = self._rows(chosen.where(later)) if len(found) == STREAM_ROWS else []

    def _rows(self, chosen: Select[Any]) -> list[Any]:
        with self._open() as connection:
            return list(connection.execute(chosen).all())

    def recording(self, call_id: str) -> Path | None:
        """The WAV of a call (caller left, agent right), where there is one on this machine."""
        if not CALL_ID.fullmatch(call_id):
            return None
        path = self._folder / "calls" / f"{call_id}.wav"
        return path if path.is_file() else None

    def agents(self) -> list[str]:
        """All that have had calls, by name."""
        with self._open() as connection:
            found = connection.execute(select(calls.c.agent).distinct().order_by(calls.c.agent)).scalars()
            return [name for name in found if name]

    @contextlib.contextmanager
    def _open(self) -> Iterator[Connection]:
        where = database.shown(self._url)
        if database.is_sqlite(self._url) and not Path(where).exists():
            raise NoStoreError(f"no calls are kept in {where} yet: `voicebridge run` makes it with its first start")
        try:
            with self._engine.connect() as connection, database.within(connection, READ_S):
                yield connection
        except DBAPIError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: DBAPIError) -> StoreError:
        where, text = database.shown(self._url), database.cause(error)
        if "no such table" in text or "does not exist" in text and "relation" in text:
            return NoStoreError(f"{where} holds no store yet: `voicebridge store migrate` makes its tables")
        if "no such column" in text or "does not exist" in text and "column" in text:
            return StoreError(f"{where} is of another version: `voicebridge store migrate` brings it up to date")
        return StoreError(f"{where} cannot be read: {text}")


def open_calls(settings: Settings) -> Calls:
    """The calls of a configuration. Raises StoreError."""
    return Calls(settings.config.store.dir, settings.config.store.url)


def _asked(text: str) -> str:
    """As a database can be asked. A command line in another encoding has half characters; PostgreSQL takes no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _says(word: str) -> Any:
    """Whether a word, or a part of one, stands in a turn of the call."""
    return exists().where(
        turns.c.call_id == calls.c.call_id, turns.c.words.contains(_asked(word).casefold(), autoescape=True)
    )
