"""A circuit breaker: what fails again and again is not asked for a while, so that callers need not wait for it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

BreakerState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerLimits:
    """It opens after `failures` within `window_s` seconds if these are at least half of the runs. After `open_s`
    seconds one run is let through, and its end decides."""

    failures: int = 5
    window_s: float = 60.0
    open_s: float = 30.0


class Breaker:
    """One tool's. Has no clock: every method takes `now` in seconds."""

    def __init__(self, limits: BreakerLimits) -> None:
        self._limits = limits
        self._runs: deque[tuple[float, bool]] = deque()
        self._opened: float | None = None
        self._probing = False

    def state(self, now: float) -> BreakerState:
        if self._opened is None:
            return "closed"
        return "open" if now < self._opened + self._limits.open_s else "half_open"

    def admit(self, now: float) -> bool:
        """Whether a run may start. One that was admitted must end in `succeeded`, `failed` or `withdrawn`."""
        match self.state(now):
            case "closed":
                return True
            case "half_open" if not self._probing:
                self._probing = True
                return True
        return False

    def succeeded(self, now: float) -> None:
        if self._opened is not None:
            self._opened, self._probing = None, False
            self._runs.clear()
        self._note(now, True)

    def failed(self, now: float) -> None:
        self._note(now, False)
        failures = sum(not ok for _, ok in self._runs)
        if self._opened is not None or (failures >= self._limits.failures and 2 * failures >= len(self._runs)):
            self._opened, self._probing = now, False

    def withdrawn(self) -> None:
        """The run was cancelled and says nothing about the tool."""
        self._probing = False

    def _note(self, now: float, ok: bool) -> None:
        self._runs.append((now, ok))
        while self._runs and self._runs[0][0] < now - self._limits.window_s:
            self._runs.popleft()
