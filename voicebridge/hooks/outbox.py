"""What is to be delivered, kept on the disk until it is: a receiver that is down for hours and a daemon that ends lose
none.

A file a delivery in a folder that only we can enter, named by time and number; the body as it will be sent. Each is
tried by itself, with pauses that double; a receiver that answers nobody is asked by one delivery at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from voicebridge.delivery import FIRST_PAUSE_S, Sender, pause_s

log = logging.getLogger(__name__)

SUFFIX = ".delivery"
LAST_S = 2.0
"""At the end of the daemon, for what has just been put in."""


@dataclass(slots=True)
class _Waiting:
    """`due`: by the monotonic clock. `body`: only where the disk did not take it."""

    name: str
    attempts: int = 0
    due: float = 0.0
    body: bytes | None = None

    @property
    def number(self) -> str:
        return self.name.partition("-")[2].removesuffix(SUFFIX)

    @property
    def age_s(self) -> float:
        stamp = self.name.partition("-")[0]
        return time.time() - int(stamp) / 1e9 if stamp.isdigit() else 0.0


class Outbox:
    """`keep_s`: so long a delivery is tried. `start` takes up what an earlier daemon has left."""

    def __init__(
        self,
        folder: Path,
        sender: Sender,
        *,
        keep_s: float,
        first_pause_s: float = FIRST_PAUSE_S,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._folder = folder
        self._sender = sender
        self._keep_s = keep_s
        self._first_pause_s = first_pause_s
        self._spread = spread
        self._waiting: dict[str, _Waiting] = {}
        self._silent = 0  # attempts in a row that nobody answered
        self._ask_again = 0.0
        self._fresh = asyncio.Event()
        self._looked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.delivered = 0
        self.failed = 0

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="outbox")

    async def put(self, body: bytes) -> None:
        """Returns when it is on the disk; where the disk does not take it, it waits in memory."""
        self.start()
        await self._looked.wait()
        waiting = _Waiting(f"{time.time_ns():020d}-{uuid.uuid4()}{SUFFIX}")
        try:
            await asyncio.to_thread(_write, self._folder, waiting.name, body)
        except OSError as error:
            log.error("outbox %s: %s; a delivery waits in memory only", self._folder, error.strerror)  # noqa: TRY400
            waiting.body = body
        self._waiting[waiting.name] = waiting
        self._fresh.set()

    async def close(self) -> None:
        """What does not go out in a moment stays for the next daemon."""
        if self._task is not None:
            until = time.monotonic() + LAST_S
            while self._waiting and not self._silent and time.monotonic() < until:  # noqa: ASYNC110 - it has an end
                await asyncio.sleep(0.02)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        lost = sum(waiting.body is not None for waiting in self._waiting.values())
        if lost:
            self.failed += lost
            log.error("outbox %s: %d deliveries that the disk did not take are lost", self._folder, lost)
        if left := len(self._waiting) - lost:
            log.info("outbox %s: %d deliveries are left for the next start", self._folder, left)
        await self._sender.close()

    async def _run(self) -> None:
        for name in await asyncio.to_thread(_names, self._folder):
            self._waiting[name] = _Waiting(name)
        self._looked.set()
        while True:
            self._fresh.clear()
            if not self._waiting:
                await self._fresh.wait()
                continue
            first = min(self._waiting.values(), key=lambda waiting: (waiting.due, waiting.name))
            pause = max(first.due, self._ask_again) - time.monotonic()
            if pause > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._fresh.wait(), pause)
                continue
            await self._deliver(first)

    async def _deliver(self, waiting: _Waiting) -> None:
        body = waiting.body
        if body is None:
            try:
                body = await asyncio.to_thread((self._folder / waiting.name).read_bytes)
            except OSError as error:
                log.error("outbox %s: a delivery cannot be read: %s", self._folder, error.strerror)  # noqa: TRY400
                self.failed += 1
                del self._waiting[waiting.name]
                return
        waiting.attempts += 1
        made = await self._sender.attempt(waiting.number, body)
        if not made.trouble:
            self._silent, self._ask_again = 0, 0.0
            self.delivered += 1
            log.info("outbox: %s told, attempt %d, after %.1f s", self._sender.host, waiting.attempts, waiting.age_s)
            await self._forget(waiting)
        elif made.final or waiting.age_s > self._keep_s:
            self.failed += 1
            log.error("outbox: %s was not told: %s, attempt %d", self._sender.host, made.trouble, waiting.attempts)
            await self._forget(waiting)
        else:
            self._put_off(waiting, made.trouble, silent=made.silent)

    def _put_off(self, waiting: _Waiting, trouble: str, *, silent: bool) -> None:
        self._silent = self._silent + 1 if silent else 0
        log.warning(
            "outbox: %s: %s, attempt %d; %d wait", self._sender.host, trouble, waiting.attempts, len(self._waiting)
        )
        now = time.monotonic()
        if silent:  # whoever is next would fare the same
            self._ask_again = now + pause_s(self._silent, self._spread(), self._first_pause_s)
        else:
            self._ask_again = 0.0
            waiting.due = now + pause_s(waiting.attempts, self._spread(), self._first_pause_s)

    async def _forget(self, waiting: _Waiting) -> None:
        self._waiting.pop(waiting.name, None)
        try:
            await asyncio.to_thread((self._folder / waiting.name).unlink, missing_ok=True)
        except OSError as error:
            log.error("outbox %s: what was delivered cannot be deleted: %s", self._folder, error.strerror)  # noqa: TRY400


def private(folder: Path) -> None:
    """Make a folder that only we can enter. Blocks. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def put_file(path: Path, body: bytes) -> None:
    """Whole or not at all, for its owner alone. Blocks. Raises OSError."""
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as sink:
        sink.write(body)
        sink.flush()
        os.fsync(sink.fileno())
    part.replace(path)


def _write(folder: Path, name: str, body: bytes) -> None:
    private(folder)
    put_file(folder / name, body)


def _names(folder: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return sorted(file.name for file in folder.iterdir() if file.name.endswith(SUFFIX))
    return []
