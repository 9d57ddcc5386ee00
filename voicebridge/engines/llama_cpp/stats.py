"""What a worker has done so far, for benches and `doctor`."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

KEPT_STEPS = 1000


@dataclass(slots=True)
class Counts:
    """Tokens of prompts that were computed and that were there already, tokens of answers, messages dropped for want of
    room, and batches."""

    prefilled: int = 0
    reused: int = 0
    generated: int = 0
    dropped: int = 0
    steps: int = 0
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_STEPS))

    def step(self, seconds: float) -> None:
        self.steps += 1
        self._recent.append(seconds * 1000)

    def told(self) -> dict[str, Any]:
        """`step_ms_*` are of the last KEPT_STEPS batches."""
        recent = sorted(self._recent) or [0.0]
        return {
            "tokens": {"prefilled": self.prefilled, "reused": self.reused, "generated": self.generated},
            "messages_dropped": self.dropped,
            "steps": self.steps,
            "step_ms_p50": round(recent[len(recent) // 2], 2),
            "step_ms_p95": round(recent[int(len(recent) * 0.95)], 2),
        }
