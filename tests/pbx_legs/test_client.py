"""The PBX's side of AudioSocket against the server, and against peers that misbehave."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field

import pytest

from tests.pbx_legs.peers import Bench
from voicebridge.pbx.asterisk.client import AudioSocketClient
from voicebridge.protocol import audiosocket as wire


@dataclass
class Heard:
    audio: list[tuple[bytes, int]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    async def connect(self, port: int, *, rate: int = 8_000, call_id: uuid.UUID | None = None) -> AudioSocketClient:
        return await AudioSocketClient.connect(
            "127.0.0.1",
            port,
            call_id or uuid.uuid4(),
            on_audio=lambda pcm, r: self.audio.append((pcm, r)),
            on_closed=self.closed.append,
            rate=rate,
        )


@pytest.mark.parametrize("rate", [8_000, 16_000])
async def test_a_call_from_end_to_end(bench: Bench, rate: int):
    server, heard, call_id = await bench.serve(), Heard(), uuid.uuid4()
    client = await heard.connect(server.port, rate=rate, call_id=call_id)
    client.send_audio(bytes([1, 2]) * (rate // 50))
    client.send_dtmf("7")
    await bench.until(lambda: bench.listeners and bench.listeners[0].digits == "7", "the digit was lost")
    (listener,) = bench.listeners
    assert listener.leg.call_id == call_id
    assert listener.audio == [(bytes([1, 2]) * (rate // 50), rate)]
    await bench.until(lambda: (bytes(rate // 25), rate) in heard.audio, "no silence came back")
    client.hang_up()
    await bench.until(lambda: heard.closed and listener.closed, "not told")
    assert heard.closed == ["local"]
    assert listener.closed == ["hangup"]
    assert not client.open


async def test_the_agent_hangs_up(bench: Bench):
    server, heard = await bench.serve(), Heard()
    client = await heard.connect(server.port)
    await bench.until(lambda: bench.listeners, "not accepted")
    assert client.open
    bench.listeners[0].leg.hang_up()
    await bench.until(lambda: heard.closed, "not told")
    assert heard.closed == ["hangup"]
    for late in (lambda: client.send_audio(bytes(320)), lambda: client.send_dtmf("1"), client.hang_up, client.close):
        late()


async def test_nobody_there_is_an_os_error(bench: Bench):
    server = await bench.serve()
    port = server.port
    await server.stop()
    with pytest.raises(OSError, match="refused|Connect call failed"):
        await Heard().connect(port)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "dropped"),
        (b"\x10\x00", "dropped"),
        (b"\x10\x00\x03abc", "error"),
        (wire.error_frame(1), "error"),
    ],
)
async def test_a_server_that_is_none(bench: Bench, answer: bytes, reason: str):
    """Whatever answers, the end is told once, with its reason, and the event loop hears of no fault."""
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: faults.append(context))

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)

    other = await asyncio.start_server(answers, "127.0.0.1", 0)
    heard = Heard()
    await heard.connect(other.sockets[0].getsockname()[1])
    await bench.until(lambda: heard.closed, "not told")
    other.close()
    await other.wait_closed()
    assert heard.closed == [reason]
    assert heard.audio == []
    assert faults == []
