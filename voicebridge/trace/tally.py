"""Counts calls for a review: fed one record at a time, so that a month of them need not lie in memory at once."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from voicebridge.trace.blame import slow
from voicebridge.trace.findings import Bucket, Failover, Load, Reason, Refusal, SlowTurn, Spread, ToolUse
from voicebridge.trace.questions import Asked, Repeats
from voicebridge.trace.reading import turns_of, with_spans
from voicebridge.trace.reasons import reason_text
from voicebridge.trace.record import Record, Turn
from voicebridge.trace.render import percentile
from voicebridge.trace.spans import ACTORS, by_actor

UNKNOWN_RULES = frozenset({"unknown", "not_covered"})
"""Names by which a rule tells that it admits not to know, where the agent's file is not at hand."""
BUDGET_S = 1.5
"""The response gap that is promised always."""
SLOWEST = 10
SLOW_KEPT = 200
"""Of each call only its slowest turn is told, so more are kept."""
UNHAPPY_ENDS = frozenset({"dropped", "error"})
MASK = "***"
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class TimedTurn:
    """`began`: its call, `at`: its last voiced sample, unix seconds; `gap`: seconds; `shares`: seconds by actor."""

    began: float
    at: float
    gap: float
    source: str
    shares: dict[str, float]


@dataclass
class _Tool:
    runs: int = 0
    failures: int = 0
    retried: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    ms: list[float] = field(default_factory=list)


@dataclass
class Tally:
    """All that is counted; `add` each record, then read."""

    unknown: Mapping[str, Collection[str]] = field(default_factory=dict)
    calls: int = 0
    seconds: float = 0.0
    spoken: int = 0
    contained: int = 0
    turns: int = 0
    barge_ins: int = 0
    greeted: int = 0
    cut_greetings: int = 0
    cut_after: list[float] = field(default_factory=list)
    agents: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    topics: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    blamed: Counter[str] = field(default_factory=Counter)
    leaving: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    moves: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    used: dict[str, _Tool] = field(default_factory=lambda: defaultdict(_Tool))
    stops: list[float] = field(default_factory=list)
    timed: list[TimedTurn] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    repeats: Repeats = field(default_factory=Repeats)
    lasted: list[tuple[float, float]] = field(default_factory=list)
    _slow: list[tuple[float, int, SlowTurn]] = field(default_factory=list)

    # ---- one call

    def add(self, record: Record) -> None:
        turns = turns_of(record)
        began, seconds = float(record.get("began_at") or 0.0), float(record.get("seconds") or 0.0)
        outcome, ended_by = str(record.get("outcome", "")), str(record.get("ended_by", ""))
        self.calls += 1
        self.seconds += seconds
        self.lasted.append((began, began + seconds))
        self.agents[str(record.get("agent", ""))] += 1
        self.outcomes[outcome] += 1
        self.endings[ended_by] += 1
        if any(turn.get("caller") for turn in turns):
            self.spoken += 1
            self.contained += outcome == "hangup" and ended_by not in UNHAPPY_ENDS
        if outcome in ("transfer", "fallback"):
            self.leaving[outcome, ended_by][str(record.get("target") or "")] += 1
        for turn in turns:
            self._turn(record, turn, began)
        self.repeats.call(str(record.get("call_id", "")), _form_questions(turns))

    def _turn(self, record: Record, turn: Turn, began: float) -> None:
        self.turns += bool(turn.get("caller"))
        self.barge_ins += bool(turn.get("cut_off"))
        if (stopped := turn.get("stopped_after_ms")) is not None:
            self.stops.append(stopped / 1000)
        for said in turn.get("said", ()):
            if said.get("kind") == "greeting" and said.get("at") is not None:
                self.greeted += 1
                if turn.get("cut_off") and not said.get("complete", True):
                    self._greeting_cut(said["at"], turn.get("cut_at"))
        for trouble in turn.get("troubles", ()):
            self.troubles[str(trouble)] += 1
        for move in turn.get("moves", ()):
            self.moves[move["kind"], move["from"], move["to"], move["cause"]] += 1
        for step in turn.get("handoffs", ()):
            if isinstance(step, dict) and step.get("state") == "refused":
                self.refused[step.get("target", ""), step.get("cause", "")] += 1
        for tool in turn.get("tools", ()):
            self._tool(tool)
        self._question(record, turn)
        self._time(record, turn, began)

    def _greeting_cut(self, began: float, cut_at: float | None) -> None:
        self.cut_greetings += 1
        if cut_at is not None:
            self.cut_after.append(cut_at - began)

    def _tool(self, tool: Mapping[str, Any]) -> None:
        use = self.used[str(tool["tool"])]
        use.runs += 1
        use.retried += tool.get("attempts", 1) > 1
        if tool.get("ms") is not None:
            use.ms.append(float(tool["ms"]))
        if not tool.get("ok"):
            use.failures += 1
            use.causes[str(tool.get("cause") or "not finished")] += 1

    def _question(self, record: Record, turn: Turn) -> None:
        """What was asked: a topic where a rule knew it, else a question without an answer."""
        rule, text = str(turn.get("rule") or ""), str(turn.get("caller") or "")
        kind = self._unanswered(str(record.get("agent", "")), rule, turn)
        if kind and text and text != MASK:
            self.asked.append(Asked(str(record.get("call_id", "")), text, kind, rule.removesuffix("?")))
        elif rule and not kind:
            self.topics[rule] += 1

    def _unanswered(self, agent: str, rule: str, turn: Turn) -> str:
        """unknown, unsure, or "" where it was answered."""
        source = turn.get("source")
        if source in ("form", "tool") or (source == "model" and not rule.endswith("?")):
            return ""
        if rule.endswith("?"):
            return "unsure" if source != "model" else ""
        if rule:
            return "unknown" if rule in UNKNOWN_RULES or rule in self.unknown.get(agent, ()) else ""
        answered = any(said.get("kind") == "answer" and said.get("at") is not None for said in turn.get("said", ()))
        return "unknown" if source == "line" and answered else ""

    def _time(self, record: Record, turn: Turn, began: float) -> None:
        gap, voice = turn.get("gap_s"), turn.get("last_voice")
        if gap is None or voice is None:
            return
        turn = with_spans(turn)
        shares = by_actor(turn)
        self.timed.append(TimedTurn(began, began + voice, gap, str(turn.get("source") or "line"), shares))
        blame = turn.get("slow") or slow(turn)
        if blame is None:
            return
        self.blamed[blame["actor"]] += 1
        found = SlowTurn(
            str(record.get("call_id", "")), int(turn.get("turn", 0)), began + voice, gap, str(turn.get("source", "")),
            blame["actor"], blame["text"], str(turn.get("caller", "")),
        )  # fmt: skip
        keep = heapq.heappush if len(self._slow) < SLOW_KEPT else heapq.heappushpop
        keep(self._slow, (gap, -len(self.timed), found))

    # ---- all of them

    @property
    def slowest(self) -> tuple[SlowTurn, ...]:
        """The slowest turn of each of the slowest calls."""
        by_call: dict[str, SlowTurn] = {}
        for _, _, found in sorted(self._slow, key=lambda item: item[:2], reverse=True):
            by_call.setdefault(found.call_id, found)
        return tuple(by_call.values())[:SLOWEST]

    def reasons(self) -> tuple[Reason, ...]:
        made = [
            Reason(reason, reason_text(reason, outcome), outcome, targets.total(), _counts(targets))
            for (outcome, reason), targets in self.leaving.items()
        ]
        return tuple(sorted(made, key=lambda reason: (-reason.calls, reason.reason)))

    def refusals(self) -> tuple[Refusal, ...]:
        return tuple(Refusal(target, cause, n) for (target, cause), n in _ordered(self.refused))

    def failovers(self) -> tuple[Failover, ...]:
        return tuple(Failover(*move, n) for move, n in _ordered(self.moves))

    def tools(self) -> tuple[ToolUse, ...]:
        made = [
            ToolUse(
                name, use.runs, use.failures, _counts(use.causes), use.retried,
                percentile(use.ms, 50) if use.ms else None, percentile(use.ms, 95) if use.ms else None,
            )
            for name, use in self.used.items()
        ]  # fmt: skip
        return tuple(sorted(made, key=lambda use: (-use.failures, -use.runs, use.tool)))

    def by_source(self) -> dict[str, Spread]:
        gaps: dict[str, list[float]] = defaultdict(list)
        for turn in self.timed:
            gaps[turn.source].append(turn.gap)
        return {source: spread(gaps[source]) for source in sorted(gaps, key=lambda name: -len(gaps[name]))}

    def buckets(self, origin: float, until: float, bucket_s: float) -> tuple[Bucket, ...]:
        """Contiguous from `origin` on; empty ones too. A turn counts where its call began."""
        turns: dict[int, list[TimedTurn]] = defaultdict(list)
        for turn in self.timed:
            turns[int((turn.began - origin) // bucket_s)].append(turn)
        begun = Counter(int((began - origin) // bucket_s) for began, _ in self.lasted)
        number = max(1, -int(-(until - origin) // bucket_s))
        return tuple(_bucket(origin + place * bucket_s, begun[place], turns[place]) for place in range(number))

    def loads(self) -> tuple[Load, ...]:
        """At 1, 2 to 3, 4 to 7, 8 to 15 ... calls at once."""
        begins, ends = sorted(began for began, _ in self.lasted), sorted(ended for _, ended in self.lasted)
        levels: dict[int, list[TimedTurn]] = defaultdict(list)
        for turn in self.timed:
            running = max(1, bisect_right(begins, turn.at) - bisect_right(ends, turn.at))
            levels[1 << running.bit_length() - 1].append(turn)
        return tuple(
            Load(level, len(turns), percentile([turn.gap for turn in turns], 95), _p95_by_actor(turns))
            for level, turns in sorted(levels.items())
        )

    def busiest(self) -> int:
        """The most calls at one time."""
        steps = sorted([(began, 1) for began, _ in self.lasted] + [(ended, -1) for _, ended in self.lasted])
        most = running = 0
        for _, step in steps:
            running += step
            most = max(most, running)
        return most


def spread(seconds: Sequence[float]) -> Spread:
    if not seconds:
        return Spread()
    return Spread(len(seconds), percentile(seconds, 50), percentile(seconds, 95), percentile(seconds, 99))


def spread_by_actor(turns: Sequence[TimedTurn]) -> dict[str, Spread]:
    """Of the turns in which an actor was waited for at all."""
    waited = {actor: [turn.shares[actor] for turn in turns if actor in turn.shares] for actor in ACTORS}
    return {actor: spread(seconds) for actor, seconds in waited.items() if seconds}


def _p95_by_actor(turns: Sequence[TimedTurn]) -> dict[str, float]:
    return {actor: found.p95 for actor, found in spread_by_actor(turns).items() if found.p95 is not None}


def _bucket(at: float, calls: int, turns: Sequence[TimedTurn]) -> Bucket:
    found = spread([turn.gap for turn in turns])
    if not turns:
        return Bucket(at, calls, 0, None, None, None, None, {})
    actors = {actor: sum(turn.shares.get(actor, 0.0) for turn in turns) / len(turns) for actor in ACTORS}
    mean = sum(turn.gap for turn in turns) / len(turns)
    shares = {actor: seconds for actor, seconds in actors.items() if seconds > 0}
    return Bucket(at, calls, len(turns), found.p50, found.p95, found.p99, mean, shares)


def _form_questions(turns: Sequence[Turn]) -> Iterator[tuple[str, bool]]:
    """What each turn of a form asked last, and whether the turn was an attempt to answer: a question of the caller's
    in between, answered by a rule, is none."""
    for turn in turns:
        if turn.get("source") != "form":
            continue
        said = [
            said["text"].strip() for said in turn.get("said", ()) if said.get("kind") == "answer" and said.get("at")
        ]
        asked = [text for text in said if text.endswith(("?", "？"))]
        if asked:
            rule = str(turn.get("rule") or "")
            yield asked[-1], not rule or rule.endswith("?")


def _ordered(counter: Counter[K]) -> list[tuple[K, int]]:
    return sorted(counter.items(), key=lambda item: (-item[1], str(item[0])))


def _counts(counter: Counter[str]) -> dict[str, int]:
    return dict(_ordered(counter))
