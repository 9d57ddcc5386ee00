"""What is asked of the store and what it answers with: plain values, whatever the database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    """Which calls. Times are unix seconds; None and "" do not restrict.

    `text`: words (30 of them at most) that stand in what caller or agent said. `caller`: a whole number, compared by
    its key. `problems`: only calls with a failed tool, an engine's trouble, a handoff or a gap above 1.5 s.
    """

    since: float | None = None
    until: float | None = None
    agent: str = ""
    outcome: str = ""
    ended_by: str = ""
    text: str = ""
    caller: str = ""
    min_gap_s: float | None = None
    problems: bool = False
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call in a list. `gap_p50`, `gap_max`: seconds, None where nothing was answered. `problems`: how many."""

    call_id: str
    began_at: float
    seconds: float
    agent: str
    caller: str
    dialled: str
    outcome: str
    ended_by: str
    target: str
    turns: int
    gap_p50: float | None
    gap_max: float | None
    problems: int
    recorded: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `total`: how many there are without `limit` and `offset`."""

    calls: tuple[CallRow, ...]
    total: int
