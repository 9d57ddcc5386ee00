"""What happens, as lines of JSON for whoever watches: a slow watcher loses lines and is told how many."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from voicebridge.trace.bus import Bus, Happening

HEARTBEAT_S = 10.0
WAITING = 256
"""Lines that wait for one watcher; on top of them the oldest is lost."""
GATHER_S = 0.05
"""Lines that come close together go out together: each time a watcher is woken costs the loop of all calls."""
TOGETHER = 64
"""Lines that are sent in one piece."""


class Feed:
    """Listens to the bus only while somebody watches; a happening is written out once for all of them."""

    def __init__(self, bus: Bus, *, heartbeat_s: float = HEARTBEAT_S, waiting: int = WAITING) -> None:
        self._bus = bus
        self._heartbeat_s = heartbeat_s
        self._waiting = waiting
        self._watchers: set[Watcher] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self.lost = 0

    def __len__(self) -> int:
        return len(self._watchers)

    def watch(self, call_id: str = "") -> Watcher:
        """From now on; of one call where it is named."""
        watcher = Watcher(call_id, self._waiting, self._heartbeat_s, self._leave)
        self._watchers.add(watcher)
        if self._unsubscribe is None:
            self._unsubscribe = self._bus.subscribe(self._happened)
        return watcher

    def close(self) -> None:
        """The watchers get what waits for them, and the end."""
        for watcher in tuple(self._watchers):
            watcher.close()

    def _leave(self, watcher: Watcher) -> None:
        self.lost += watcher.lost
        self._watchers.discard(watcher)
        if not self._watchers and self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    def _happened(self, happening: Happening) -> None:
        line = b""
        for watcher in self._watchers:
            if watcher.call_id in ("", happening["call_id"]):
                line = line or _line(happening)
                watcher.put(line)


class Watcher:
    """One who watches; `lost` counts the lines that were too many for him."""

    def __init__(self, call_id: str, most: int, heartbeat_s: float, left: Callable[[Watcher], None]) -> None:
        self.call_id = call_id
        self.lost = 0
        self._most = most
        self._heartbeat_s = heartbeat_s
        self._left = left
        self._lines: deque[bytes] = deque()
        self._untold = 0
        self._fresh = asyncio.Event()
        self._closed = False

    async def lines(self) -> AsyncIterator[bytes]:
        """Until `close`; a heartbeat first, for he is listened for already."""
        try:
            yield _line({"event": "heartbeat", "at": time.time()})
            while True:
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await self._fresh.wait()
                except TimeoutError:
                    yield _line({"event": "heartbeat", "at": time.time()})
                    continue
                if not self._closed:
                    await asyncio.sleep(GATHER_S)
                if piece := self._take():
                    yield piece
                elif self._closed:
                    return
        finally:
            self._left(self)

    def close(self) -> None:
        """What waits is told, and no more."""
        self._closed = True
        self._fresh.set()

    def put(self, line: bytes) -> None:
        if len(self._lines) >= self._most:
            self._lines.popleft()
            self._untold += 1
            self.lost += 1
        if not self._closed:
            self._lines.append(line)
            self._fresh.set()

    def _take(self) -> bytes:
        """Some of what waits; b"" where that is nothing."""
        pieces = [_line({"event": "lost", "n": self._untold})] if self._untold else []
        self._untold = 0
        while self._lines and len(pieces) < TOGETHER:
            pieces.append(self._lines.popleft())
        if not self._lines and not self._closed:
            self._fresh.clear()
        return b"".join(pieces)


def _line(happening: Happening) -> bytes:
    return json.dumps(happening, separators=(",", ":")).encode() + b"\n"
