"""Three hundred broken streams against server, registry and calls; `python -m bench.fuzz` sends ten thousand."""

from __future__ import annotations

import asyncio
import uuid
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import uvloop

from bench.fuzz import World, fuzz, good_call
from bench.streams import KINDS, Stream, make_stream, play
from voicebridge.protocol import audiosocket as wire


def test_broken_streams_harm_nothing_and_leave_nothing_behind():
    outcome = uvloop.run(fuzz(range(300), seed=3))
    assert outcome.failures == []
    assert not any(outcome.left_behind.values()), outcome.left_behind
    assert outcome.streams == 300
    assert outcome.calls > 50, "most streams must get as far as a call"
    assert outcome.good_calls >= 1
    assert set(outcome.by_kind) == set(KINDS)
    assert outcome.ended_by["server"] > 30


def test_a_stream_is_made_from_seed_and_number_alone():
    assert [make_stream(7, n) for n in range(50)] == [make_stream(7, n) for n in range(50)]
    assert make_stream(7, 1) != make_stream(8, 1)
    made = [make_stream(7, n) for n in range(400)]
    assert {stream.kind for stream in made} == set(KINDS)
    assert min(Counter(stream.ending for stream in made).values()) > 20


HELLO = wire.uuid_frame(uuid.UUID(int=5))


@pytest.fixture
async def world(tmp_path: Path):
    made = World(tmp_path)
    await made.start()
    yield made
    await made.stop()
    assert made.held()["calls"] == made.held()["legs"] == 0


@pytest.mark.parametrize(
    "sent",
    [HELLO, HELLO + wire.hangup_frame(), HELLO + wire.dtmf_frame("1"), HELLO + wire.dtmf_frame("5") + b"\x03\x00\x01?"],
    ids=["gone", "hung up", "a key and gone", "a key and rubbish"],
)
async def test_a_call_that_ends_before_its_first_frame_is_put_away(world: World, sent: bytes):
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    records: list[object] = []
    world.registry.on_record = records.append
    await play(Stream("short", (sent,), 0.0, "half-close"), world.server.port)
    async with asyncio.timeout(5):
        while not records:  # noqa: ASYNC110 - the record is what is waited for
            await asyncio.sleep(0.01)
    assert len(world.registry) == 0
    assert faults == []
    assert await good_call(world.server.port)


@pytest.mark.parametrize("before", [b"", wire.audio_frame(b"", 8_000), wire.audio_frame(bytes(320), 8_000)])
async def test_a_rate_that_no_call_takes_raises_nowhere(world: World, before: bytes):
    """The fuzz run's find, seed 42: an empty frame at 8 kHz and then one at 48."""
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))
    sent = HELLO + before + wire.audio_frame(bytes(1920), 48_000)
    await play(Stream("fast", (sent,), 0.0, "wait"), world.server.port)
    assert faults == []
    assert await good_call(world.server.port)


async def test_a_caller_who_is_mute_at_first_is_heard_at_his_own_rate(world: World):
    """Greeted at 8 kHz, then his frames come at 16: he is not deaf to us, nor we to him."""
    records: list[dict[str, object]] = []
    world.registry.on_record = lambda record: records.append(dict(record))
    frames = [wire.audio_frame(b"\x20\x03" * 320, 16_000)] * 10
    pieces = (HELLO, *[b""] * 12, *frames, wire.hangup_frame())
    await play(Stream("late", pieces, 0.02, "wait"), world.server.port)
    async with asyncio.timeout(5):
        while not records:  # noqa: ASYNC110 - the record is what is waited for
            await asyncio.sleep(0.01)
    assert records[0]["rate"] == 8_000
    assert records[0]["call_id"] == str(uuid.UUID(int=5))
    with wave.open(str(world.store.path(str(records[0]["call_id"]), ".wav"))) as wav:
        caller = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2")[::2]
    assert np.count_nonzero(caller) == pytest.approx(10 * 160, rel=0.1)
