"""Calls from one database to another: from SQLite to the PostgreSQL that is to follow it, or back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, func, insert, select
from sqlalchemy.exc import DBAPIError

from voicebridge.trace.store import database
from voicebridge.trace.store.database import StoreError
from voicebridge.trace.store.document import loaded
from voicebridge.trace.store.link import UnavailableError, opened
from voicebridge.trace.store.schema import calls, erasures
from voicebridge.trace.store.upsert import upsert

CHUNK = 50
CHUNK_S = 60.0


def copy(folder: Path, source: str, target: str, progress: Callable[[int, int], None]) -> int:
    """All calls, in the order in which they were written; one that is there already is replaced. `source`, `target`:
    as `[store] url`; `folder`: the store's. `progress` is told how many of how many. Raises StoreError."""
    with opened(folder, source) as (old, where), opened(folder, target, make=True) as (new, there):
        if where == there:
            raise StoreError(f"{where} would be copied to itself: name another database")
        total = _total(old)
        done, last = 0, 0
        while ids := _ids(old, last):
            _copy_some(folder, old, new, ids)
            done, last = done + len(ids), ids[-1]
            progress(done, total)
        _copy_erasures(old, new)
    return done


def _total(engine: Engine) -> int:
    with engine.connect() as connection, database.within(connection, CHUNK_S):
        return int(connection.execute(select(func.count()).select_from(calls)).scalar_one())


def _ids(engine: Engine, last: int) -> list[int]:
    chosen = select(calls.c.id).where(calls.c.id > last).order_by(calls.c.id).limit(CHUNK)
    with engine.connect() as connection, database.within(connection, CHUNK_S):
        return list(connection.execute(chosen).scalars())


def _copy_some(folder: Path, old: Engine, new: Engine, ids: list[int]) -> None:
    chosen = select(calls.c.call_id, calls.c.document, calls.c.caller_key).where(calls.c.id.in_(ids))
    with old.connect() as connection, database.within(connection, CHUNK_S):
        found = connection.execute(chosen.order_by(calls.c.id)).all()
    try:
        with new.connect() as connection, database.within(connection, CHUNK_S), connection.begin():
            for row in found:
                record = loaded(row.call_id, row.document)
                upsert(connection, folder, row.call_id, record, row.document, key=row.caller_key)
    except DBAPIError as error:
        raise UnavailableError(f"not copied: {database.cause(error)}") from error


def _copy_erasures(old: Engine, new: Engine) -> None:
    columns = (erasures.c.at, erasures.c.why, erasures.c.calls, erasures.c.files)
    with old.connect() as connection, database.within(connection, CHUNK_S):
        wanted = [row._asdict() for row in connection.execute(select(*columns).order_by(erasures.c.id))]
    with new.connect() as connection, database.within(connection, CHUNK_S), connection.begin():
        there = {row.at for row in connection.execute(select(erasures.c.at))}
        missing = [row for row in wanted if row["at"] not in there]
        if missing:
            connection.execute(insert(erasures), missing)
