"""Where on a picture's width a moment lies: the wait for the answer takes most of it, the answer's playing the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

WAIT_SHARE = 74.0
"""Percent of the width for the time until the answer is heard; what plays afterwards is drawn closer together."""
_STEPS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0)
_TICKS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """Two straight pieces: `begin` to `bend` (seconds) left of `bend_at` percent, `bend` to `end` right of it."""

    begin: float
    bend: float
    end: float
    bend_at: float

    def at(self, moment: float) -> float:
        """In percent; what lies outside is put on the edge."""
        if moment <= self.bend:
            return self.bend_at * _share(moment, self.begin, self.bend)
        return self.bend_at + (100.0 - self.bend_at) * _share(moment, self.bend, self.end)


def scale(begin: float, bend: float | None, end: float) -> Scale:
    """`bend` is None where one scale is enough."""
    if bend is None or bend >= end:
        return Scale(begin, max(end, begin), max(end, begin), 100.0)
    return Scale(begin, bend, end, WAIT_SHARE if bend > begin else 0.0)


def ticks(length: float) -> list[float]:
    """Round seconds from 0 on that divide a length into a handful of parts."""
    step = next((step for step in _STEPS if length / step <= _TICKS), _STEPS[-1])
    return [round(number * step, 3) for number in range(math.floor(length / step + 1e-9) + 1)]


def in_words(seconds: float) -> str:
    """`0`, `200 ms`, `1.5 s`, `12 s`."""
    if seconds == 0:
        return "0"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.3g} s"


def _share(moment: float, begin: float, end: float) -> float:
    return 0.0 if end <= begin else min(1.0, max(0.0, (moment - begin) / (end - begin)))
