"""What ARI's tests have in the place of a daemon: a desk that admits, tones instead of an agent, and a line to cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import numpy as np

from tests.pbx.asterisk import Asterisk
from tests.pbx.peer import ToneCall, TonePeer, tone_peer
from voicebridge.audio.clock import Ticker
from voicebridge.pbx.asterisk.ari import AriAccess
from voicebridge.pbx.asterisk.stasis import Stasis
from voicebridge.pbx.attach import AttachRequest, CallEnd, Refused, Ticket

CONNECT_S = 10.0
BRIEF_HZ = 700.0


@dataclass
class Desk:
    """Admits everybody, unless `refuses`; every call ends as `end` says."""

    end: CallEnd = CallEnd("HANGUP", "goodbye")
    refuses: Refused | None = None
    requests: list[AttachRequest] = field(default_factory=list)
    hangups: list[bool] = field(default_factory=list)

    def attach(self, request: AttachRequest) -> Ticket | Refused:
        self.requests.append(request)
        return self.refuses or Ticket(uuid4(), "demo", request, time.monotonic() + 10)

    def hung_up(self, call_id: UUID, by_caller: bool) -> None:
        self.hangups.append(by_caller)

    async def outcome(self, call_id: UUID) -> CallEnd:
        return self.end


@dataclass
class Node:
    """A Stasis application with its tones."""

    stasis: Stasis
    peer: TonePeer
    desk: Desk

    async def call(self, *, limit_s: float = 10.0) -> ToneCall:
        """The last call, once its audio is there."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            for call in reversed(self.peer.calls.values()):
                if call.audio and not call.closed:
                    return call
            await asyncio.sleep(0.02)
        raise AssertionError("no audio came")


def access(asterisk: Asterisk, *, port: int | None = None, password: str | None = None) -> AriAccess:
    return AriAccess(f"http://127.0.0.1:{port or asterisk.ari_port}/ari", "bench", password or asterisk.secret)


async def brief(agent: str, text: str, rate: int) -> bytes:
    """In the place of speech: half a second of a tone that no caller hears."""
    at = np.arange(rate // 2) / rate
    return (8_000 * np.sin(2 * np.pi * BRIEF_HZ * at)).astype("<i2").tobytes()


@asynccontextmanager
async def node(wanted: AriAccess, desk: Desk | None = None) -> AsyncIterator[Node]:
    desk = desk or Desk()
    async with tone_peer() as peer:
        ticker = Ticker()
        ticker.start()
        stasis = Stasis(wanted, desk, lambda: peer.media, ticker, brief, desk.hung_up)
        tones = peer.server.accept
        peer.server.accept = lambda leg: stasis.accept(leg, tones)  # type: ignore[arg-type]
        stasis.start()
        await asyncio.wait_for(stasis.board.connected.wait(), CONNECT_S)
        try:
            yield Node(stasis, peer, desk)
        finally:
            for call in peer.calls.values():
                call.leg.hang_up()
            await stasis.stop()
            ticker.stop()


class Cable:
    """A TCP connection to `port` that can be cut, with everything that runs through it, and mended."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open |= {writer, there_writer}
        for source, sink in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._copy(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
        sink.close()
        self._open.discard(sink)
