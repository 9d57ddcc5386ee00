"""The speech-to-text client against small fake servers: foreign, garbled, mute, dying."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.engines.base import EngineError, SttSession
from voicebridge.engines.local import RemoteHost
from voicebridge.engines.wyoming_link import Address
from voicebridge.engines.wyoming_stt import ENGINE, WyomingStt, WyomingSttSession

SECOND = bytes(16_000)


class FakeServer:
    """A Wyoming server that echoes no ids. `answer(server, pcm, writer)` says what it sends after audio-stop."""

    def __init__(
        self, path: Path, answer: Callable[[FakeServer, bytes, asyncio.StreamWriter], Awaitable[None]]
    ) -> None:
        self.path = path
        self.answer = answer
        self.connections = 0
        self.requests: list[tuple[dict[str, Any], int]] = []  # what `transcribe` held, bytes of audio
        self.got = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        asked: dict[str, Any] = {}
        pcm = bytearray()
        with contextlib.suppress(OSError):
            while event := await async_read_event(reader):
                if event.type == "describe":
                    await async_write_event(Event("info", {"asr": []}), writer)
                elif event.type == "transcribe":
                    asked = event.data
                elif event.type == "audio-chunk":
                    pcm += event.payload or b""
                elif event.type == "audio-stop":
                    self.requests.append((asked, len(pcm)))
                    self.got.set()
                    await self.answer(self, bytes(pcm), writer)
                    pcm.clear()
        writer.close()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self.serve, str(self.path))

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()
        self.path.unlink(missing_ok=True)


async def by_length(_: FakeServer, pcm: bytes, writer: asyncio.StreamWriter) -> None:
    await async_write_event(Event("transcript", {"text": f" {len(pcm)} bytes "}), writer)


@contextlib.asynccontextmanager
async def session_at(path: Path, rate: int = 8000) -> AsyncIterator[SttSession]:
    session = WyomingStt("fake", RemoteHost(f"unix://{path}", "stt")).session(rate=rate, language="en")
    yield session
    await session.close()


@contextlib.asynccontextmanager
async def serving(path: Path, answer: Any) -> AsyncIterator[FakeServer]:
    server = FakeServer(path, answer)
    await server.start()
    yield server
    await server.stop()


def soon(seconds: float) -> dict[str, float]:
    now = time.monotonic()
    return {"deadline": now + seconds, "give_up": now + seconds}


async def test_foreign_server_without_context_echo(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", by_length) as server, session_at(tmp_path / "s") as session:
        session.begin(7)
        session.feed(SECOND)
        first = await session.transcribe(**soon(5))
        session.feed(SECOND)
        second = await session.transcribe(**soon(5))
        assert (first.text, first.samples, first.utterance, first.busy_s) == ("16000 bytes", 8000, 7, None)
        assert (second.text, second.samples) == ("32000 bytes", 16_000)
        assert second.started <= second.finished
        assert server.connections == 1
        assert server.requests[0][0]["language"] == "en"
        assert server.requests[0][0]["context"]["deadline"] > 0


async def test_begin_forgets_and_the_last_minute_is_kept(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", by_length), session_at(tmp_path / "s") as session:
        session.begin(1)
        session.feed(SECOND)
        session.begin(2)
        for _ in range(61):
            session.feed(SECOND)
        long = await session.transcribe(**soon(10))
        assert long.utterance == 2
        assert long.text == f"{60 * 16_000} bytes"
        assert long.samples == 61 * 8000


async def test_server_that_dies_in_the_middle_gets_the_utterance_again(tmp_path: Path) -> None:
    async def die_once(server: FakeServer, pcm: bytes, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            writer.close()
        else:
            await by_length(server, pcm, writer)

    async with serving(tmp_path / "s", die_once) as server, session_at(tmp_path / "s") as session:
        session.begin(1)
        session.feed(SECOND)
        assert (await session.transcribe(**soon(5))).text == "16000 bytes"
        assert [length for _, length in server.requests] == [16_000, 16_000]


async def test_server_that_starts_late(tmp_path: Path) -> None:
    server = FakeServer(tmp_path / "s", by_length)
    async with session_at(tmp_path / "s") as session:
        session.begin(1)
        session.feed(SECOND)
        task = asyncio.create_task(session.transcribe(**soon(10)))
        await asyncio.sleep(0.3)
        assert not task.done()
        await server.start()
        assert (await task).text == "16000 bytes"
    await server.stop()


async def test_gives_up_when_nobody_is_there(tmp_path: Path) -> None:
    async with session_at(tmp_path / "s") as session:
        session.begin(1)
        with pytest.raises(EngineError) as raised:
            await session.transcribe(**soon(0.3))
        assert raised.value.cause == "unreachable"


@pytest.mark.parametrize(
    "line", [b"\xff\xfe rubbish\n", b'["a", "list"]\n', b'{"no": "type"}\n', b"x" * 100_000 + b"\n", b"7\n"]
)
async def test_garbage_is_told_not_hung_on(tmp_path: Path, line: bytes) -> None:
    async def garbage(_: FakeServer, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(line)
        await writer.drain()

    async with serving(tmp_path / "s", garbage) as server, session_at(tmp_path / "s") as session:
        session.begin(1)
        session.feed(SECOND)
        with pytest.raises(EngineError) as raised:
            await session.transcribe(**soon(0.5))
        assert raised.value.cause == "garbage"
        assert server.connections > 1


async def test_garbage_once_is_got_over(tmp_path: Path) -> None:
    async def garbage_once(server: FakeServer, pcm: bytes, writer: asyncio.StreamWriter) -> None:
        if len(server.requests) == 1:
            writer.write(b"\x00\x01\n")
        await by_length(server, pcm, writer)

    async with serving(tmp_path / "s", garbage_once), session_at(tmp_path / "s") as session:
        session.begin(1)
        session.feed(SECOND)
        assert (await session.transcribe(**soon(5))).text == "16000 bytes"


async def test_error_event_is_final(tmp_path: Path) -> None:
    async def refuse(_: FakeServer, __: bytes, writer: asyncio.StreamWriter) -> None:
        await async_write_event(Event("error", {"text": "no such language"}), writer)

    async with serving(tmp_path / "s", refuse) as server, session_at(tmp_path / "s") as session:
        session.begin(1)
        with pytest.raises(EngineError) as raised:
            await session.transcribe(**soon(5))
        assert (raised.value.cause, raised.value.detail) == ("refused", "no such language")
        assert len(server.requests) == 1


@pytest.mark.parametrize("told", [{}, {"text": "well " * 5_000}], ids=["nothing", "far too much"])
async def test_transcript_without_text_is_garbage(tmp_path: Path, told: dict[str, str]) -> None:
    async def empty(_: FakeServer, __: bytes, writer: asyncio.StreamWriter) -> None:
        await async_write_event(Event("transcript", told), writer)

    async with serving(tmp_path / "s", empty), session_at(tmp_path / "s") as session:
        session.begin(1)
        with pytest.raises(EngineError, match="garbage"):
            await session.transcribe(**soon(5))


async def slow_first(server: FakeServer, pcm: bytes, writer: asyncio.StreamWriter) -> None:
    if len(server.requests) == 1:
        await asyncio.sleep(0.2)
    await by_length(server, pcm, writer)


async def test_cancelled_request_does_not_answer_the_next(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", slow_first) as server, session_at(tmp_path / "s") as session:
        session.begin(1)
        session.feed(SECOND)
        task = asyncio.create_task(session.transcribe(**soon(5)))
        await server.got.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        session.begin(2)
        session.feed(SECOND * 2)
        assert (await session.transcribe(**soon(5))).text == "32000 bytes"


async def test_later_request_supersedes(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", slow_first) as server, session_at(tmp_path / "s") as session:
        session.begin(1)
        session.feed(SECOND)
        early = asyncio.create_task(session.transcribe(**soon(5)))
        await server.got.wait()
        session.feed(SECOND)
        late = await session.transcribe(**soon(5))
        assert late.text == "32000 bytes"
        with pytest.raises(EngineError, match="superseded"):
            await early


async def test_mute_server_times_out(tmp_path: Path) -> None:
    async def mute(*_: object) -> None:
        await asyncio.sleep(60)

    async with serving(tmp_path / "s", mute), session_at(tmp_path / "s") as session:
        session.begin(1)
        with pytest.raises(EngineError) as raised:
            await session.transcribe(**soon(0.3))
        assert raised.value.cause == "timeout"


async def test_remote_engine_tells_whether_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voicebridge.engines.local.WATCH_EVERY_S", 0.05)
    server = FakeServer(tmp_path / "s", by_length)
    engine = ENGINE.create({"uri": f"unix://{tmp_path / 's'}"})
    await engine.start()
    assert await engine.wait_ready(0.2) is False
    await server.start()
    assert await engine.wait_ready(5)
    await server.stop()
    async with asyncio.timeout(5):
        while engine.ready:  # noqa: ASYNC110 - what is waited for is a poll
            await asyncio.sleep(0.02)
    await engine.stop()
    assert not engine.ready


@pytest.mark.parametrize("uri", ["http://x:1", "tcp://host", "unix://", "tcp://:5", "x"])
def test_addresses_that_are_none(uri: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Address(uri)


async def test_remote_machine_is_sent_no_deadline() -> None:
    """Its monotonic clock is not ours."""
    got: list[dict[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while event := await async_read_event(reader):
            got.append(event.data)
            if event.type == "audio-stop":
                await async_write_event(Event("transcript", {"text": "yes"}), writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    session = WyomingSttSession("fake", Address(f"tcp://127.0.0.1:{port}"), 1, 8000, "en")
    session.begin(1)
    assert (await session.transcribe(**soon(5))).text == "yes"
    assert got[0]["context"] == {"id": "1.1"}
    await session.close()
    server.close()
