"""A clock that is set forward: what is due happens in its order, and takes no time."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

Act = Callable[[], Awaitable[None]]


@dataclass(order=True)
class Entry:
    """Something that will happen. `idle`: a mere timer, nothing that somebody works at."""

    at: float
    order: int
    act: Act = field(compare=False)
    idle: bool = field(compare=False, default=False)
    name: str = field(compare=False, default="")
    cancelled: bool = field(compare=False, default=False)


class Agenda:
    def __init__(self, now: float) -> None:
        self.now = now
        self._due: list[Entry] = []
        self._order = itertools.count()

    def later(self, delay: float, act: Act, *, idle: bool = False, name: str = "") -> Entry:
        entry = Entry(self.now + max(0.0, delay), next(self._order), act, idle, name)
        heapq.heappush(self._due, entry)
        return entry

    def pending(self) -> list[Entry]:
        return [entry for entry in self._due if not entry.cancelled]

    async def run(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass; stops early, and gives True, once `until` holds."""
        end = self.now + seconds
        while not until():
            while self._due and self._due[0].cancelled:
                heapq.heappop(self._due)
            if not self._due or self._due[0].at > end:
                self.now = end
                return until()
            entry = heapq.heappop(self._due)
            self.now = max(self.now, entry.at)
            await entry.act()
        return True
