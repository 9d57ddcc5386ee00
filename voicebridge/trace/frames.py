"""How evenly a call's own frames were sent: the gaps between them, counted by the millisecond."""

from __future__ import annotations

from typing import Any

LATE_S = 0.040
"""A frame that comes so long after the one before it is heard as a click where the PBX keeps no buffer."""
TOP_MS = 1_000


class FrameGaps:
    """`sent(now)` for each frame (seconds, monotonic); constant memory."""

    def __init__(self) -> None:
        self._counts = [0] * (TOP_MS + 1)
        self._last: float | None = None
        self._longest = 0.0
        self.frames = 0
        self.late = 0

    def sent(self, now: float) -> None:
        self.frames += 1
        if self._last is not None:
            gap = now - self._last
            self._counts[min(TOP_MS, round(gap * 1000))] += 1
            self._longest = max(self._longest, gap)
            self.late += gap > LATE_S
        self._last = now

    def percentile(self, share: float) -> int | None:
        """In ms, by nearest rank; None before the second frame."""
        total = sum(self._counts)
        wanted = share / 100 * total
        seen = 0
        for ms, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return ms
        return None

    def as_dict(self) -> dict[str, Any]:
        return {
            "sent": self.frames,
            "gap_p50_ms": self.percentile(50),
            "gap_p99_ms": self.percentile(99),
            "gap_max_ms": round(self._longest * 1000),
            "late": self.late,
        }
