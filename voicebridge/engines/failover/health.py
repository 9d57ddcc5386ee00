"""Which of several engines is to be trusted now.

An engine that failed rests; whether it serves again its own supervisor knows (`ready`), and the next call that begins
with it asks the spare as well until it has answered. One that fails again and again is avoided for longer. A call that
has moved stays where it is: recovery brings new calls back.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from voicebridge.engines.base import EngineKind

log = logging.getLogger(__name__)

REST_S = 5.0
FLAPS, FLAPS_WITHIN_S, AVOID_S = 3, 60.0, 60.0
"""So many failures in so short a time, and new calls go elsewhere for so long."""


class Engine(Protocol):
    name: str

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    @property
    def ready(self) -> bool: ...


E = TypeVar("E", bound=Engine)


@dataclass(frozen=True, slots=True)
class Move:
    """A call goes on with the engine `new`, because `old` failed: `cause` is one of EngineError's, or `empty`."""

    kind: EngineKind
    old: str
    new: str
    cause: str


@dataclass
class Watch:
    """One call's: who is told of its moves, and where it stays (by kind; engines without sessions look here, and who
    writes down which model served)."""

    moved: Callable[[Move], None]
    stays: dict[str, str] = field(default_factory=dict)


WATCH: ContextVar[Watch | None] = ContextVar("failover_watch", default=None)
"""Set in the tasks of a call: an engine is shared by all calls and is not told who asks."""


def tell(move: Move) -> None:
    if (watch := WATCH.get()) is not None:
        watch.moved(move)


class Member(Generic[E]):
    """One of the engines. Times are time.monotonic() seconds."""

    def __init__(self, engine: E, place: int) -> None:
        self.engine = engine
        self.place = place
        self.failed_at = self.answered_at = self.rests_until = float("-inf")
        self.failures: deque[float] = deque(maxlen=FLAPS)
        self.cause = ""

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def ready(self) -> bool:
        return bool(self.engine.ready)

    @property
    def resting(self) -> bool:
        return time.monotonic() < self.rests_until

    @property
    def in_doubt(self) -> bool:
        """It failed and has not answered since."""
        return self.failed_at > self.answered_at

    @property
    def trouble(self) -> str:
        """Why one goes elsewhere, as far as is known."""
        return "crashed" if not self.ready else self.cause if self.in_doubt else "timeout"


class Roster(Generic[E]):
    """The engines of a kind in the order in which they are preferred."""

    def __init__(self, kind: EngineKind, engines: Sequence[E]) -> None:
        self.kind = kind
        self.members = tuple(Member(engine, place) for place, engine in enumerate(engines))

    def ranked(self, stays: Member[E] | None = None) -> list[Member[E]]:
        """The best for a new call first; `stays` before all others as long as it is ready, and does not fail."""

        def rank(member: Member[E]) -> tuple[bool, bool, bool, int]:
            return not member.ready, member is not stays, member.resting, member.place

        return sorted(self.members, key=rank)

    def named(self, name: str) -> Member[E] | None:
        return next((member for member in self.members if member.name == name), None)

    def answered(self, member: Member[E]) -> None:
        if member.in_doubt:
            log.info("%s: %s answers again; new calls begin with %s", self.kind, member.name, self._first())
        member.answered_at = time.monotonic()

    def failed(self, member: Member[E], cause: str) -> None:
        """Calls that fail together are one failure: what fails while it rests is no news."""
        now = time.monotonic()
        member.failed_at, member.cause = now, cause
        if member.resting:
            return
        member.failures.append(now)
        flaps = len(member.failures) == FLAPS and now - member.failures[0] <= FLAPS_WITHIN_S
        member.rests_until = now + (AVOID_S if flaps else REST_S)
        often = f", the {FLAPS}rd time in {FLAPS_WITHIN_S:.0f} s" if flaps else ""
        rests = member.rests_until - now
        log.warning(
            "%s: %s failed (%s%s); new calls begin with %s for %.0f s",
            self.kind, member.name, cause, often, self._first(), rests,
        )  # fmt: skip

    def _first(self) -> str:
        return self.ranked()[0].name

    @property
    def ready(self) -> bool:
        return any(member.ready for member in self.members)
