"""One request to several engines: the first is asked, the next too when that fails or takes too long.

The first good answer counts, whoever gives it: an engine that was only slow may still win. Nobody is asked twice.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Literal, TypeVar

from voicebridge.engines.base import EngineError, EngineKind
from voicebridge.engines.failover.health import E, Member, Roster

log = logging.getLogger(__name__)
T = TypeVar("T")

LOOK_S = 0.04
"""How often it is looked whether the engine that was asked is still there."""
BUSY_S = 0.6
"""So much more patience with one that has answered somebody else meanwhile: it does not hang, it has much to do."""

Verdict = Literal["good", "doubtful", "garbage"]


def as_engine_error(kind: EngineKind, name: str, error: BaseException) -> EngineError:
    """A stranger's engine may raise anything: that must not end a call which another engine can serve."""
    if isinstance(error, EngineError):
        return error
    log.error("%s engine %s raised what it should not: %r", kind, name, error, exc_info=error)
    return EngineError(kind, name, "crashed", type(error).__name__)


class Race(Generic[E, T]):
    """`ask` one of `order` after the other. `judge` says what an answer is worth; a doubtful one counts for want of a
    better. `patient_until` (time.monotonic()) is when the second is asked although the first says nothing; math.inf:
    only when the first fails. `patience_s` is what each later one gets before the next."""

    def __init__(
        self,
        roster: Roster[E],
        order: Sequence[Member[E]],
        ask: Callable[[Member[E]], Awaitable[T]],
        *,
        judge: Callable[[T], Verdict],
        patient_until: float,
        patience_s: float,
    ) -> None:
        self._roster = roster
        self._next = list(order)
        self._ask = ask
        self._judge = judge
        self._patience_s = patience_s
        self._until = patient_until
        self._began = time.monotonic()
        self._running: dict[asyncio.Task[T], tuple[Member[E], float]] = {}
        self._newest = order[0]
        self._doubtful: tuple[Member[E], T] | None = None
        self._errors: list[EngineError] = []
        self.causes: dict[str, str] = {}
        """Why those failed that did, by their names."""

    async def run(self) -> tuple[Member[E], T]:
        """Who answered, and what. Raises EngineError: the last one that came."""
        try:
            self._start_next()
            while self._running:
                ready, _ = await asyncio.wait(self._running, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in self._running if task in ready]:
                    if (won := self._finished(task)) is not None:
                        self._leave_behind()
                        return won
                if self._doubtful is not None and time.monotonic() >= self._until and not self._next:
                    break
                if self._next and self._wants_next():
                    self._start_next()
        finally:
            for task in self._running:
                task.cancel()
        if self._doubtful is not None:
            return self._doubtful
        raise self._errors[-1]

    def _start_next(self) -> None:
        member = self._newest = self._next.pop(0)
        now = time.monotonic()
        if self._running or self._doubtful or self._errors:
            self._until = now + self._patience_s
        self._running[asyncio.ensure_future(self._ask(member))] = member, self._until

    def _finished(self, task: asyncio.Task[T]) -> tuple[Member[E], T] | None:
        member, _ = self._running.pop(task)
        if task.cancelled():
            self._errors.append(EngineError(self._roster.kind, member.name, "refused", "superseded"))
            return None
        if (error := task.exception()) is not None:
            told = as_engine_error(self._roster.kind, member.name, error)
            self._errors.append(told)
            self._failed(member, told.cause)
            return None
        verdict, made = self._judge(task.result()), task.result()
        if verdict == "garbage":
            self._errors.append(EngineError(self._roster.kind, member.name, "garbage", "nothing of use"))
            self._failed(member, "garbage")
            return None
        self._roster.answered(member)
        if verdict == "good":
            return member, made
        self._doubtful = self._doubtful or (member, made)
        self.causes[member.name] = "empty"
        return None

    def _failed(self, member: Member[E], cause: str) -> None:
        self.causes[member.name] = cause
        self._roster.failed(member, cause)

    def _wants_next(self) -> bool:
        if not self._running or not self._newest.ready or self._newest.in_doubt:
            return True
        busy = self._newest.answered_at > self._began
        return time.monotonic() >= self._until + (BUSY_S if busy else 0.0)

    def _leave_behind(self) -> None:
        """Those whose time had run out, or who are gone, have failed; who was only asked besides has not."""
        for member, until in self._running.values():
            if not member.ready:
                self._failed(member, "crashed")
            elif until < math.inf and time.monotonic() >= until and member.answered_at < self._began:
                self._failed(member, "timeout")
