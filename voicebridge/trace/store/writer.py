"""Records on their way to the database: taken at once, written by a thread of its own, lost by no outage.

A record goes to the database; where that fails, to a file (`spill`); where that fails too, as on a full disk, it stays
in memory. While files wait, new records queue behind them, so that the order stays. What waits is tried again with
back-off, at half speed, so that the media clock keeps its share of the interpreter.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, replace
from pathlib import Path

from voicebridge.trace.record import Record
from voicebridge.trace.store.database import NewerStoreError
from voicebridge.trace.store.document import dumped
from voicebridge.trace.store.legacy import Legacy
from voicebridge.trace.store.link import Link, RefusedError, UnavailableError
from voicebridge.trace.store.spill import DamagedError, Spill, Spilled

log = logging.getLogger(__name__)

MAX_WAITING = 2000
"""Records in memory. More can only be where the disk is full for long; a record is some 40 kB."""
BACKOFF_S = (0.5, 15.0)
REST_S = 0.05
"""Between two records that waited."""


@dataclass(frozen=True, slots=True)
class Stats:
    """`queued`: in memory; `spilled`: in files; `written`, `lost`: since the start; `last_error`: "" while all is
    well; `errors`: how often the database failed."""

    queued: int = 0
    spilled: int = 0
    written: int = 0
    lost: int = 0
    errors: int = 0
    last_error: str = ""


@dataclass(slots=True)
class _Item:
    record: Record
    events: list[str] | None
    document: str = ""


class Writer:
    """`put` may be called from any thread. Raises StoreError where `url` is wrong."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self._folder = folder
        self._link = Link(folder, url)
        self._spill = Spill(folder)
        self._legacy = Legacy(folder)
        self._waiting: OrderedDict[str, _Item] = OrderedDict()
        self._backlog: deque[Path] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._down_until = 0.0
        self._pause_s = 0.0
        self._stats = Stats()
        self._found = False

    # ---- for everybody

    def prepare(self) -> None:
        """Open the database, find what waits from before. Raises NewerStoreError; a database that cannot be reached
        is asked again later."""
        try:
            self._link.open()
            self._link.warm()
        except UnavailableError as error:
            self._failed(error)
        finally:
            self._link.close()
        self._find_backlog()
        if self._backlog:
            with self._changed:
                self._start()

    def put(self, call_id: str, record: Record, events: list[str] | None = None) -> None:
        """Take a record; never waits, never fails. The record must not be changed afterwards."""
        with self._changed:
            if len(self._waiting) >= MAX_WAITING and call_id not in self._waiting:
                self._count(lost=1)
                log.error("call=%s record lost: %d wait already for database or disk", call_id, MAX_WAITING)
                return
            self._waiting.pop(call_id, None)
            self._waiting[call_id] = _Item(record, events)
            self._start()
            self._changed.notify_all()

    def pending(self, call_id: str) -> Record | None:
        """A record that is not in the database yet."""
        with self._changed:
            item = self._waiting.get(call_id)
        return item.record if item is not None else self._spill.find(call_id)

    def stats(self) -> Stats:
        with self._changed:
            return replace(self._stats, queued=len(self._waiting), spilled=len(self._backlog))

    def flush(self, limit_s: float) -> bool:
        """Wait until all is in the database."""
        until = time.monotonic() + limit_s
        with self._changed:
            while self._waiting or self._backlog:
                if (left := until - time.monotonic()) <= 0:
                    return False
                self._changed.wait(min(left, 0.05))
        return True

    def close(self, limit_s: float) -> None:
        """Everything to the database, or to files, within the limit. Blocking."""
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify_all()
        if thread is not None:
            thread.join(limit_s)
        for call_id, item in self._taken():  # the thread waits for a server that does not answer
            try:
                self._spill.put(call_id, item.document or dumped(item.record), item.events)
            except (OSError, TypeError, ValueError) as error:
                log.error("call=%s record lost at the end: %s", call_id, error)  # noqa: TRY400
                self._count(lost=1)
        with self._changed:
            self._closing = False

    def _taken(self) -> list[tuple[str, _Item]]:
        with self._changed:
            taken = list(self._waiting.items())
            self._waiting.clear()
        return taken

    # ---- the thread

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="store", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._backlog or self._closing):
                    self._changed.wait()
                if self._closing and (not self._waiting or self._stats.last_error):
                    self._thread = None
                    break
            try:
                self._step()
            except Exception:  # the boundary: whatever it is, the next record must not suffer
                log.exception("store: the writer failed; it goes on")
                self._backoff()
                self._rest(BACKOFF_S[0])
        self._link.close()

    def _step(self) -> None:
        if not self._found:
            self._find_backlog()
        due = time.monotonic() >= self._down_until
        if self._waiting and due and not self._backlog:
            self._write_first()
        elif self._waiting and self._spill_first():
            pass
        elif self._backlog and due:
            self._replay()
        else:
            self._rest(max(0.0, self._down_until - time.monotonic()) or REST_S)

    def _rest(self, seconds: float) -> None:
        """New records and the end are not waited for."""
        with self._changed:
            if not self._closing:
                self._changed.wait(seconds)

    def _first(self) -> tuple[str, _Item] | None:
        with self._changed:
            return next(iter(self._waiting.items()), None)

    def _done(self, call_id: str, item: _Item, *, path: Path | None = None) -> None:
        """It is in the database, or in the file `path`. A newer record of the call may have come meanwhile."""
        with self._changed:
            if path is not None:
                self._backlog.append(path)
            if self._waiting.get(call_id) is item:
                del self._waiting[call_id]
            self._changed.notify_all()

    def _write_first(self) -> None:
        if (first := self._first()) is None:
            return
        call_id, item = first
        if not self._serialised(call_id, item):
            return
        self._write_events(call_id, item)
        try:
            self._link.write(call_id, item.record, item.document)
        except (UnavailableError, NewerStoreError) as error:
            self._failed(error)
        except RefusedError as error:
            self._refused(call_id, error)
            self._spill_first()
        else:
            self._wrote()
            self._done(call_id, item)

    def _serialised(self, call_id: str, item: _Item) -> bool:
        try:
            item.document = item.document or dumped(item.record)
        except (TypeError, ValueError) as error:
            log.error("call=%s record lost: it is no JSON: %s", call_id, error)  # noqa: TRY400
            self._count(lost=1)
            self._done(call_id, item)
            return False
        return True

    def _write_events(self, call_id: str, item: _Item) -> None:
        if not item.events:
            return
        path = self._folder / "calls" / f"{call_id}.events.jsonl"
        try:
            write_whole(path, "\n".join(item.events) + "\n")
        except OSError as error:
            log.error("call=%s event log not written to %s: %s", call_id, path.parent, error)  # noqa: TRY400
        else:
            item.events = None

    def _spill_first(self) -> bool:
        """Whether the first record is in a file now; the disk may be full."""
        if (first := self._first()) is None:
            return True
        call_id, item = first
        if not self._serialised(call_id, item):
            return True
        try:
            path = self._spill.put(call_id, item.document, item.events)
        except OSError as error:
            if "spill" not in self._stats.last_error:
                log.error("store: records stay in memory: %s: %s", self._spill.folder, error)  # noqa: TRY400
                self._count(last_error=f"spill: {error}; {self._stats.last_error}")
            return False
        self._done(call_id, item, path=path)
        return True

    # ---- what waits in files

    def _find_backlog(self) -> None:
        found = [*self._legacy.paths(), *self._spill.paths()]
        with self._changed:
            self._backlog = deque(found)
            self._found = True
        if found:
            log.info("store: %d records wait to be written", len(found))

    def _replay(self) -> None:
        """The oldest one into the database."""
        path, began = self._backlog[0], time.monotonic()
        try:
            with self._spill.lock():
                self._move(path)
        except (UnavailableError, NewerStoreError, OSError) as error:
            self._failed(error)
            return
        with self._changed:
            self._backlog.popleft()
            self._changed.notify_all()
        if not self._backlog:
            log.info("store: no record waits any more")
        time.sleep(min(REST_S, time.monotonic() - began))

    def _move(self, path: Path) -> None:
        source = self._spill if path.parent == self._spill.folder else self._legacy
        try:
            held: Spilled = source.read(path)
        except FileNotFoundError:
            return  # erased
        except DamagedError as error:
            log.error("store: %s", error)  # noqa: TRY400
            source.refuse(path)
            return
        item = _Item(held.record, held.events, held.document)
        self._write_events(held.call_id, item)
        try:
            self._link.write(held.call_id, item.record, item.document)
        except RefusedError as error:
            self._refused(held.call_id, error)
            source.refuse(path)
        else:
            self._wrote()
            path.unlink(missing_ok=True)

    # ---- how it went

    def _count(self, *, written: int = 0, lost: int = 0, errors: int = 0, last_error: str | None = None) -> None:
        with self._changed:
            was = self._stats
            self._stats = replace(
                was, written=was.written + written, lost=was.lost + lost, errors=was.errors + errors,
                last_error=was.last_error if last_error is None else last_error,
            )  # fmt: skip

    def _wrote(self) -> None:
        if self._stats.last_error:
            log.info("store: %s takes records again", self._link.where)
        self._count(written=1, last_error="")
        self._pause_s = 0.0

    def _failed(self, error: Exception) -> None:
        if not self._stats.last_error:
            log.error("store: not written, records are kept in %s: %s", self._spill.folder, error)
        self._count(errors=1, last_error=str(error))
        self._backoff()

    def _backoff(self) -> None:
        self._pause_s = min(BACKOFF_S[1], self._pause_s * 2 or BACKOFF_S[0])
        self._down_until = time.monotonic() + self._pause_s

    def _refused(self, call_id: str, error: RefusedError) -> None:
        log.error("call=%s record refused, kept in %s: %s", call_id, self._spill.folder, error)
        self._count(errors=1)


def write_whole(path: Path, text: str) -> None:
    """For the owner only; there or not, never a piece. Raises OSError."""
    part = path.with_suffix(".part")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT, 0o600))
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError:
        if part.is_file():
            part.unlink(missing_ok=True)
        raise
