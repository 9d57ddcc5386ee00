"""Two servers that echo AudioSocket calls at their own pace: voicebridge's, and a plain one to compare it with."""

from __future__ import annotations

import asyncio
import ipaddress
import resource
import struct
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Final

import uvloop

from voicebridge.audio.clock import Ticker
from voicebridge.audio.pcm import FRAME_S, frame_bytes
from voicebridge.pbx.asterisk.audiosocket import AudioSocketLeg, AudioSocketServer

RATE: Final = 8_000
SIZE: Final = frame_bytes(RATE)
BACKLOG: Final = 3 * SIZE
"""An echo that lies further behind than this skips what is oldest."""


# ---- ours


class Echo:
    """A call of the bench, as the server's listener."""

    def __init__(self, leg: AudioSocketLeg, ticker: Ticker) -> None:
        self._leg, self._ticker = leg, ticker
        self._heard = bytearray()
        self._ticket = ticker.add(self._tick)

    def _tick(self, now: float) -> None:
        frame = bytes(self._heard[:SIZE])
        del self._heard[:SIZE]
        self._leg.send_audio(frame.ljust(SIZE, b"\0"))

    def on_audio(self, pcm: bytes, rate: int) -> None:
        self._heard += pcm
        if len(self._heard) > BACKLOG:
            del self._heard[:-BACKLOG]

    def on_dtmf(self, digit: str) -> None: ...

    def on_closed(self, reason: str) -> None:
        self._ticker.remove(self._ticket)


async def serve_ours(answer: Callable[[int], asyncio.Future[None]]) -> None:
    ticker = Ticker()
    server = AudioSocketServer(
        "127.0.0.1", 0, lambda leg: Echo(leg, ticker), ticker=ticker,
        allow=[ipaddress.ip_network("127.0.0.0/8")], max_calls=100_000,
    )  # fmt: skip
    await server.start()
    ticker.start()
    await answer(server.port)
    await server.stop()
    ticker.stop()


# ---- plain streams


async def _echo_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    heard, header = bytearray(), struct.Struct(">BH")

    async def receive() -> None:
        while True:
            kind, size = header.unpack(await reader.readexactly(header.size))
            payload = await reader.readexactly(size)
            if kind == 0x10:
                heard.extend(payload)
                if len(heard) > BACKLOG:
                    del heard[:-BACKLOG]

    receiving, loop = asyncio.create_task(receive()), asyncio.get_running_loop()
    due = loop.time()
    try:
        while not receiving.done():
            frame = bytes(heard[:SIZE]).ljust(SIZE, b"\0")
            del heard[:SIZE]
            writer.write(header.pack(0x10, SIZE) + frame)
            await writer.drain()
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))
    except ConnectionError:
        pass
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        writer.close()


async def serve_streams(answer: Callable[[int], asyncio.Future[None]]) -> None:
    server = await asyncio.start_server(_echo_stream, "127.0.0.1", 0, backlog=1024)
    await answer(server.sockets[0].getsockname()[1])
    server.close()


SERVERS: Final = {"ours": (serve_ours, True), "streams": (serve_streams, False)}


def raise_file_limit() -> int:
    """As many open files as the system lets this process have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def server_process(name: str, pipe: Connection) -> None:
    """Serves until told to stop; tells its port first, then its CPU seconds whenever it is asked."""
    raise_file_limit()
    serve, on_uvloop = SERVERS[name]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        stopped: asyncio.Future[None] = loop.create_future()

        def asked() -> None:
            try:
                question = pipe.recv()
            except EOFError:  # the benchmark is gone
                question = "stop"
            if question == "cpu":
                pipe.send(time.process_time())
            else:
                loop.remove_reader(pipe.fileno())
                stopped.set_result(None)

        def answer(port: int) -> asyncio.Future[None]:
            pipe.send(port)
            loop.add_reader(pipe.fileno(), asked)
            return stopped

        await serve(answer)

    (uvloop.run if on_uvloop else asyncio.run)(run())
