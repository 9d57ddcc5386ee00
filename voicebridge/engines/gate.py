"""The gate in front of a language model: who may use it now, by whose caller would hear silence first.

For a server that we don't schedule. At most `width` requests are inside. A request that is inside is asked to make room
(`Ticket.should_yield`) when one with an earlier deadline waits; speculative work (deadline `math.inf`) is told at once
through `on_preempt`. Deadlines move while a request waits or runs.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

MARGIN_S = 0.15
"""Making room costs some 30 ms (a new request on a cached prefix): not for a difference smaller than this."""


class Ticket:
    """One request at a gate: `async with` it to wait for a place and hold it for the block, once.

    `deadline` in time.monotonic() seconds.
    """

    def __init__(self, gate: Gate, deadline: float, on_preempt: Callable[[], None] | None) -> None:
        self._gate = gate
        self._deadline = deadline
        self._on_preempt = on_preempt
        self.admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Ticket:
        self._gate.queue(self)
        try:
            await self.admitted
        except asyncio.CancelledError:
            self._gate.leave(self)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gate.leave(self)

    @property
    def deadline(self) -> float:
        return self._deadline

    def defer(self, deadline: float) -> None:
        """The result is not needed before `deadline` (or sooner than thought)."""
        self._deadline = self._gate.heeded(deadline)
        self._gate.look()

    @property
    def should_yield(self) -> bool:
        """Somebody more urgent waits, and nobody inside is less urgent than this one."""
        return self._gate.asks_to_yield(self)

    def preempt(self) -> None:
        if self._on_preempt is not None:
            call, self._on_preempt = self._on_preempt, None
            call()


class Gate:
    """Without `deadlines` who comes first goes in first, and nobody makes room for anybody."""

    def __init__(self, width: int, *, deadlines: bool = True) -> None:
        self._width = width
        self._deadlines = deadlines
        self._inside: list[Ticket] = []
        self._waiting: list[Ticket] = []

    def enter(self, deadline: float, on_preempt: Callable[[], None] | None = None) -> Ticket:
        """A ticket to wait and go in with. `on_preempt` is called at most once, and only while it is inside."""
        return Ticket(self, self.heeded(deadline), on_preempt)

    def heeded(self, deadline: float) -> float:
        return deadline if self._deadlines else 0.0

    def queue(self, ticket: Ticket) -> None:
        self._waiting.append(ticket)
        self.look()

    def leave(self, ticket: Ticket) -> None:
        """Give the place back, inside or among those who wait."""
        for places in (self._waiting, self._inside):
            if ticket in places:
                places.remove(ticket)
        self.look()

    @property
    def busy(self) -> bool:
        return bool(self._inside or self._waiting)

    def look(self) -> None:
        """Let in who may, and tell speculative work when somebody needs its place."""
        self._waiting = [ticket for ticket in self._waiting if not ticket.admitted.cancelled()]
        while self._waiting and len(self._inside) < self._width:
            first = min(self._waiting, key=lambda ticket: ticket.deadline)
            self._waiting.remove(first)
            self._inside.append(first)
            first.admitted.set_result(None)
        if any(ticket.deadline < math.inf for ticket in self._waiting):
            for ticket in [ticket for ticket in self._inside if ticket.deadline == math.inf]:
                ticket.preempt()

    def asks_to_yield(self, ticket: Ticket) -> bool:
        if not self._waiting or ticket not in self._inside:
            return False
        soonest = min(waiting.deadline for waiting in self._waiting)
        latest = max(inside.deadline for inside in self._inside)
        return soonest + MARGIN_S < ticket.deadline == latest
