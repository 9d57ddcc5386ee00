"""The process that sends traces, against a real OTLP receiver over HTTP, and against none."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable
from uuid import UUID

import pytest

from tests.trace.ended import CALL_ID, record, turn
from voicebridge.config import Config, ConfigError, Settings
from voicebridge.observing import tracing
from voicebridge.observing.tracing import Tracing, tracing_for
from voicebridge.operating import Tracing as Wanted
from voicebridge.trace.bus import Bus

LIMIT_S = 30.0


async def seen(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not true():  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)


async def running(made: Tracing) -> Tracing:
    await made.start()
    await seen(lambda: made.pid is not None)
    return made


async def test_a_call_arrives_as_one_trace_with_true_times(receiver, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer of-the-collector")
    monkeypatch.setenv("VB_WEB_PASSWORD", "not-for-it")
    bus, made = Bus(), await running(Tracing(receiver.url))
    bus.subscribe(made.happened, ("call_ended",))
    bus.publish({"event": "call_ended", "call_id": CALL_ID, "at": 0.0, "record": record(turn(1), turn(2, 9.0))})
    environment = open(f"/proc/{made.pid}/environ", "rb").read()  # noqa: SIM115, PTH123
    await made.stop()  # sends what it has
    assert b"not-for-it" not in environment
    (path, headers), *_ = receiver.requests
    assert path == "/v1/traces"
    assert headers["authorization"] == "Bearer of-the-collector"
    spans = {span.name: span for span in receiver.spans}
    assert {span.trace_id for span in receiver.spans} == {UUID(CALL_ID).bytes}
    call, first, chat = spans["invoke_agent desk"], spans["turn 1"], spans["chat llama_server"]
    assert (call.parent_span_id, first.parent_span_id) == (b"", call.span_id)
    assert chat.parent_span_id in {span.span_id for span in receiver.spans if span.name.startswith("turn")}
    zero = record()["began_at"]
    assert call.start_time_unix_nano / 1e9 == pytest.approx(zero, abs=1e-4)
    assert (call.end_time_unix_nano - call.start_time_unix_nano) / 1e9 == pytest.approx(24.9, abs=1e-4)
    assert first.start_time_unix_nano / 1e9 == pytest.approx(zero + 5.0, abs=1e-4)
    assert {each.key: each.value.string_value for each in chat.attributes}["gen_ai.operation.name"] == "chat"
    assert all(b"bikes" not in span.SerializeToString() for span in receiver.spans)


async def test_a_collector_that_is_down_hurts_nobody_and_is_said(caplog, monkeypatch):
    monkeypatch.setattr(tracing, "FLUSH_S", 0.5)
    caplog.set_level(logging.WARNING)
    made = await running(Tracing("http://127.0.0.1:9"))
    longest = 0.0
    for _ in range(50):
        began = time.thread_time()
        made.happened({"event": "call_ended", "call_id": CALL_ID, "record": record(turn(1), turn(2, 9.0))})
        longest = max(longest, time.thread_time() - began)
    assert (made.sent, made.dropped) == (50, 0)
    assert longest < 0.1
    await seen(lambda: "tracing: " in caplog.text)
    assert caplog.text.count("tracing: ") <= 5
    assert "Connection refused" in caplog.text
    await asyncio.wait_for(made.stop(), LIMIT_S)
    assert made.pid is None


async def test_its_process_is_started_again_and_calls_meanwhile_are_dropped(receiver, monkeypatch):
    monkeypatch.setattr(tracing, "PAUSE_S", (0.3,))
    made = await running(Tracing(receiver.url))
    old = made.pid
    assert old is not None
    os.kill(old, signal.SIGKILL)

    def dropped() -> bool:
        made.happened({"event": "call_ended", "call_id": CALL_ID, "record": record()})
        return made.dropped > 0

    await seen(dropped)
    await seen(lambda: made.pid not in (None, old))
    made.happened({"event": "call_ended", "call_id": CALL_ID, "record": record(turn())})
    await made.stop()
    assert made.dropped >= 1
    assert "turn 1" in {span.name for span in receiver.spans}


# ---- the settings


def wanted(**options: object) -> Settings:
    return Settings(config=Config(tracing=Wanted(**options)), agents={}, source="")


def test_without_an_endpoint_nothing_is_traced():
    assert tracing_for(wanted()) is None


def test_an_endpoint_is_a_web_address():
    with pytest.raises(ConfigError, match="tracing.endpoint: 'collector:4317' is no web address: write e.g."):
        tracing_for(wanted(endpoint="collector:4317"))


@pytest.mark.parametrize("missing", ["opentelemetry_that_is_not_there", "nor_this.one"])
def test_a_missing_extra_is_said_with_its_cure(monkeypatch, missing):
    monkeypatch.setattr(tracing, "LIBRARIES", (missing,))
    with pytest.raises(ConfigError, match=r"needs OpenTelemetry, which is not installed: .*pip install .*\[otel\]"):
        tracing_for(wanted(endpoint="http://127.0.0.1:4318"))
