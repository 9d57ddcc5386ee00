"""Speech engines on other machines, as foreign Wyoming servers are: streaming, single-use, slow, unreachable."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.engines import liveness, local, wyoming_link
from voicebridge.engines.base import EngineError, Speech, Transcript, Voice
from voicebridge.engines.wyoming_link import Address, describe
from voicebridge.engines.wyoming_stt import ENGINE as STT
from voicebridge.engines.wyoming_tts import ENGINE as TTS

SHAPE = {"rate": 22_050, "width": 2, "channels": 1}
SOUND = [Event("audio-start", SHAPE), Event("audio-chunk", SHAPE, b"\x01\x00" * 441)]
ASR_INFO = Event("info", {"asr": [{"name": "x", "models": []}], "tts": []})
VOICES = [{"name": "amy", "speakers": None}, {"name": "many", "speakers": [{"name": "p1"}, {"name": "p2"}]}]
TTS_INFO = Event("info", {"asr": [], "tts": [{"name": "x", "voices": VOICES}]})

Answering = Callable[[Event, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(answer: Answering, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """A Wyoming server on TCP: `answer` is handed every event. Gives its address."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(OSError):
            while event := await async_read_event(reader):
                await answer(event, writer)
        writer.close()

    made = await asyncio.start_server(serve, host, 0)
    where = f"[{host}]" if ":" in host else host
    try:
        async with asyncio.timeout(20):
            yield f"tcp://{where}:{made.sockets[0].getsockname()[1]}"
    finally:
        made.close()
        for writer in writers:
            writer.close()


def when(kind: str, *events: Event) -> Answering:
    async def answer(event: Event, writer: asyncio.StreamWriter) -> None:
        if event.type == kind:
            for one in events:
                await async_write_event(one, writer)

    return answer


async def hear(uri: str, times: int = 1, *, seconds: float = 5.0) -> list[Transcript]:
    session = STT.create({"uri": uri}).session(rate=8000, language="en")
    session.begin(1)
    session.feed(bytes(1600))
    try:
        now = time.monotonic()
        return [await session.transcribe(deadline=now, give_up=now + seconds) for _ in range(times)]
    finally:
        await session.close()


async def say(uri: str, times: int = 1, *, seconds: float = 5.0) -> list[Speech]:
    engine = TTS.create({"uri": uri})
    now = time.monotonic()
    made = [await engine.synthesize("Yes.", voice=Voice(), deadline=now, give_up=now + seconds) for _ in range(times)]
    await engine.stop()
    return made


# ---- streaming


async def test_a_transcript_in_pieces_is_put_together() -> None:
    pieces = [Event("transcript-chunk", {"text": text}) for text in ("Half", " past", " nine")]
    streamed = [Event("transcript-start", {}), *pieces, Event("transcript-stop")]
    async with server(when("audio-stop", *streamed)) as uri:
        assert [heard.text for heard in await hear(uri, 2)] == ["Half past nine"] * 2


async def test_a_stream_s_end_behind_its_transcript_does_not_end_the_next_one() -> None:
    streamed = [
        Event("transcript-start", {}), Event("transcript-chunk", {"text": "Ni"}),
        Event("transcript", {"text": "Nine"}), Event("transcript-stop"),
    ]  # fmt: skip
    async with server(when("audio-stop", *streamed)) as uri:
        assert [heard.text for heard in await hear(uri, 3)] == ["Nine"] * 3


@pytest.mark.parametrize(
    "ends",
    [
        [Event("audio-stop"), Event("synthesize-stopped")],
        [Event("synthesize-stopped")],
        [Event("audio-stop")],
    ],
    ids=["both", "stopped", "audio-stop"],
)
async def test_speech_ends_as_the_server_likes(ends: list[Event]) -> None:
    async with server(when("synthesize", *SOUND, *ends)) as uri:
        assert [(len(made.pcm), made.rate) for made in await say(uri, 3)] == [(882, 22_050)] * 3


@pytest.mark.parametrize(
    ("shape", "why"),
    [({"channels": 2}, "16 bits, 2 channels"), ({"width": 4}, "32 bits"), ({"rate": 96_000}, "96000 Hz")],
    ids=["stereo", "width", "rate"],
)
async def test_sound_that_cannot_be_played_says_what_it_is(shape: dict[str, int], why: str) -> None:
    odd = SHAPE | shape
    async with server(when("synthesize", Event("audio-start", odd), Event("audio-stop"))) as uri:
        with pytest.raises(EngineError, match=why) as raised:
            await say(uri)
    assert raised.value.cause == "garbage"


# ---- connections


async def test_a_server_that_closes_after_every_answer() -> None:
    async def once(event: Event, writer: asyncio.StreamWriter) -> None:
        await when("audio-stop", Event("transcript", {"text": "yes"}))(event, writer)
        if event.type == "audio-stop":
            writer.close()

    async with server(once) as uri:
        assert [heard.text for heard in await hear(uri, 4)] == ["yes"] * 4


async def test_an_ipv6_address() -> None:
    try:
        async with server(when("audio-stop", Event("transcript", {"text": "six"})), "::1") as uri:
            assert "[::1]" in uri
            assert (await hear(uri))[0].text == "six"
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_of_a_name_with_two_addresses_the_one_that_answers_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with black_hole() as nowhere, socket.create_server(("127.0.0.2", nowhere.getsockname()[1])):
        port = nowhere.getsockname()[1]

        async def both(*_: Any, **__: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.1", "127.0.0.2")]

        with monkeypatch.context() as patched:
            patched.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
            connecting = wyoming_link._connected("both.invalid", port, 0.4)
            patched.setattr(asyncio, "open_connection", _by_socket)
            reader, writer = await connecting
        assert writer.get_extra_info("peername")[0] == "127.0.0.2"
        writer.close()


async def _by_socket(host: str, port: int) -> Any:
    """asyncio.open_connection without its name look-up, which the test has replaced."""
    made = socket.socket()
    made.setblocking(False)
    await asyncio.get_running_loop().sock_connect(made, (host, port))
    reader = asyncio.StreamReader()
    transport, protocol = await asyncio.get_running_loop().create_connection(
        lambda: asyncio.StreamReaderProtocol(reader), sock=made
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, asyncio.get_running_loop())


def test_the_daemon_s_own_event_loop_connects_too() -> None:
    async def once() -> str:
        async with server(when("audio-stop", Event("transcript", {"text": "yes"}))) as uri:
            engine = STT.create({"uri": uri.replace("127.0.0.1", "localhost")})
            await engine.start()
            heard = (await hear(uri))[0].text
            await engine.stop()
            return heard

    assert uvloop.run(once()) == "yes"


async def test_a_name_that_nobody_knows_is_named() -> None:
    with pytest.raises(EngineError, match=r"no address is known for engine\.invalid") as raised:
        await hear("tcp://engine.invalid:10300", seconds=0.7)
    assert raised.value.cause == "unreachable"


@contextlib.contextmanager
def black_hole() -> Any:
    """An address that answers no packet: a listener whose queue is full. The kernel drops what comes to it."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener


async def test_a_machine_that_drops_packets_is_tried_again_sooner_than_the_kernel_would() -> None:
    with black_hole() as listener:
        uri = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(EngineError, match=r"no connection within 0\.5 s") as raised:
            await hear(uri, seconds=1.4)
        assert time.monotonic() - began < 5
        assert raised.value.cause == "unreachable"
        assert "after 2 tries" in raised.value.detail


async def test_a_connection_whose_other_end_is_gone_is_noticed() -> None:
    """The settings that make the kernel notice; that they do is shown by test_namespaces.py with a cut link."""
    seen: list[socket.socket] = []
    async with server(when("x")) as uri:
        reader, writer = await Address(uri).connect(1.0)
        seen.append(writer.get_extra_info("socket"))
        assert seen[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert seen[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == liveness.LOST_S * 1000
        writer.close()


# ---- readiness


async def test_a_busy_server_that_was_ready_stays_so_until_it_is_plainly_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "WATCH_EVERY_S", 0.01)
    monkeypatch.setattr(local, "WATCH_PATIENCE_S", 0.05)
    monkeypatch.setattr(local, "BUSY_MISSES", 4)
    asked, busy = 0, False

    async def answer(event: Event, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if not busy:
            await async_write_event(ASR_INFO, writer)

    async with server(answer) as uri:
        engine = STT.create({"uri": uri})
        await engine.start()
        assert await engine.wait_ready(5)
        busy, before = True, asked
        while engine.ready:  # noqa: ASYNC110 - what is waited for is a poll
            await asyncio.sleep(0.005)
        assert asked - before >= 4
        busy = False
        assert await engine.wait_ready(5)
        await engine.stop()


async def test_a_slow_describe_is_waited_for() -> None:
    async def answer(event: Event, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        await async_write_event(ASR_INFO, writer)

    async with server(answer) as uri:
        assert await describe(Address(uri), 0.1) is None
        engine = STT.create({"uri": uri})
        await engine.start()
        assert await engine.wait_ready(5)
        await engine.stop()


async def test_a_server_of_the_other_kind_is_not_ready_and_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    async with server(when("describe", TTS_INFO)) as uri:
        engine = STT.create({"uri": uri})
        with caplog.at_level(logging.ERROR):
            await engine.start()
            assert not await engine.wait_ready(0.3)
        await engine.stop()
    assert f"engines.stt = {uri}: that server offers text-to-speech only" in caplog.text


async def test_only_voices_that_the_server_has_are_asked_for() -> None:
    asked: list[Any] = []

    async def answer(event: Event, writer: asyncio.StreamWriter) -> None:
        if event.type == "synthesize":
            asked.append(event.data.get("voice"))
        await when("describe", TTS_INFO)(event, writer)
        await when("synthesize", *SOUND, Event("audio-stop"))(event, writer)

    async with server(answer) as uri:
        engine = TTS.create({"uri": uri})
        await engine.start()
        assert await engine.wait_ready(5)
        now = time.monotonic()
        for name in ("amy", "many#p2", "somebody", ""):
            await engine.synthesize("Yes.", voice=Voice(name, "en-gb"), deadline=now, give_up=now + 5)
        await engine.stop()
    assert asked == [{"name": "amy"}, {"name": "many", "speaker": "p2"}, {"language": "en-gb"}, {"language": "en-gb"}]
