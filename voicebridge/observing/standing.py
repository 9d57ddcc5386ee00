"""How a daemon stands at the moment, read when Prometheus asks: calls, engines, the media clock, the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from voicebridge.audio.clock import Lateness
from voicebridge.lineup import EngineState
from voicebridge.trace.metrics import OTHER, bounded

REFUSED = ("busy", "draining", "unknown_agent", "ticket", "bare", "no_agent")
LATE_MS = 20
"""A tick that comes later than the next one was due."""


class StoreState(Protocol):
    """What is known of the store without asking the database (trace.store's writer)."""

    @property
    def queued(self) -> int:
        """Records that wait in memory."""

    @property
    def spilled(self) -> int:
        """Records that wait on the disk for a database that does not take them."""

    @property
    def written(self) -> int: ...
    @property
    def errors(self) -> int:
        """Failed attempts to write, since the start."""

    @property
    def lost(self) -> int: ...


class HookState(Protocol):
    """A post-call hook's deliveries since the start, and what waits."""

    @property
    def queued(self) -> int: ...
    @property
    def delivered(self) -> int: ...
    @property
    def failed(self) -> int: ...


@dataclass(frozen=True)
class Looks:
    """Where to look. All are called in the event loop and must be quick: no disk, no database."""

    calls: Callable[[], int] = lambda: 0
    limit: int = 0
    draining: Callable[[], bool] = lambda: False
    refused: Callable[[], Mapping[str, int]] = dict
    lateness: Callable[[], Lateness] = Lateness
    engines: Callable[[], Sequence[EngineState]] = tuple
    store: Callable[[], StoreState | None] = lambda: None
    hooks: Callable[[], Mapping[str, HookState]] = dict
    disk_free: Callable[[], int | None] = lambda: None
    """Bytes free where calls are stored; looked up in the background."""
    observers_failed: Callable[[], Mapping[str, int]] = field(default=dict)


class Standing(Collector):
    """Register it: `metrics.registry.register(Standing(looks))`."""

    def __init__(self, looks: Looks) -> None:
        self._looks = looks

    def collect(self) -> Iterable[Metric]:
        yield from self._calls()
        yield from engine_metrics(self._looks.engines())
        yield from clock_metrics(self._looks.lateness())
        yield from self._store()
        yield from self._hooks()

    def _calls(self) -> Iterator[Metric]:
        looks = self._looks
        yield gauge("calls_active", "Calls in progress", looks.calls())
        yield gauge("calls_limit", "As many calls are taken at once", looks.limit)
        yield gauge("draining", "Whether new calls are refused because the daemon ends", int(looks.draining()))
        refused = CounterMetricFamily("voicebridge_calls_refused", "Calls not taken", labels=("reason",))
        counts = dict.fromkeys(REFUSED, 0)
        for reason, count in looks.refused().items():
            known = bounded(reason, REFUSED)
            counts[known] = counts.get(known, 0) + count
        for reason, count in counts.items():
            refused.add_metric((reason,), count)
        yield refused

    def _store(self) -> Iterator[Metric]:
        if (state := self._looks.store()) is not None:
            yield gauge("store_queue", "Records that wait to be written", state.queued)
            yield gauge("store_spilled", "Records put on the disk until the database takes them", state.spilled)
            yield counter("store_records", "Records written", state.written)
            yield counter("store_errors", "Failed attempts to write to the database", state.errors)
            yield counter("store_lost", "Records lost: memory, disk and database took none", state.lost)
        if (free := self._looks.disk_free()) is not None:
            yield gauge("store_disk_free_bytes", "Free where calls are stored", free)

    def _hooks(self) -> Iterator[Metric]:
        hooks = self._looks.hooks()
        if not hooks:
            return
        waiting = GaugeMetricFamily("voicebridge_event_queue", "Deliveries that wait", labels=("hook",))
        done = CounterMetricFamily("voicebridge_event_deliveries", "What hooks told", labels=("hook", "result"))
        for name, hook in hooks.items():
            waiting.add_metric((name,), hook.queued)
            done.add_metric((name, "ok"), hook.delivered)
            done.add_metric((name, "failed"), hook.failed)
        yield from (waiting, done)


def gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"voicebridge_{name}", text, value=value)


def counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"voicebridge_{name}", text, value=value)


def engine_metrics(states: Sequence[EngineState]) -> Iterator[Metric]:
    ready = GaugeMetricFamily("voicebridge_engine_ready", "Whether an engine serves", labels=("kind", "engine"))
    restarts = CounterMetricFamily(
        "voicebridge_engine_restarts", "Starts of an engine's worker process beyond the first",
        labels=("kind", "engine"),
    )  # fmt: skip
    for state in states:
        ready.add_metric((state.kind, state.name), int(state.ready))
        if state.restarts is not None:
            restarts.add_metric((state.kind, state.name), state.restarts)
    yield from (ready, restarts)


def clock_metrics(late: Lateness) -> Iterator[Metric]:
    buckets, seen = [], 0
    for bound, count in late.buckets():
        seen += count
        buckets.append(("+Inf" if bound is None else str(bound / 1000), seen))
    yield HistogramMetricFamily(
        "voicebridge_frame_lateness_seconds", "How late the media clock ticked", buckets=buckets, sum_value=late.total_s
    )
    above = sum(count for bound, count in late.buckets() if bound is None or bound > LATE_MS)
    yield counter("frames_late", f"Ticks of the media clock more than {LATE_MS} ms late", above)
    yield counter("frames_skipped", "Ticks left out after a stall", late.skipped)
    yield GaugeMetricFamily(
        "voicebridge_frame_lateness_worst_seconds", "The latest tick since the start", value=late.worst_s
    )


__all__ = ["OTHER", "HookState", "Looks", "Standing", "StoreState"]
