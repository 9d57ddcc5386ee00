"""How much later than spoken the caller's audio is heard, because a process was kept waiting: ours, or the PBX's."""

from __future__ import annotations

from collections import deque

WINDOW_S = 1.0
"""A wait is shorter, and what waited then comes all at once. What stays late did not wait: frames are missing."""
MOST_S = 0.6


class Lag:
    """Frames come at the pace of speech, never early: the earliest of the last second is the one that did not wait."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._earliest: deque[tuple[float, float]] = deque()  # (arrival, arrival less place), places ascending

    def heard(self, samples: int, now: float) -> float:
        """`samples` in all have come, the last of them at `now`: the seconds that these had waited."""
        base = now - samples / self._rate
        while self._earliest and self._earliest[-1][1] >= base:
            self._earliest.pop()
        self._earliest.append((now, base))
        while now - self._earliest[0][0] > WINDOW_S:
            self._earliest.popleft()
        late = base - self._earliest[0][1]
        return late if late <= MOST_S else 0.0
