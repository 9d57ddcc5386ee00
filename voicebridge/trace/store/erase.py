"""Deleting calls for good: rows, recordings, event logs and records that wait in files. The same for retention.

Files lie on the machine that had the call: where machines share a PostgreSQL, each deletes those of calls that were
erased on another with its next look at the retention.

SQLite overwrites what it deletes (secure_delete) and its journal is emptied after. On PostgreSQL the rows are deleted
and vacuumed; its own journals and backups are the administrator's. Calls that still run, or ended within the last
moments, are not in the store yet.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, text, union
from sqlalchemy.exc import DBAPIError

from voicebridge.trace.record import Record
from voicebridge.trace.store import database
from voicebridge.trace.store.callers import caller_key, known_key
from voicebridge.trace.store.legacy import Legacy
from voicebridge.trace.store.link import opened
from voicebridge.trace.store.schema import PARTS, calls, erasures, leftovers, recordings
from voicebridge.trace.store.spill import DamagedError, Spill
from voicebridge.trace.store.upsert import here

log = logging.getLogger(__name__)

CHUNK = 100
"""Calls deleted in one transaction: the daemon's records must get in between."""
CHUNK_S = 60.0
_FILE = re.compile(r"([0-9a-f-]{36})\.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be erased: one of these. `before`: unix seconds; `caller`: a whole number."""

    before: float | None = None
    caller: str = ""
    call_id: str = ""

    @property
    def why(self) -> str:
        return "call" if self.call_id else "caller" if self.caller else "age"


@dataclass(frozen=True, slots=True)
class Erased:
    """How many were, or would be: calls of the database, records that waited, and files (recordings, event logs)."""

    calls: int = 0
    waiting: int = 0
    files: int = 0

    def __bool__(self) -> bool:
        return bool(self.calls or self.waiting or self.files)


class StuckError(OSError):
    """Files that cannot be deleted. `erased`: what was, all the same."""

    def __init__(self, text: str, erased: Erased) -> None:
        super().__init__(text)
        self.erased = erased


def erase(folder: Path, url: str, wanted: Wanted, *, dry_run: bool = False) -> Erased:
    """Blocking, and the longer the more there is. Raises StoreError, OSError (StuckError)."""
    if [wanted.before is not None, bool(wanted.caller), bool(wanted.call_id)].count(True) != 1:
        raise ValueError("erase by age, by caller or by call: one of them")
    spill = Spill(folder)
    if not folder.exists():
        return Erased()
    with opened(folder, url, make=True) as (engine, _), spill.lock():
        ids = _found(engine, folder, wanted)
        waiting = _waiting(spill, folder, wanted)
        elsewhere = _erased_elsewhere(engine) if wanted.before is not None else []
        ids_of_all = {*ids, *(path_id for _, path_id in waiting), *elsewhere}
        files = _files(folder, ids_of_all, wanted.before)
        made = Erased(len(ids), len(waiting), len(files))
        if dry_run:
            return made
        # Files first: what fails now is found again by its row, which stays.
        stuck = _unlinked([*files, *(path for path, _ in waiting), *spill.pieces()])
        held = {named[1] for path in stuck if (named := _FILE.match(path.name))}
        ids = [call_id for call_id in ids if call_id not in held]
        made = Erased(len(ids), len(waiting), len(files) - len(stuck))
        _delete(engine, ids, files_elsewhere=wanted.before is None)
        if gone := [call_id for call_id in elsewhere if call_id not in held]:
            _forget(engine, gone)
        if made or wanted.before is None:
            _note(engine, wanted, made)
        _wipe(engine, explicit=wanted.before is None)
    if stuck:
        why = next(iter(stuck.values()))
        raise StuckError(
            f"{len(stuck)} of the files cannot be deleted, and their calls stay until they can be ({made.calls} calls "
            f"and {made.files} files are erased): {why.filename}: {why.strerror}",
            made,
        )
    return made


def _found(engine: Engine, folder: Path, wanted: Wanted) -> list[str]:
    chosen = select(calls.c.call_id)
    if wanted.call_id:
        chosen = chosen.where(calls.c.call_id == wanted.call_id)
    elif wanted.caller:
        chosen = chosen.where(calls.c.caller_key == (known_key(folder, wanted.caller) or "-"))
    else:
        chosen = chosen.where(calls.c.began_at < wanted.before)
    with engine.connect() as connection, database.within(connection, CHUNK_S):
        return list(connection.execute(chosen).scalars())


def _waiting(spill: Spill, folder: Path, wanted: Wanted) -> list[tuple[Path, str]]:
    """Records in files, with their calls' ids; damaged ones by their age."""
    legacy, found = Legacy(folder), []
    for source, paths in ((spill, [*spill.paths(), *spill.refused()]), (legacy, [*legacy.paths(), *legacy.refused()])):
        for path in paths:
            try:
                held = source.read(path)
            except FileNotFoundError:
                continue
            except DamagedError:
                if wanted.before is not None and path.stat().st_mtime < wanted.before:
                    found.append((path, ""))
                continue
            if _is_wanted(folder, held.call_id, held.record, wanted):
                found.append((path, held.call_id))
    return found


def _is_wanted(folder: Path, call_id: str, record: Record, wanted: Wanted) -> bool:
    if wanted.call_id:
        return call_id == wanted.call_id
    if wanted.caller:
        key, caller = known_key(folder, wanted.caller), str(record.get("caller") or "")
        own = record.get("caller_key") or (caller_key(folder, caller) if caller and "*" not in caller else "")
        return bool(key) and own == key
    began = record.get("began_at")
    return isinstance(began, int | float) and wanted.before is not None and began < wanted.before


def _files(folder: Path, ids: Iterable[str], before: float | None) -> list[Path]:
    """Of these calls, and where it goes by age those that are older and belong to no record."""
    wanted, found = set(ids), []
    with contextlib.suppress(FileNotFoundError):
        for path in (folder / "calls").iterdir():
            if path.suffix == ".json":
                continue  # a record that waits
            named = _FILE.match(path.name)
            with contextlib.suppress(FileNotFoundError):
                of_call = named is not None and named[1] in wanted
                if of_call or (before is not None and path.stat().st_mtime < before):
                    found.append(path)
    return found


def _unlinked(paths: Iterable[Path]) -> dict[Path, OSError]:
    """Those that cannot be deleted, and why."""
    stuck = {}
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            stuck[path] = error
    return stuck


def _delete(engine: Engine, ids: Sequence[str], *, files_elsewhere: bool) -> None:
    for begin in range(0, len(ids), CHUNK):
        some = ids[begin : begin + CHUNK]
        with engine.connect() as connection, database.within(connection, CHUNK_S), connection.begin():
            if files_elsewhere:
                _note_files_elsewhere(connection, some)
            for table in (*PARTS, calls):
                connection.execute(delete(table).where(table.c.call_id.in_(some)))


def _note_files_elsewhere(connection: Connection, ids: Sequence[str]) -> None:
    """By age each machine finds its own."""
    chosen = [
        select(table.c.call_id, table.c.node).where(table.c.call_id.in_(ids), table.c.node.not_in(["", here()]))
        for table in (calls, recordings)
    ]
    rows = [row._asdict() for row in connection.execute(union(*chosen))]
    if rows:
        connection.execute(insert(leftovers), rows)


def _erased_elsewhere(engine: Engine) -> list[str]:
    with engine.connect() as connection, database.within(connection, CHUNK_S):
        return list(connection.execute(select(leftovers.c.call_id).where(leftovers.c.node == here())).scalars())


def _forget(engine: Engine, ids: Sequence[str]) -> None:
    with engine.connect() as connection, database.within(connection, CHUNK_S), connection.begin():
        for call_id in ids:
            connection.execute(delete(leftovers).where(leftovers.c.call_id == call_id, leftovers.c.node == here()))


def _note(engine: Engine, wanted: Wanted, made: Erased) -> None:
    row = {"at": time.time(), "why": wanted.why, "calls": made.calls + made.waiting, "files": made.files}
    with engine.connect() as connection, database.within(connection, CHUNK_S), connection.begin():
        connection.execute(insert(erasures), row)


def _wipe(engine: Engine, *, explicit: bool) -> None:
    """What was deleted leaves the files of SQLite; PostgreSQL does so by itself in time, and now where asked for."""
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if connection.dialect.name == "sqlite":
                cursor: Any = connection.connection.cursor()
                cursor.executescript("PRAGMA incremental_vacuum")  # `execute` would free one page only
                busy = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                if busy:
                    log.warning("store: deleted, but calls.db is read: its -wal file may hold it a while longer")
            elif explicit:
                for table in (*PARTS, calls):
                    connection.execute(text(f"VACUUM {table.name}"))
    except DBAPIError as error:
        log.warning("store: deleted, but not yet overwritten: %s", database.cause(error))
