"""The media clock: one 20 ms ticker for all calls of the process, on absolute deadlines."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

Tick = Callable[[float], None]
MAX_BACKLOG = 3
"""Ticks that are made up for after a delay. A longer stall is skipped: its audio would only come too late."""
_BUCKETS_MS = (1, 2, 5, 10, 20, 40, 60, 100, 200, 500)


@dataclass
class Lateness:
    """How late ticks were, as a histogram in milliseconds (upper bounds `_BUCKETS_MS`, then the rest)."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS_MS) + 1))
    worst_s: float = 0.0
    total_s: float = 0.0
    skipped: int = 0

    def note(self, late_s: float) -> None:
        late_ms = late_s * 1000
        index = next((i for i, bound in enumerate(_BUCKETS_MS) if late_ms <= bound), len(_BUCKETS_MS))
        self.counts[index] += 1
        self.worst_s = max(self.worst_s, late_s)
        self.total_s += late_s

    def buckets(self) -> Iterator[tuple[int | None, int]]:
        """(upper bound in ms, how many ticks); None is the rest."""
        yield from zip((*_BUCKETS_MS, None), self.counts, strict=True)

    def quantile_ms(self, share: float) -> float:
        """An upper bound for the given share of ticks, at most the worst."""
        wanted, seen = share * sum(self.counts), 0
        for bound, count in zip(_BUCKETS_MS, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return min(float(bound), self.worst_s * 1000)
        return self.worst_s * 1000


class Ticker:
    """Calls every registered function once a frame. One that raises is logged and taken out; the others go on."""

    def __init__(self, frame_s: float = 0.02) -> None:
        self.frame_s = frame_s
        self.lateness = Lateness()
        self.last_tick = time.monotonic()
        self._functions: dict[int, Tick] = {}
        self._next_id = 0
        self._due = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def add(self, function: Tick) -> int:
        """Returns the ticket for `remove`. The function gets the loop's time of the tick."""
        self._next_id += 1
        self._functions[self._next_id] = function
        return self._next_id

    def remove(self, ticket: int) -> None:
        self._functions.pop(ticket, None)

    def __len__(self) -> int:
        return len(self._functions)

    @property
    def running(self) -> bool:
        return self._handle is not None

    def start(self) -> None:
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time() + self.frame_s
            self._handle = loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        # The loop's clock is that of the beginning of its round (and uvloop's counts whole milliseconds): what was
        # waited for behind other callbacks shows in the real one, which has the same zero.
        self.last_tick = time.monotonic()
        self.lateness.note(max(0.0, self.last_tick - self._due))
        for ticket, function in list(self._functions.items()):
            if ticket not in self._functions:
                continue  # removed by one that ran before it in this tick
            try:
                function(now)
            except Exception:  # noqa: BLE001 - one call's fault must not stop the clock of all others
                log.exception("media clock: a call's tick failed; it is not called again")
                self.remove(ticket)
        if self._handle is None:
            return  # stopped by one of them
        self._due += self.frame_s
        behind = int((time.monotonic() - self._due) / self.frame_s)
        if behind > MAX_BACKLOG:
            self.lateness.skipped += behind
            self._due += behind * self.frame_s
        self._handle = loop.call_at(self._due, self._tick)
