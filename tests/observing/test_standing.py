"""How a daemon stands, as Prometheus reads it."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from voicebridge.audio.clock import Lateness
from voicebridge.lineup import EngineState
from voicebridge.observing.standing import Looks, Standing
from voicebridge.trace.metrics import Metrics
from voicebridge.trace.store.writer import Stats


def samples(looks: Looks) -> dict[tuple[str, str], float]:
    """(name, the values of its labels, by their names, joined) -> value, as Prometheus' own parser reads it."""
    metrics = Metrics()
    metrics.registry.register(Standing(looks))
    told = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = " ".join(value for _, value in sorted(sample.labels.items()))
            told[sample.name.removeprefix("voicebridge_"), labels] = sample.value
    return told


def test_calls_and_refusals_every_reason_from_the_start():
    told = samples(Looks(calls=lambda: 3, limit=50, draining=lambda: True, refused=lambda: {"busy": 2, "odd": 1}))
    assert (told["calls_active", ""], told["calls_limit", ""], told["draining", ""]) == (3, 50, 1)
    refused = {labels: value for (name, labels), value in told.items() if name == "calls_refused_total"}
    assert refused == {"busy": 2, "draining": 0, "unknown_agent": 0, "ticket": 0, "bare": 0, "no_agent": 0, "other": 1}


def test_engines_and_the_restarts_of_those_that_are_ours():
    states = [EngineState("stt", "vosk", True, 2), EngineState("llm", "http://gpu:8000/v1", False, None)]
    told = samples(Looks(engines=lambda: states))
    assert told["engine_ready", "vosk stt"] == 1
    assert told["engine_ready", "http://gpu:8000/v1 llm"] == 0
    assert told["engine_restarts_total", "vosk stt"] == 2
    assert ("engine_restarts_total", "http://gpu:8000/v1 llm") not in told


def test_the_clock_s_lateness_is_a_histogram_in_seconds():
    late = Lateness(skipped=4)
    for seconds in (0.0005, 0.003, 0.015, 0.030, 0.7):
        late.note(seconds)
    told = samples(Looks(lateness=lambda: late))
    buckets = {labels: value for (name, labels), value in told.items() if name == "frame_lateness_seconds_bucket"}
    assert (buckets["0.001"], buckets["0.02"], buckets["0.04"], buckets["0.5"], buckets["+Inf"]) == (1, 3, 4, 4, 5)
    assert told["frame_lateness_seconds_count", ""] == 5
    assert told["frame_lateness_seconds_sum", ""] == 0.0005 + 0.003 + 0.015 + 0.030 + 0.7
    assert (told["frames_late_total", ""], told["frames_skipped_total", ""]) == (2, 4)
    assert told["frame_lateness_worst_seconds", ""] == 0.7


def test_the_store_as_its_writer_knows_it():
    stats = Stats(queued=2, spilled=7, written=90, lost=1, errors=5, last_error="no route to postgres://secret")
    told = samples(Looks(store=lambda: stats, disk_free=lambda: 10**9))
    names = ("store_queue", "store_spilled", "store_records_total", "store_lost_total", "store_errors_total")
    assert [told[name, ""] for name in names] == [2, 7, 90, 1, 5]
    assert told["store_disk_free_bytes", ""] == 1e9


def test_hooks_have_what_waits_and_what_came_of_the_rest():
    @dataclass
    class Hook:
        queued: int = 1
        delivered: int = 8
        failed: int = 2

    told = samples(Looks(hooks=lambda: {"webhook": Hook()}))
    assert told["event_queue", "webhook"] == 1
    assert told["event_deliveries_total", "webhook ok"] == 8
    assert told["event_deliveries_total", "webhook failed"] == 2


def test_a_daemon_that_has_none_of_it_tells_none_of_it():
    told = samples(Looks())
    assert not [name for name, _ in told if name.startswith(("store_", "event_", "engine_ready"))]
