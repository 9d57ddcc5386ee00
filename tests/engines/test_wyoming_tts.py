"""The text-to-speech client against small fake servers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.engines.base import EngineError, Speech, Voice, WordMark
from voicebridge.engines.wyoming_tts import ENGINE, WyomingTts, spread_marks

SHAPE = {"rate": 16_000, "width": 2, "channels": 1}
AUDIO = [
    Event("audio-start", SHAPE),
    Event("audio-chunk", SHAPE, b"\x01\x00" * 800),
    Event("audio-chunk", SHAPE, b"\x02\x00" * 800),
]
STOP = Event("audio-stop")


class Fake:
    def __init__(self, script: Callable[[int], Sequence[Event] | None]) -> None:
        self.script = script
        self.asked: list[dict[str, Any]] = []
        self.connections = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while event := await async_read_event(reader):
            self.asked.append(event.data)
            events = self.script(len(self.asked))
            if events is None:
                break
            for answer in events:
                await async_write_event(answer, writer)
        writer.close()


@contextlib.asynccontextmanager
async def tts(
    path: Path, script: Callable[[int], Sequence[Event] | None]
) -> AsyncIterator[tuple[WyomingTts, Fake]]:
    fake = Fake(script)
    server = await asyncio.start_unix_server(fake.serve, str(path))
    engine = ENGINE.create({"uri": f"unix://{path}"})
    yield engine, fake
    await engine.stop()
    server.close()


async def say(engine: WyomingTts, text: str, seconds: float = 5, voice: Voice | None = None) -> Speech:
    now = time.monotonic()
    return await engine.synthesize(text, voice=voice or Voice(), deadline=now, give_up=now + seconds)


async def test_foreign_server_gets_estimated_marks(tmp_path: Path) -> None:
    async with tts(tmp_path / "s", lambda _: [*AUDIO, STOP]) as (engine, fake):
        speech = await say(engine, "One moment please", voice=Voice("amy", "en-gb", 1.2))
        assert speech.pcm == b"\x01\x00" * 800 + b"\x02\x00" * 800
        assert speech.rate == 16_000
        assert speech.estimated
        assert [speech.text[m.start : m.end] for m in speech.marks] == ["One", "moment", "please"]
        samples = [m.sample for m in speech.marks]
        assert samples == sorted(samples)
        assert samples[0] == 0
        assert samples[-1] < 1600
        assert fake.asked[0]["voice"] == {"name": "amy"}
        assert fake.asked[0]["context"]["speed"] == 1.2
        assert fake.asked[0]["context"]["language"] == "en-gb"


async def test_marks_of_our_own_event_are_taken(tmp_path: Path) -> None:
    marks = Event("voicebridge-marks", {"marks": [[0, 3, 10], [4, 7, 900]], "context": {}})
    async with tts(tmp_path / "s", lambda _: [*AUDIO, marks, STOP]) as (engine, _):
        speech = await say(engine, "Yes sir")
        assert speech.marks == (WordMark(0, 3, 10), WordMark(4, 7, 900))
        assert not speech.estimated


async def test_lost_connection_is_asked_again(tmp_path: Path) -> None:
    def half_then_whole(number: int) -> Sequence[Event] | None:
        return None if number == 1 else [*AUDIO, STOP]

    async with tts(tmp_path / "s", half_then_whole) as (engine, fake):
        assert len((await say(engine, "Hello")).pcm) == 3200
        assert len(fake.asked) == 2


async def test_connections_are_kept_and_shared(tmp_path: Path) -> None:
    async with tts(tmp_path / "s", lambda _: [*AUDIO, STOP]) as (engine, fake):
        await asyncio.gather(*(say(engine, "Hello") for _ in range(12)))
        before = fake.connections
        await asyncio.gather(*(say(engine, "Hello") for _ in range(8)))
        assert len(fake.asked) == 20
        assert fake.connections == before


@pytest.mark.parametrize(
    "events",
    [
        [STOP],
        [Event("audio-start", SHAPE | {"width": 4}), STOP],
        [Event("audio-start", SHAPE | {"channels": 2}), STOP],
        [Event("audio-start", SHAPE | {"rate": 0}), STOP],
        [Event("audio-start", {}), STOP],
        [*AUDIO, Event("voicebridge-marks", {"marks": [[1, 2]]}), STOP],
    ],
)
async def test_answers_that_cannot_be_played(tmp_path: Path, events: list[Event]) -> None:
    async with tts(tmp_path / "s", lambda _: events) as (engine, _):
        with pytest.raises(EngineError) as raised:
            await say(engine, "Hello")
        assert raised.value.cause == "garbage"


async def test_gives_up_in_time(tmp_path: Path) -> None:
    async with tts(tmp_path / "s", lambda _: []) as (engine, _):
        began = time.monotonic()
        with pytest.raises(EngineError) as raised:
            await say(engine, "Hello", 0.3)
        assert raised.value.cause == "timeout"
        assert time.monotonic() - began < 5


async def test_nothing_to_say_asks_nobody(tmp_path: Path) -> None:
    async with tts(tmp_path / "s", lambda _: [*AUDIO, STOP]) as (engine, fake):
        assert (await say(engine, "  ")).pcm == b""
        assert fake.asked == []


def test_spread_marks_cover_the_text_in_order() -> None:
    marks = spread_marks("  a bb ccc ", 700)
    assert [(m.start, m.end) for m in marks] == [(2, 3), (4, 6), (7, 10)]
    assert [m.sample for m in marks] == [0, 175, 437]
    assert spread_marks(" ", 100) == ()


async def test_half_a_letter_is_replaced_in_what_is_sent(tmp_path: Path) -> None:
    async with tts(tmp_path / "s", lambda _: [*AUDIO, STOP]) as (engine, fake):
        speech = await say(engine, "One \ud83d moment")
        assert speech.pcm and speech.text == "One \ud83d moment"
        assert fake.asked[0]["text"] == "One \ufffd moment"
