"""What Prometheus is told of calls: counters and histograms, counted from each call's record when it has ended.

Counted from the record and from nothing else, so that metrics, store and reports agree. What holds at the moment (calls
in progress, engines, the store's queue) is read when somebody asks: `trace.standing`.

Labels are bounded: names that stand in the configuration, and the words of the lists below; all else is "other". No
label and no value comes from what a caller said, keyed or is called by.
"""

from __future__ import annotations

import asyncio
import platform
import re
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from voicebridge.trace.bus import Happening
from voicebridge.trace.record import Record, Turn
from voicebridge.trace.spans import ACTORS, by_actor

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # a sample a series that nobody reads

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OTHER: Final = "other"
SOURCES: Final = ("rule", "form", "model", "tool", "line")
OUTCOMES: Final = ("hangup", "transfer", "fallback")
KINDS: Final = ("stt", "llm", "tts", "embed", "turn")
ENDED_BY: Final = (
    "hangup", "dropped", "error", "local", "no_input", "call_length", "done", "model", "shutdown", "rule", "tool",
    "transfer", "stuck", "crashed", "timeout",
)  # fmt: skip
ENGINE_CAUSES: Final = ("unreachable", "crashed", "timeout", "garbage", "refused", "empty")
TOOL_CAUSES: Final = (
    "timeout", "error", "invalid_arguments", "invalid_result", "too_large", "breaker_open", "unknown_tool", "cancelled",
)  # fmt: skip
HANDED: Final = ("go", "connected")
HANDOFF_CAUSES: Final = ("closed", "unknown_target", "busy", "no_answer", "declined", "failed")
TROUBLES: Final = {"TranscriptFailed": "stt", "ModelFailed": "llm", "SegmentFailed": "tts"}

GAP_BUCKETS: Final = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0)
STAGE_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 3.0, 5.0)
STOP_BUCKETS: Final = (0.06, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
TOOL_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
CALL_BUCKETS: Final = (5, 15, 30, 60, 120, 300, 600, 1800)
AT_ONCE: Final = 100
"""Samples; each takes some 8 us to write."""
SILENCE_S: Final = 1.5
"""Longer silence while it was our turn breaks a promise."""


@dataclass(frozen=True)
class Names:
    """The names that may stand in a label."""

    agents: Collection[str] = ()
    tools: Collection[str] = ()
    targets: Collection[str] = ()
    engines: Collection[str] = ()


def bounded(value: object, known: Collection[str]) -> str:
    return value if isinstance(value, str) and value in known else OTHER


class Metrics:
    """A registry of our own: nothing of other libraries' gets into it. In the daemon's event loop only."""

    def __init__(self, names: Names | None = None) -> None:
        self.names = names or Names()
        self.registry = CollectorRegistry()
        self._make_calls()
        self._make_turns()
        self._make_acts()
        ProcessCollector(namespace="voicebridge", registry=self.registry)

    # ---- what is counted

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, namespace="voicebridge", registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(name, text, labels, namespace="voicebridge", buckets=buckets, registry=self.registry)

    def _make_calls(self) -> None:
        build = Gauge("voicebridge_build_info", "Versions; always 1", ("version", "python"), registry=self.registry)
        build.labels(metadata.version("voicebridge-pbx"), platform.python_version()).set(1)
        Gauge(
            "voicebridge_start_time_seconds", "When the daemon started, unix time", registry=self.registry
        ).set(time.time())  # fmt: skip
        self.started = self._counter("calls_started", "Calls answered", "agent")
        self.calls = self._counter("calls", "Calls that have ended", "agent", "outcome", "ended_by")
        self.call_seconds = self._histogram("call_seconds", "Length of calls", CALL_BUCKETS, "agent")

    def _make_turns(self) -> None:
        self.turns = self._counter("turns", "Turns that were answered", "agent", "source")
        self.gaps = self._histogram(
            "response_gap_seconds",
            "From the caller's last voiced sample to the first audible one of the answer's own words",
            GAP_BUCKETS, "agent", "source",
        )  # fmt: skip
        self.stages = self._histogram(
            "stage_seconds", "Part of a response gap by who took the time", STAGE_BUCKETS, "actor"
        )
        self.slow = self._counter("slow_turns", "Response gaps above the budget, by who is to blame", "actor")
        self.silences = self._counter("silences", f"Turns with more than {SILENCE_S} s without a sound", "agent")
        self.fillers = self._counter("fillers", "Fillers heard while an answer was awaited", "agent")
        self.filler_seconds = self._counter("filler_seconds", "Their length", "agent")
        self.barge_ins = self._counter("barge_ins", "Answers that callers interrupted", "agent")
        self.stops = self._histogram(
            "barge_in_stop_seconds", "From an interrupting caller's voice to our silence", STOP_BUCKETS
        )

    def _make_acts(self) -> None:
        self.handoffs = self._counter("handoffs", "Callers to be handed to a human", "target", "result")
        self.tools = self._counter("tool_calls", "Runs of tools", "tool", "result")
        self.retries = self._counter("tool_retries", "Attempts beyond the first", "tool")
        self.tool_seconds = self._histogram("tool_seconds", "How long tools ran", TOOL_BUCKETS, "tool")
        self.failovers = self._counter(
            "engine_failovers", "Turns that went on with another engine, by the one that failed",
            "kind", "engine", "cause",
        )  # fmt: skip
        self.failures = self._counter("engine_failures", "Requests that no engine could fulfil", "kind", "cause")

    # ---- how it is fed

    def happened(self, happening: Happening) -> None:
        """A subscriber of the bus."""
        match happening.get("event"):
            case "call_began":
                self.started.labels(self._agent(happening.get("agent"))).inc()
            case "call_ended":
                self.count(happening["record"])
            case _:
                pass

    def count(self, record: Record) -> None:
        agent = self._agent(record["agent"])
        outcome = bounded(record["outcome"], OUTCOMES)
        self.calls.labels(agent, outcome, ended_by(record["ended_by"])).inc()
        self.call_seconds.labels(agent).observe(record["seconds"])
        for turn in record["turns"]:
            self._turn(agent, turn)

    def _agent(self, name: object) -> str:
        return bounded(name, self.names.agents)

    def _turn(self, agent: str, turn: Turn) -> None:
        source = bounded(turn.get("source"), SOURCES)
        fillers = [(at, at if until is None else until) for at, until in turn.get("fillers") or ()]
        if turn.get("gap_s") is not None:
            self.turns.labels(agent, source).inc()
            self.gaps.labels(agent, source).observe(turn["gap_s"])
            for actor, seconds in by_actor(turn).items():
                self.stages.labels(bounded(actor, ACTORS)).observe(seconds)
            begin = turn["last_voice"]
            if longest_silence(begin, begin + turn["gap_s"], fillers) > SILENCE_S:
                self.silences.labels(agent).inc()
        if slow := turn.get("slow"):
            self.slow.labels(bounded(slow.get("actor"), ACTORS)).inc()
        if fillers:
            self.fillers.labels(agent).inc(len(fillers))
            self.filler_seconds.labels(agent).inc(sum(until - at for at, until in fillers))
        if turn.get("cut_off"):
            self.barge_ins.labels(agent).inc()
            if turn.get("stopped_after_ms") is not None:
                self.stops.observe(turn["stopped_after_ms"] / 1000)
        self._acts(turn)

    def _acts(self, turn: Turn) -> None:
        for run in turn.get("tools", ()):
            tool = bounded(run["tool"], self.names.tools)
            self.tools.labels(tool, "ok" if run["ok"] else bounded(run["cause"], TOOL_CAUSES)).inc()
            if (extra := (run.get("attempts") or 1) - 1) > 0:
                self.retries.labels(tool).inc(extra)
            if run["ms"] is not None:
                self.tool_seconds.labels(tool).observe(run["ms"] / 1000)
        for step in turn.get("handoffs", ()):
            if isinstance(step, dict) and (result := handed(step)):
                self.handoffs.labels(bounded(step.get("target"), self.names.targets), result).inc()
        for move in turn.get("moves", ()):
            kind, engine = bounded(move["kind"], KINDS), bounded(move["from"], self.names.engines)
            self.failovers.labels(kind, engine, bounded(move["cause"], ENGINE_CAUSES)).inc()
        for trouble in turn.get("troubles", ()):
            what, _, cause = trouble.partition(": ")
            self.failures.labels(TROUBLES.get(what, OTHER), bounded(cause, ENGINE_CAUSES)).inc()

    # ---- how it is told

    def pieces(self) -> Iterator[bytes]:
        """The exposition in Prometheus' text format, about a millisecond of work at a time."""
        for metric in self.registry.collect():
            for first in range(0, max(1, len(metric.samples)), AT_ONCE):
                text = prometheus_client.generate_latest(_Part(metric, first))
                yield text if first == 0 else text.split(b"\n", 2)[2]  # HELP and TYPE stand before the first part

    def text(self) -> bytes:
        """All of it at once; for an event loop with calls in it there is `told`."""
        return b"".join(self.pieces())

    async def told(self) -> bytes:
        """All of it; between two pieces the media clock may tick."""
        made = []
        for piece in self.pieces():
            made.append(piece)
            await asyncio.sleep(0)
        return b"".join(made)


class _Part(Collector):
    """Some of a metric's samples: what `generate_latest` takes for a registry."""

    def __init__(self, metric: Metric, first: int) -> None:
        self._part = Metric(metric.name, metric.documentation, metric.type)
        self._part.samples = metric.samples[first : first + AT_ONCE]

    def collect(self) -> Iterable[Metric]:
        return (self._part,)


def ended_by(value: str) -> str:
    """`rule_goodbye` is a rule, `tool_book` a tool: which one it was stands in the store."""
    return bounded(re.sub(r"^(rule|tool)_.*", r"\1", value, flags=re.DOTALL), ENDED_BY)


def longest_silence(begin: float, end: float, sounds: Iterable[tuple[float, float]]) -> float:
    """The longest time between `begin` and `end` with none of the sounds ([from, to])."""
    longest, quiet_from = 0.0, begin
    for at, until in sorted(sounds):
        longest = max(longest, min(at, end) - quiet_from)
        quiet_from = max(quiet_from, until)
    return max(longest, end - quiet_from)


def handed(step: dict[str, Any]) -> str:
    """How a step of a handoff ended it: go, connected, or why not; "" where it goes on."""
    state = str(step.get("state", ""))
    if state in HANDED:
        return state
    return bounded(step.get("cause"), HANDOFF_CAUSES) if state == "refused" else ""
