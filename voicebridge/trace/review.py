"""Many calls at once: what was asked, what failed, why callers were handed off, where time went, what would help."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from voicebridge.conversation.agent import AgentSpec
from voicebridge.trace.findings import Review
from voicebridge.trace.fixes import fixes
from voicebridge.trace.questions import grouped
from voicebridge.trace.record import Record, is_test
from voicebridge.trace.render import percentile
from voicebridge.trace.tally import BUDGET_S, Tally, spread, spread_by_actor

__all__ = ["Review", "review", "unknown_rules"]

DAY_S = 86_400.0


def review(
    records: Iterable[Record],
    *,
    since: float,
    until: float,
    bucket_s: float = DAY_S,
    origin: float | None = None,
    unknown: Mapping[str, Collection[str]] | None = None,
) -> Review:
    """Of the calls that began in [since, until), unix seconds; others, and test calls of ours, are passed over.
    `bucket_s`: over time; the first bucket begins at `origin` (at most `since`, which it is by default), so that days
    can begin at midnight.

    `unknown`: by agent, the names of its rules that admit not to know; see `unknown_rules`.
    """
    tally = Tally(unknown or {})
    for record in records:
        if not is_test(record) and since <= float(record.get("began_at") or 0.0) < until:
            tally.add(record)
    gaps = [turn.gap for turn in tally.timed]
    made = Review(
        since, until, bucket_s,
        calls=tally.calls, seconds=round(tally.seconds, 3), spoken=tally.spoken, contained=tally.contained,
        silent=tally.calls - tally.spoken, no_input=tally.endings["no_input"], dropped=tally.endings["dropped"],
        busiest=tally.busiest(), agents=_ranked(tally.agents), outcomes=_ranked(tally.outcomes),
        endings=_ranked(tally.endings), topics=_ranked(tally.topics), turns=tally.turns, barge_ins=tally.barge_ins,
        cut_greetings=tally.cut_greetings, greeted=tally.greeted,
        greeting_s=percentile(tally.cut_after, 50) if tally.cut_after else None,
        stopped=spread(tally.stops), gap=spread(gaps), over_budget=sum(gap > BUDGET_S for gap in gaps),
        by_source=tally.by_source(), by_actor=spread_by_actor(tally.timed), blamed=_ranked(tally.blamed),
        buckets=tally.buckets(since if origin is None else origin, until, bucket_s),
        loads=tally.loads(), handoffs=tally.reasons(),
        refusals=tally.refusals(), tools=tally.tools(), questions=grouped(tally.asked),
        misses=tally.repeats.found(), slowest=tally.slowest, failovers=tally.failovers(),
        troubles=_ranked(tally.troubles),
    )  # fmt: skip
    return replace(made, fixes=fixes(made))


def unknown_rules(agents: Mapping[str, AgentSpec]) -> dict[str, frozenset[str]]:
    """By agent, the rules that admit not to know (`action = "unknown"`), for `review`."""
    return {
        name: frozenset(rule.name for rule in agent.rules if rule.action == "unknown") for name, agent in agents.items()
    }


def _ranked(counts: Counter[str]) -> dict[str, int]:
    """Most first, and without what never happened."""
    return {name: count for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if count}
