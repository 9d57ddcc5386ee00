"""A real daemon with canned engines: what happens in it can be scraped, and its traces go out."""

from __future__ import annotations

import asyncio
import uuid

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bench.observing import AGENT, canned, settings_of
from voicebridge import lineup
from voicebridge.daemon import Daemon
from voicebridge.protocol import audiosocket as wire

LIMIT_S = 60.0


@pytest.fixture
async def daemon(tmp_path, monkeypatch, receiver):
    monkeypatch.setattr(lineup, "make_engine", canned)
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path / "cache"))
    made = Daemon(settings_of("observed", tmp_path / "store", receiver.url))
    await made.start()
    yield made
    await made.close()


async def scraped(daemon: Daemon) -> dict[str, float]:
    """Each sample by its name and labels."""
    assert daemon.observers.listener is not None
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{daemon.observers.listener.port}/metrics")
    told = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = map("=".join, sorted(sample.labels.items()))
            told[" ".join([sample.name.removeprefix("voicebridge_"), *labels])] = sample.value
    return told


async def test_a_call_is_seen_while_it_runs_and_counted_when_it_has_ended(daemon, receiver):
    before = await scraped(daemon)
    assert before["engine_ready engine=canned kind=stt"] == before["engine_ready engine=canned kind=tts"] == 1
    assert before["calls_active"] == 0
    assert before["calls_limit"] == 1000
    call_id = uuid.uuid4()
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    writer.write(wire.uuid_frame(call_id) + wire.audio_frame(bytes(320), 8000))
    await reader.readexactly(2000)
    during = await scraped(daemon)
    assert during["calls_active"] == 1
    assert during[f"calls_started_total agent={AGENT.name}"] == 1
    writer.close()
    ended = f"calls_total agent={AGENT.name} ended_by=hangup outcome=hangup"
    async with asyncio.timeout(LIMIT_S):
        while ended not in (after := await scraped(daemon)) or not after["store_records_total"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert after[ended] == 1
    assert after["calls_active"] == 0
    assert after["frame_lateness_seconds_count"] > 0
    async with asyncio.timeout(LIMIT_S):
        await asyncio.to_thread(receiver.came.wait)
    assert {span.trace_id for span in receiver.spans} == {call_id.bytes}


async def test_calls_that_are_refused_are_counted(daemon):
    daemon.registry.refuse(True)
    reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
    writer.write(wire.uuid_frame(uuid.uuid4()))
    async with asyncio.timeout(LIMIT_S):
        await reader.read()
    writer.close()
    told = await scraped(daemon)
    assert told["calls_refused_total reason=draining"] == 1
    assert told["draining"] == 1
