"""What a review of many calls finds, as plain values: the weekly report and the dashboard's overview are drawn from it.

Times: `at`, `since`, `until` are unix seconds; everything that ends in `_s`, and percentiles, are seconds; `ms` is ms.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """How a duration is spread, in seconds. The percentiles are None where `count` is 0."""

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """The turns of a stretch of time that begins at `at`. `actors`: mean seconds a turn waited for each; they add up
    to `mean`."""

    at: float
    calls: int
    turns: int
    p50: float | None
    p95: float | None
    p99: float | None
    mean: float | None
    actors: dict[str, float]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why callers left the agent for a human or the fallback. `reason`: as recorded (`ended_by`); `text`: in words."""

    reason: str
    text: str
    outcome: str
    calls: int
    targets: dict[str, int]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A human was asked for and did not come."""

    target: str
    cause: str
    count: int


@dataclass(frozen=True, slots=True)
class ToolUse:
    """All runs of a tool. `causes`: of the failures, by count; `retried`: runs that took more than one attempt."""

    tool: str
    runs: int
    failures: int
    causes: dict[str, int]
    retried: int
    p50_ms: float | None
    p95_ms: float | None


@dataclass(frozen=True, slots=True)
class Question:
    """What callers asked and got no answer to, similar wordings together.

    `kind`: "unknown" (no rule, or one that admits not to know) or "unsure" (a rule was near, but not near enough).
    `text`: the most typical wording; `examples`: up to five different ones; `rules`: what was matched, if anything.
    """

    text: str
    kind: str
    asked: int
    calls: int
    examples: tuple[str, ...]
    rules: tuple[str, ...]
    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Miss:
    """A form's question that was not understood and asked again. `asked`: how often it was asked at all."""

    question: str
    again: int
    asked: int
    call_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlowTurn:
    """`text` says why, as the record does (`slow`); `actor` "" where that is not known."""

    call_id: str
    turn: int
    at: float
    gap_s: float
    source: str
    actor: str
    text: str
    caller: str


@dataclass(frozen=True, slots=True)
class Failover:
    """An engine was left for another of its kind."""

    kind: str
    old: str
    new: str
    cause: str
    count: int


@dataclass(frozen=True, slots=True)
class Load:
    """Turns by how many calls ran at the same time, at least `calls` of them."""

    calls: int
    turns: int
    gap_p95: float | None
    actors_p95: dict[str, float]


@dataclass(frozen=True, slots=True)
class Fix:
    """What could be done, and what in the calls says so. `kind`: question, unsure, tool, form, engine, speed, handoff,
    greeting, silence. `weight`: how many calls or turns it concerns; the list is ordered by it."""

    kind: str
    what: str
    evidence: str
    weight: int
    examples: tuple[str, ...] = ()
    call_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """Of all calls that began in [since, until).

    `spoken`: calls in which the caller said something; `contained`: those of them that ended with neither handoff nor
    fallback, and were not dropped; `containment`: their share, None where nobody spoke. `silent`: calls in which the
    caller said nothing; `no_input`: calls that we ended because he did not. `troubles`: failures of engines, by name.
    """

    since: float
    until: float
    bucket_s: float
    calls: int = 0
    seconds: float = 0.0
    spoken: int = 0
    contained: int = 0
    silent: int = 0
    no_input: int = 0
    dropped: int = 0
    busiest: int = 0
    agents: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    endings: dict[str, int] = field(default_factory=dict)
    topics: dict[str, int] = field(default_factory=dict)
    turns: int = 0
    barge_ins: int = 0
    cut_greetings: int = 0
    greeted: int = 0
    greeting_s: float | None = None
    stopped: Spread = Spread()
    gap: Spread = Spread()
    over_budget: int = 0
    by_source: dict[str, Spread] = field(default_factory=dict)
    by_actor: dict[str, Spread] = field(default_factory=dict)
    blamed: dict[str, int] = field(default_factory=dict)
    buckets: tuple[Bucket, ...] = ()
    loads: tuple[Load, ...] = ()
    handoffs: tuple[Reason, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    tools: tuple[ToolUse, ...] = ()
    questions: tuple[Question, ...] = ()
    misses: tuple[Miss, ...] = ()
    slowest: tuple[SlowTurn, ...] = ()
    failovers: tuple[Failover, ...] = ()
    troubles: dict[str, int] = field(default_factory=dict)
    fixes: tuple[Fix, ...] = ()

    @property
    def containment(self) -> float | None:
        return self.contained / self.spoken if self.spoken else None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**asdict(self), "containment": self.containment}
