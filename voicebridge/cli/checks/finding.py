"""What a check found, and the cure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from time import monotonic
from typing import Literal

State = Literal["ok", "warn", "fail", "skip"]
Tell = Callable[[str], None]
"""Is told in words what a long check is doing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. `cure` is a command or a line of configuration; empty where nothing is wrong.

    `skip`: not looked at, and `found` says why. `seconds` is what the check took.
    """

    check: str
    state: State
    found: str
    cure: str = ""
    seconds: float = 0.0


def timed(findings: Iterable[Finding]) -> Iterator[Finding]:
    """With the time between one finding and the next, where the check gave none of its own."""
    began = monotonic()
    for finding in findings:
        now = monotonic()
        yield finding if finding.seconds else replace(finding, seconds=round(now - began, 3))
        began = monotonic()
