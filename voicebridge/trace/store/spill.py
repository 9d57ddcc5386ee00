"""Records that the database could not take, as files in `<dir>/spill` until it can: one a record, in order.

Other processes delete what is to be erased, and a second daemon may run on the folder: who moves a record from here to
the database, or erases, holds `lock`.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from voicebridge.trace.record import Record
from voicebridge.trace.store.owner import handed_over

log = logging.getLogger(__name__)

FOLDER = "spill"
SUFFIX = ".json"
REFUSED = ".refused"
"""A record that the database will not take however often it is asked, kept for a person to look at."""
PIECE_S = 60.0
_numbers = itertools.count()


class DamagedError(Exception):
    """The file holds no record."""


@dataclass(frozen=True, slots=True)
class Spilled:
    """`document`: the record as it is to be kept; `events`: lines of its event log that are not written yet."""

    call_id: str
    record: Record
    document: str
    events: list[str] | None = None


class Spill:
    """`folder`: the store's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER

    def prepare(self) -> None:
        """Make the folder and its lock, and remove pieces that a killed daemon has left. Raises OSError."""
        with self.lock(wait=False) as ours:
            if not ours:
                return  # somebody erases: he removes them
            for path in self.pieces():
                path.unlink(missing_ok=True)

    def pieces(self) -> list[Path]:
        """Files that nobody writes any more and that hold no whole record."""
        oldest = time.time() - PIECE_S
        found = []
        for path in self._files():
            with contextlib.suppress(FileNotFoundError):
                if path.suffix == ".part" and path.stat().st_mtime < oldest:
                    found.append(path)
        return found

    def _files(self) -> list[Path]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(self.folder.iterdir())
        return []

    def put(self, call_id: str, document: str, events: list[str] | None = None) -> Path:
        """On the disk when this returns. Raises OSError, and then leaves nothing."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{time.time_ns():020d}-{next(_numbers):06d}-{call_id}"
        part, path = self.folder / f"{name}.part", self.folder / f"{name}{SUFFIX}"
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(f'{{"call_id":{json.dumps(call_id)},"record":{document},"events":{json.dumps(events)}}}')
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync(self.folder)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        return path

    def paths(self) -> list[Path]:
        """In the order in which they were put."""
        return [path for path in self._files() if path.suffix == SUFFIX]

    def refused(self) -> list[Path]:
        return [path for path in self._files() if path.suffix == REFUSED]

    def read(self, path: Path) -> Spilled:
        """Raises OSError (FileNotFoundError where it was erased), DamagedError."""
        try:
            held = json.loads(path.read_text(encoding="ascii"))
            record, events = held["record"], held["events"]
            return Spilled(str(held["call_id"]), record, json.dumps(record, separators=(",", ":")), events)
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(f"{path} holds no record: {error}") from error

    def refuse(self, path: Path) -> None:
        """Put one aside."""
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(REFUSED))

    def find(self, call_id: str) -> Record | None:
        """The newest record of a call that waits here."""
        for path in reversed(self.paths()):
            if path.stem.endswith(call_id):
                with contextlib.suppress(OSError, DamagedError):
                    return self.read(path).record
        return None

    @contextlib.contextmanager
    def lock(self, *, wait: bool = True) -> Iterator[bool]:
        """For as long as one record is moved, or an erasure takes. False where another has it and `wait` is not set.
        Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            handed_over(self.folder)
            handed_over(self.folder / "lock")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(handle)


def _sync(folder: Path) -> None:
    """So that the name is on the disk too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
