"""events.file: one JSON document a call, `<dir>/<call_id>.json`, readable by its owner only.

It is the record: trace/record.py.

    [events.file]
    dir = "/var/lib/voicebridge/documents"
    keep_days = 30
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from voicebridge.hooks.outbox import put_file

log = logging.getLogger(__name__)

DOCUMENT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.json")
"""Nothing else in the folder is ours to delete."""
PURGE_EVERY_S = 6 * 3600
DAY_S = 86_400


class FileOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    dir: Path
    keep_days: int = Field(default=30, ge=0)


class EventFile:
    events = frozenset({"call_ended"})

    def __init__(self, options: FileOptions) -> None:
        self._folder = options.dir
        self._keep_days = options.keep_days
        self._purging: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._purging = asyncio.get_running_loop().create_task(self._purge_now_and_then())

    async def handle(self, happening: dict[str, Any]) -> None:
        await asyncio.to_thread(self._write, happening["call_id"], happening["record"])

    async def close(self) -> None:
        if self._purging is not None:
            self._purging.cancel()

    def _write(self, call_id: str, record: dict[str, Any]) -> None:
        if not DOCUMENT.fullmatch(f"{call_id}.json"):
            raise ValueError("not a call id")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        put_file(self._folder / f"{call_id}.json", json.dumps(record, indent=1).encode())

    async def _purge_now_and_then(self) -> None:
        while True:
            gone = await asyncio.to_thread(self.purge)
            if gone:
                log.info("events file: %d documents past their retention deleted", gone)
            await asyncio.sleep(PURGE_EVERY_S)

    def purge(self, now: float | None = None) -> int:
        """Delete documents older than `keep_days`; how many. Blocks; what cannot be deleted is logged."""
        oldest = (time.time() if now is None else now) - self._keep_days * DAY_S
        gone = 0
        try:
            for file in self._folder.iterdir():
                if DOCUMENT.fullmatch(file.name) and file.stat().st_mtime < oldest:
                    file.unlink(missing_ok=True)
                    gone += 1
        except FileNotFoundError:
            return gone
        except OSError as error:
            log.warning("events file: %s: documents past their retention cannot be deleted: %s", self._folder, error)
        return gone


class Plugin:
    def create(self, options: Mapping[str, Any], folder: Path) -> EventFile:
        """Relative paths are below the hook's own folder."""
        wanted = FileOptions.model_validate(options)
        return EventFile(wanted.model_copy(update={"dir": folder / wanted.dir.expanduser()}))


HOOK = Plugin()
