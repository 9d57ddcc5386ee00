"""The store as the daemon has it: records into the database, their recordings and event logs into files."""

from __future__ import annotations

import logging
import re
import time
from pathlib import Path
from typing import Any

from voicebridge.trace.store import database
from voicebridge.trace.store.callers import caller_key
from voicebridge.trace.store.erase import Erased, StuckError, Wanted, erase
from voicebridge.trace.store.legacy import Legacy
from voicebridge.trace.store.reader import Calls, NoSuchCallError
from voicebridge.trace.store.spill import DamagedError, Spill
from voicebridge.trace.store.writer import Stats, Writer

log = logging.getLogger(__name__)

_CALL_ID = re.compile(r"[0-9a-f-]{36}")
DAY_S = 86_400


class CallStore:
    """`folder`: `[store] dir`; `url`: the database, SQLite in the folder where it is "". Files are named by call id:
    `calls/<id>.wav`, `calls/<id>.events.jsonl` where these are switched on. Raises StoreError where `url` is wrong."""

    def __init__(self, folder: Path, *, keep_days: int, url: str = "") -> None:
        self.folder = folder
        self.url = url
        self._keep_days = keep_days
        self._writer = Writer(folder, url)
        self._calls: Calls | None = None

    def path(self, call_id: str, suffix: str) -> Path:
        if not _CALL_ID.fullmatch(call_id):
            raise ValueError(f"{call_id!r} is not a call id")
        return self.folder / "calls" / f"{call_id}{suffix}"

    def prepare(self) -> None:
        """Make folders, the callers' secret and the tables. Raises OSError where a folder cannot be made,
        NewerStoreError. A database that cannot be reached is none: records wait for it."""
        for name in ("calls", "spill"):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
            (self.folder / name).chmod(0o700)
        Spill(self.folder).prepare()
        caller_key(self.folder, "0")
        self._writer.prepare()

    def write(self, call_id: str, record: dict[str, Any], events: list[str] | None = None) -> None:
        """Takes it and returns at once; nothing that happens to it then fails the call."""
        self.path(call_id, "")
        self._writer.put(call_id, record, events)

    def read(self, call_id: str) -> dict[str, Any]:
        """Of this process or another, wherever it is by now. Raises NoSuchCallError (a FileNotFoundError),
        StoreError."""
        legacy = self.path(call_id, ".json")
        if (record := self._writer.pending(call_id)) is not None:
            return record
        if self._calls is None:
            self._calls = Calls(self.folder, self.url)
        try:
            return self._calls.record(call_id)
        except (NoSuchCallError, database.NoStoreError) as error:
            try:
                return Legacy(self.folder).read(legacy).record
            except FileNotFoundError:
                raise NoSuchCallError(call_id) from error
            except DamagedError as damaged:
                raise database.StoreError(str(damaged)) from error

    def stats(self) -> Stats:
        return self._writer.stats()

    def flush(self, limit_s: float = 10.0) -> bool:
        """Wait until all is in the database: for tests and tools. Blocking."""
        return self._writer.flush(limit_s)

    def close(self, limit_s: float = 8.0) -> None:
        """Nothing stays in memory only. Blocking."""
        self._writer.close(limit_s)

    def purge(self, *, now: float | None = None) -> Erased:
        """Delete what is older than the retention. Blocking; errors are logged."""
        before = (time.time() if now is None else now) - self._keep_days * DAY_S
        try:
            return erase(self.folder, self.url, Wanted(before=before))
        except StuckError as error:
            log.warning("store: %s", error)
            return error.erased
        except (database.StoreError, OSError) as error:
            log.warning("store: calls past their retention are not deleted yet: %s", error)
            return Erased()
