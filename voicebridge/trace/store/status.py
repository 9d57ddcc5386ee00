"""How the store is: for `voicebridge store status` and `doctor`. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import URL, func, select
from sqlalchemy.exc import DBAPIError

from voicebridge.trace.store import database
from voicebridge.trace.store.callers import fingerprint
from voicebridge.trace.store.database import StoreError
from voicebridge.trace.store.legacy import Legacy
from voicebridge.trace.store.migrate import HEAD, revision
from voicebridge.trace.store.schema import calls, erasures, recordings
from voicebridge.trace.store.spill import Spill

ERASURES = 5
READ_S = 10.0


@dataclass(frozen=True, slots=True)
class Erasure:
    """One that has been: when (unix seconds), by what (age, caller, call), how many."""

    at: float
    why: str
    calls: int
    files: int


@dataclass(frozen=True, slots=True)
class Status:
    """`problem`: why the database cannot be used, and the cure; "" where it can. `waiting`: records in files, not in
    the database yet. `oldest`: unix seconds. `bytes`: of SQLite's files. `secret`: fingerprint of the callers' key."""

    where: str
    problem: str = ""
    version: str = ""
    calls: int = 0
    recordings: int = 0
    oldest: float | None = None
    bytes: int = 0
    waiting: int = 0
    refused: int = 0
    secret: str = ""
    erasures: tuple[Erasure, ...] = ()

    @property
    def healthy(self) -> bool:
        return not (self.problem or self.waiting or self.refused)


def status(folder: Path, url: str) -> Status:
    """Never raises for the database's sake: that is a problem it tells."""
    spill, legacy = Spill(folder), Legacy(folder)
    found = Status(
        "[store] url",
        waiting=len(spill.paths()) + len(legacy.paths()),
        refused=len(spill.refused()) + len(legacy.refused()),
        secret=fingerprint(folder),
    )
    try:
        address = database.address(folder, url)
        found = replace(found, where=database.shown(address))
        if not database.is_sqlite(address):
            return replace(found, **_known(address))
        path = Path(found.where)
        if not path.exists():
            return found
        found = replace(found, bytes=sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*")))
        return replace(found, **_known(address))
    except StoreError as error:
        return replace(found, problem=str(error))
    except DBAPIError as error:
        return replace(found, problem=database.cause(error))


def _known(address: URL) -> dict[str, Any]:
    engine = database.reading(address, statement_s=READ_S)
    with engine.connect() as connection, database.within(connection, READ_S):
        version = revision(connection)
        if version != HEAD:
            known = f"its tables are of version {version}, not {HEAD}: `voicebridge store migrate`" if version else ""
            return {"version": version, "problem": known}
        total, oldest = connection.execute(select(func.count(), func.min(calls.c.began_at)).select_from(calls)).one()
        recorded = connection.execute(select(func.count()).select_from(recordings)).scalar_one()
        last = select(erasures).order_by(erasures.c.at.desc(), erasures.c.id.desc()).limit(ERASURES)
        past = tuple(Erasure(row.at, row.why, row.calls, row.files) for row in connection.execute(last))
    return {"version": version, "calls": total, "oldest": oldest, "recordings": recorded, "erasures": past}
