"""Runs one hook beside the calls: a task of its own, a queue with an end, a deadline. Whatever it does, calls go on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from voicebridge.hooks.hook import EventHook
from voicebridge.trace.bus import Bus, Happening

log = logging.getLogger(__name__)

DEADLINE_S = 10.0
CLOSE_S = 3.0
WAITING = 500
"""Happenings; what comes on top of them is dropped and counted."""


class Runner:
    """Counts for metrics: `queued`, `delivered`, `failed`. A hook that delivers in the background (it has these three
    itself) is believed."""

    def __init__(
        self, name: str, hook: EventHook, *, deadline_s: float = DEADLINE_S, waiting: int = WAITING
    ) -> None:
        self.name = name
        self.hook = hook
        self.dropped = 0
        self._deadline_s = deadline_s
        self._most = waiting
        self._waiting: deque[Happening] = deque()
        self._fresh = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._done = 0
        self._failed = 0
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None

    @property
    def queued(self) -> int:
        return len(self._waiting) + int(getattr(self.hook, "queued", 0))

    @property
    def delivered(self) -> int:
        return int(getattr(self.hook, "delivered", self._done))

    @property
    def failed(self) -> int:
        return self.dropped + self._failed + int(getattr(self.hook, "failed", 0))

    def start(self, bus: Bus) -> None:
        self._unsubscribe = bus.subscribe(self._happened, self.hook.events)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"events {self.name}")

    async def stop(self, grace_s: float = CLOSE_S) -> None:
        """What waits gets `grace_s`; then the hook is closed."""
        self._unsubscribe()
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace_s)
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=1.0)
        if self._waiting:
            self.dropped += len(self._waiting)
            log.error("events %s: %d happenings were not handled before the end", self.name, len(self._waiting))
            self._waiting.clear()
        await self._guarded("close", self.hook.close, CLOSE_S, "")

    def _happened(self, happening: Happening) -> None:
        if len(self._waiting) >= self._most:
            self.dropped += 1
            if self.dropped == 1 or self.dropped % 100 == 0:
                log.error("events %s: too slow, %d happenings dropped so far", self.name, self.dropped)
            return
        self._waiting.append(happening)
        self._fresh.set()
        self._idle.clear()

    async def _run(self) -> None:
        if (start := getattr(self.hook, "start", None)) is not None:
            await self._guarded("start", start, self._deadline_s, "")
        while True:
            await self._fresh.wait()
            happening = self._waiting.popleft()
            handle = functools.partial(self.hook.handle, happening)
            if await self._guarded(happening["event"], handle, self._deadline_s, happening["call_id"]):
                self._done += 1
            else:
                self._failed += 1
            if not self._waiting:
                self._fresh.clear()
                self._idle.set()

    async def _guarded(self, what: str, work: Callable[[], Awaitable[None]], limit_s: float, call_id: str) -> bool:
        try:
            async with asyncio.timeout(limit_s):
                await work()
        except TimeoutError:
            log.error("call=%s events %s: %s took longer than %g s: dropped", call_id, self.name, what, limit_s)  # noqa: TRY400
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise  # it is us who are to end
            log.error("call=%s events %s: %s cancelled itself", call_id, self.name, what)  # noqa: TRY400
            log.debug("events %s", self.name, exc_info=error)
        except (Exception, SystemExit) as error:  # the boundary: a stranger's code, and no call may suffer from it
            # Not its text: a hook may put into it what it was given.
            log.error("call=%s events %s: %s failed: %s", call_id, self.name, what, type(error).__name__)  # noqa: TRY400
            log.debug("events %s", self.name, exc_info=error)
        else:
            return True
        return False
