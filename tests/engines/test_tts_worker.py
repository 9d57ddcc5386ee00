"""A voice's worker as other programs see it: sentence by sentence, and text that comes in pieces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeVoice

from voicebridge.engines.base import Voice, WordMark
from voicebridge.engines.scheduler import Scheduler
from voicebridge.engines.spoken import Spoken
from voicebridge.engines.tts_worker import MARKS_EVENT, Speaking

RATE = 1000
INFO = Event("info", {"tts": []})


class Client:
    """A connection to a `Speaking` whose voice says each letter for 10 ms."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asked: list[tuple[str, Voice]]):
        self.reader, self.writer, self.asked = reader, writer, asked

    async def tell(self, *events: Event) -> None:
        for event in events:
            await async_write_event(event, self.writer)

    async def until(self, kind: str) -> list[Event]:
        events = []
        async with asyncio.timeout(10):
            while not events or events[-1].type != kind:
                event = await async_read_event(self.reader)
                assert event is not None
                events.append(event)
        return events


def letters(asked: list[tuple[str, Voice]], wait: Callable[[str], None]) -> Callable[[str, Voice], Spoken]:
    def synthesise(text: str, voice: Voice) -> Spoken:
        asked.append((text, voice))
        wait(text)
        if "refused" in text:
            raise ValueError("there is no such voice")
        if "broken" in text:
            raise RuntimeError("the library failed")
        return Spoken(bytes(20 * len(text)), RATE, (WordMark(0, len(text.split()[0]) if text.strip() else 0, 5),))

    return synthesise


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    asked: list[tuple[str, Voice]] = []
    scheduler: Scheduler = Scheduler(lambda: letters(asked, lambda text: time.sleep(0.3 if "slow" in text else 0.0)), 1)
    await scheduler.opened
    server = await asyncio.start_unix_server(
        lambda reader, writer: Speaking(scheduler, reader, writer, INFO).run(), tmp_path / "x.sock"
    )
    reader, writer = await asyncio.open_unix_connection(tmp_path / "x.sock")
    yield Client(reader, writer, asked)
    writer.close()
    server.close()
    scheduler.close()


def kinds(events: list[Event]) -> list[str]:
    return [event.type for event in events]


async def test_sentences_go_out_one_after_the_other_as_one_speech(client: Client) -> None:
    text = "How are you? Fine. "
    await client.tell(Synthesize(text, context={"id": "7"}).event())
    events = await client.until("audio-stop")
    assert kinds(events) == ["audio-start", "audio-chunk", "audio-chunk", MARKS_EVENT, "audio-stop"]
    assert [text for text, _ in client.asked] == ["How are you? ", "Fine. "]
    marks = events[-2].data
    assert marks["marks"] == [[0, 3, 5], [13, 18, 135]]
    assert marks["context"]["id"] == "7"
    assert text[13:18] == "Fine."


async def test_the_first_sentence_does_not_wait_for_the_second(client: Client) -> None:
    await client.tell(Synthesize("Hello there. This is slow.").event())
    began = time.monotonic()
    await client.until("audio-chunk")
    first = time.monotonic() - began
    await client.until("audio-stop")
    assert first < time.monotonic() - began - 0.2


async def test_text_that_comes_in_pieces_is_said_as_soon_as_a_sentence_is_whole(client: Client) -> None:
    voice = SynthesizeVoice(name="amy", speaker="3")
    await client.tell(SynthesizeStart(voice=voice).event())
    for piece in ("How a", "re you", "? I am f"):
        await client.tell(SynthesizeChunk(piece).event())
    assert kinds(await client.until("audio-chunk")) == ["audio-start", "audio-chunk"]
    assert client.asked == [("How are you? ", Voice("amy#3"))]
    await client.tell(SynthesizeChunk("ine.").event(), SynthesizeStop().event())
    assert kinds(await client.until("synthesize-stopped")) == [
        "audio-chunk", MARKS_EVENT, "audio-stop", "synthesize-stopped",
    ]  # fmt: skip
    assert [text for text, _ in client.asked] == ["How are you? ", "I am fine."]


async def test_the_whole_text_inside_of_a_stream_is_for_older_servers(client: Client) -> None:
    """Home Assistant sends both."""
    await client.tell(
        SynthesizeStart().event(),
        SynthesizeChunk("Hello.").event(),
        Synthesize("Hello.").event(),
        SynthesizeStop().event(),
    )
    await client.until("synthesize-stopped")
    assert [text for text, _ in client.asked] == ["Hello."]
    await client.tell(Synthesize("Again.").event())
    await client.until("audio-stop")
    assert [text for text, _ in client.asked] == ["Hello.", "Again."]


async def test_a_new_request_replaces_what_is_not_done(client: Client) -> None:
    await client.tell(Synthesize("A slow one. Never said.").event(), Synthesize("New.").event())
    events = await client.until("audio-stop")
    assert sum(len(event.payload or b"") for event in events) == 20 * len("New.")
    assert "Never said." not in [text for text, _ in client.asked]


@pytest.mark.parametrize(("text", "code"), [("refused", "refused"), ("broken", "failed")])
async def test_what_cannot_be_said_is_an_error_and_the_connection_lives(client: Client, text: str, code: str) -> None:
    await client.tell(SynthesizeStart().event(), SynthesizeChunk(text).event(), SynthesizeStop().event())
    events = await client.until("synthesize-stopped")
    assert kinds(events) == ["error", "synthesize-stopped"]
    assert events[0].data["code"] == code
    await client.tell(Synthesize("Hello.").event())
    assert kinds(await client.until("audio-stop"))[0] == "audio-start"


async def test_nothing_to_say_is_an_empty_speech(client: Client) -> None:
    await client.tell(Synthesize("").event())
    assert kinds(await client.until("audio-stop")) == ["audio-start", MARKS_EVENT, "audio-stop"]


async def test_it_tells_what_it_is_and_that_it_lives(client: Client) -> None:
    await client.tell(Event("describe"), Event("ping", {"text": "x"}))
    assert [event.type for event in await client.until("pong")] == ["info", "pong"]


async def test_what_is_not_wyoming_closes_the_connection(client: Client) -> None:
    await client.tell(Event("synthesize", {"no": "text"}))
    async with asyncio.timeout(5):
        assert await async_read_event(client.reader) is None
