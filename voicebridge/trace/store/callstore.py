"""The records of calls: one JSON document a call below `<dir>/calls`, readable by the owner only, with retention.

What was said stands here and nowhere else. A record that cannot be written is reported and never fails a call.
"""

from __future__ import annotations

import json
import logging
import re
import time
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_CALL_ID = re.compile(r"[0-9a-f-]{36}")
DAY_S = 86_400


class CallStore:
    """Files named by call id: `<id>.json`, and `<id>.wav`, `<id>.events.jsonl` where these are switched on."""

    def __init__(self, folder: Path, *, keep_days: int) -> None:
        self._folder = folder / "calls"
        self._keep_days = keep_days

    def path(self, call_id: str, suffix: str) -> Path:
        if not _CALL_ID.fullmatch(call_id):
            raise ValueError(f"{call_id!r} is not a call id")
        return self._folder / f"{call_id}{suffix}"

    def prepare(self) -> None:
        """Make the folder. Raises OSError where it cannot be."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder.chmod(0o700)

    def write(self, call_id: str, record: dict[str, Any], events: list[str] | None = None) -> None:
        """Blocking; errors are logged."""
        try:
            self._put(self.path(call_id, ".json"), json.dumps(record, indent=1))
            if events:
                self._put(self.path(call_id, ".events.jsonl"), "\n".join(events) + "\n")
        except OSError as error:
            log.error("call=%s record not written to %s: %s", call_id, self._folder, error)  # noqa: TRY400

    def _put(self, path: Path, text: str) -> None:
        part = path.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(text, encoding="utf-8")
        part.replace(path)

    def read(self, call_id: str) -> dict[str, Any]:
        """Raises FileNotFoundError, and ValueError where the file is damaged."""
        record: dict[str, Any] = json.loads(self.path(call_id, ".json").read_text(encoding="utf-8"))
        return record

    def purge(self, *, now: float | None = None) -> int:
        """Delete what is older than the retention; returns the number of files."""
        oldest = (time.time() if now is None else now) - self._keep_days * DAY_S
        gone = 0
        if self._folder.is_dir():
            for file in self._folder.iterdir():
                try:
                    if file.stat().st_mtime < oldest:
                        file.unlink()
                        gone += 1
                except FileNotFoundError:
                    continue
                except OSError as error:
                    log.warning("%s is past its retention and cannot be deleted: %s", file, error)
        return gone
