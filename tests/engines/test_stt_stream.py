"""Our side of a streaming recogniser against small fake workers: dying, garbled, mute, late."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.engines.base import EngineError, HeardWord
from voicebridge.engines.stt_stream import StreamingSttSession
from voicebridge.engines.wyoming_link import Address

SECOND = bytes(16_000)


class FakeWorker:
    """Answers with how many bytes it has of the utterance. `ill(worker, event, writer)`: True where it did more."""

    def __init__(self, path: Path, ill: Callable[..., Awaitable[bool]] | None = None) -> None:
        self.path = path
        self.ill = ill
        self.connections = 0
        self.begun: list[Event] = []
        self.got: list[str] = []
        self._server: asyncio.Server | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        pcm = 0
        with contextlib.suppress(OSError):
            while event := await async_read_event(reader):
                self.got.append(event.type)
                if self.ill is not None and await self.ill(self, event, writer):
                    continue
                if event.type == "transcribe":
                    self.begun.append(event)
                    pcm = 0
                elif event.type == "audio-chunk":
                    pcm += len(event.payload or b"")
                elif event.type in ("audio-stop", "voicebridge-look"):
                    words = [["bytes", 0.0, 0.5, 0.75]]
                    context = {"id": event.data["context"]["id"], "busy_s": 0.25, "words": words}
                    await async_write_event(Event("transcript", {"text": f" {pcm} ", "context": context}), writer)
        writer.close()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self.serve, str(self.path))

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()


@contextlib.asynccontextmanager
async def serving(path: Path, ill: Any = None) -> AsyncIterator[tuple[FakeWorker, StreamingSttSession]]:
    worker = FakeWorker(path, ill)
    await worker.start()
    session = StreamingSttSession("fake", Address(f"unix://{path}"), 1, 8000, "en", ["agent's"])
    yield worker, session
    await session.close()
    worker.stop()


def soon(seconds: float) -> dict[str, float]:
    now = time.monotonic()
    return {"deadline": now + seconds, "give_up": now + seconds}


async def settled(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_audio_goes_out_as_it_comes_and_questions_in_their_place(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (worker, session):
        session.begin(7, ["yes", "no"])
        session.feed(SECOND)
        await settled(lambda: worker.got.count("audio-chunk") == 1)
        assert "audio-stop" not in worker.got
        look = await session.transcribe(**soon(5), final=False)
        session.feed(SECOND[:100])
        told = await session.transcribe(**soon(5))
        assert (look.text, told.text) == ("16000", "16100")
        assert worker.got[-2:] == ["audio-chunk", "audio-stop"]
        assert (told.utterance, told.samples, told.busy_s, told.engine) == (7, 8050, 0.25, "fake")
        assert told.words == (HeardWord("bytes", 0.0, 0.5, 0.75),)
        assert worker.begun[0].data["language"] == "en"
        assert worker.begun[0].data["context"]["phrases"] == ["yes", "no"]
        session.begin(8)
        assert (await session.transcribe(**soon(5))).text == "0"
        assert worker.begun[1].data["context"]["phrases"] == ["agent's"]
        assert worker.connections == 1


async def test_a_lost_connection_gets_the_whole_utterance_again(tmp_path: Path) -> None:
    async def dies_twice(worker: FakeWorker, event: Event, writer: asyncio.StreamWriter) -> bool:
        if worker.connections <= 2 and event.type in ("audio-chunk", "audio-stop"):
            writer.close()
            return True
        return False

    async with serving(tmp_path / "s", dies_twice) as (worker, session):
        session.begin(1)
        for _ in range(5):
            session.feed(SECOND)
            await asyncio.sleep(0.02)
        assert (await session.transcribe(**soon(10))).text == "80000"
        assert worker.connections == 3


async def test_dying_over_the_answer_it_is_asked_again(tmp_path: Path) -> None:
    async def dies_once(worker: FakeWorker, event: Event, writer: asyncio.StreamWriter) -> bool:
        if worker.connections == 1 and event.type == "audio-stop":
            writer.close()
            return True
        return False

    async with serving(tmp_path / "s", dies_once) as (_, session):
        session.begin(1)
        session.feed(SECOND)
        assert (await session.transcribe(**soon(10))).text == "16000"


async def test_the_last_minute_is_told_again(tmp_path: Path) -> None:
    worker = FakeWorker(tmp_path / "s")
    session = StreamingSttSession("fake", Address(f"unix://{tmp_path / 's'}"), 1, 8000, "en")
    session.begin(1)
    for _ in range(61):
        session.feed(SECOND)
    asked = asyncio.create_task(session.transcribe(**soon(20)))
    await asyncio.sleep(0.2)
    await worker.start()
    told = await asked
    assert (told.text, told.samples) == (str(60 * 16_000), 61 * 8000)
    await session.close()
    worker.stop()


async def test_nobody_there_is_told_in_time(tmp_path: Path) -> None:
    session = StreamingSttSession("fake", Address(f"unix://{tmp_path / 's'}"), 1, 8000, "en")
    session.begin(1)
    session.feed(SECOND)
    with pytest.raises(EngineError) as raised:
        await session.transcribe(**soon(0.3))
    assert raised.value.cause == "unreachable"
    await session.close()


@pytest.mark.parametrize("line", [b"\xff\xfe rubbish\n", b'["a", "list"]\n', b'{"no": "type"}\n', b"7\n"])
async def test_garbage_is_told_not_hung_on(tmp_path: Path, line: bytes) -> None:
    async def garbage(_: FakeWorker, event: Event, writer: asyncio.StreamWriter) -> bool:
        if event.type == "audio-stop":
            writer.write(line)
        return event.type == "audio-stop"

    async with serving(tmp_path / "s", garbage) as (worker, session):
        session.begin(1)
        session.feed(SECOND)
        with pytest.raises(EngineError) as raised:
            await session.transcribe(**soon(0.6))
        assert raised.value.cause == "garbage"
        assert 1 < worker.connections < 30


@pytest.mark.parametrize(
    "answer",
    [{}, {"text": 7}, {"text": "x" * 20_001}, {"text": "x", "words": [[1]]}, {"text": "", "words": [["a", "", 0, 0]]}],
    ids=["nothing", "a number", "too long", "short words", "words of words"],
)
async def test_an_answer_that_is_none_is_garbage(tmp_path: Path, answer: dict[str, Any]) -> None:
    async def wrong(_: FakeWorker, event: Event, writer: asyncio.StreamWriter) -> bool:
        if event.type == "audio-stop":
            context = {"id": event.data["context"]["id"], "words": answer.pop("words", [])}
            await async_write_event(Event("transcript", answer | {"context": context}), writer)
        return event.type == "audio-stop"

    async with serving(tmp_path / "s", wrong) as (_, session):
        session.begin(1)
        with pytest.raises(EngineError, match="garbage"):
            await session.transcribe(**soon(5))


async def test_a_mute_worker_times_out_and_the_next_question_is_answered(tmp_path: Path) -> None:
    async def mute_once(worker: FakeWorker, event: Event, _: asyncio.StreamWriter) -> bool:
        return event.type == "audio-stop" and worker.got.count("audio-stop") == 1

    async with serving(tmp_path / "s", mute_once) as (worker, session):
        session.begin(1)
        session.feed(SECOND)
        with pytest.raises(EngineError) as raised:
            await session.transcribe(**soon(0.3))
        assert raised.value.cause == "timeout"
        assert (await session.transcribe(**soon(5))).text == "16000"
        assert worker.connections == 1, "it answers by number: an old answer is no danger"


async def test_between_utterances_a_dead_worker_is_left_alone(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (worker, session):
        session.begin(1)
        session.feed(SECOND)
        await session.transcribe(**soon(5))
        session._drop()
        await asyncio.sleep(0.2)
        assert worker.connections == 1
        session.feed(SECOND)
        assert (await session.transcribe(**soon(5))).text == "32000"
        assert worker.connections == 2


async def test_an_error_is_final_and_a_cancelled_question_does_not_answer_the_next(tmp_path: Path) -> None:
    async def refuses(worker: FakeWorker, event: Event, writer: asyncio.StreamWriter) -> bool:
        if event.type == "audio-stop" and worker.got.count("audio-stop") == 1:
            await asyncio.sleep(0.1)
            data = {"text": "no such language", "context": event.data["context"]}
            await async_write_event(Event("error", data), writer)
            return True
        return False

    async with serving(tmp_path / "s", refuses) as (worker, session):
        session.begin(1)
        session.feed(SECOND)
        with pytest.raises(EngineError) as raised:
            await session.transcribe(**soon(5))
        assert (raised.value.cause, raised.value.detail) == ("refused", "no such language")
        worker.got.clear()
        dropped = asyncio.create_task(session.transcribe(**soon(5)))
        await settled(lambda: "audio-stop" in worker.got)
        dropped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dropped
        assert (await session.transcribe(**soon(5))).text == "16000"


async def test_half_a_letter_in_a_phrase_is_replaced(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as (worker, session):
        session.begin(1, ["yes \ud83d"])
        session.feed(SECOND)
        assert (await session.transcribe(**soon(5))).text == "16000"
        assert worker.begun[0].data["context"]["phrases"] == ["yes \ufffd"]


async def test_what_cannot_be_sent_fails_at_once_and_the_next_utterance_is_heard(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path / "s") as (_, session):
        session._language = "e\ud83d"  # none of ours has one: it stands for whatever nobody has thought of
        session.begin(1)
        session.feed(SECOND)
        with pytest.raises(EngineError) as raised:
            await session.transcribe(**soon(30))
        assert raised.value.cause == "garbage"
        session._language = "en"
        session.begin(2)
        session.feed(SECOND)
        assert (await session.transcribe(**soon(5))).text == "16000"
        assert sum("cannot be sent" in record.message for record in caplog.records) == 1
