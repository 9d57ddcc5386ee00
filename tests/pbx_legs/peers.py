"""The two ends of the leg tests: a server with a listener that notes everything, and raw sockets as its peers."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
import uuid
from collections.abc import Callable
from pathlib import Path

from voicebridge.audio.clock import Ticker
from voicebridge.audio.pcm import frame_bytes
from voicebridge.pbx.asterisk.audiosocket import AudioSocketLeg, AudioSocketServer
from voicebridge.protocol import audiosocket as wire

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


def open_sockets() -> int:
    count = 0
    for file in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(file.readlink()).startswith("socket:")
    return count


class Listener:
    """A call that answers with silence every tick and notes what it was told."""

    def __init__(self, leg: AudioSocketLeg, ticker: Ticker) -> None:
        self.leg = leg
        self.audio: list[tuple[bytes, int]] = []
        self.digits = ""
        self.closed: list[str] = []
        self.after_closed = 0
        self.speak = b""
        self._ticker = ticker
        self._ticket = ticker.add(self._tick)

    def _tick(self, now: float) -> None:
        size = frame_bytes(self.leg.rate)
        frame, self.speak = self.speak[:size], self.speak[size:]
        self.leg.send_audio(frame.ljust(size, b"\0"))

    def on_audio(self, pcm: bytes, rate: int) -> None:
        self.after_closed += bool(self.closed)
        self.audio.append((pcm, rate))

    def on_dtmf(self, digit: str) -> None:
        self.after_closed += bool(self.closed)
        self.digits += digit

    def on_closed(self, reason: str) -> None:
        self._ticker.remove(self._ticket)
        self.closed.append(reason)

    @property
    def heard(self) -> bytes:
        return b"".join(pcm for pcm, _ in self.audio)


class Bench:
    """A real server on loopback. Peers made here are closed by `stop`."""

    def __init__(self) -> None:
        self.ticker = Ticker()
        self.listeners: list[Listener] = []
        self.refuse = False
        self._servers: list[AudioSocketServer] = []
        self._peers: list[Peer] = []

    async def serve(self, host: str = "127.0.0.1", **options: object) -> AudioSocketServer:
        values = {"allow": LOOPBACK, "handshake_s": 5.0, "idle_s": 60.0, **options}
        server = AudioSocketServer(host, 0, self._accept, ticker=self.ticker, **values)
        await server.start()
        self.ticker.start()
        self._servers.append(server)
        return server

    def _accept(self, leg: AudioSocketLeg) -> Listener | None:
        if self.refuse:
            return None
        self.listeners.append(Listener(leg, self.ticker))
        return self.listeners[-1]

    async def peer(self, server: AudioSocketServer, host: str = "127.0.0.1", *, receive_buffer: int = 0) -> Peer:
        peer = Peer(host, receive_buffer)
        self._peers.append(peer)
        await peer.connect(host, server.port)
        return peer

    async def call(self, server: AudioSocketServer, host: str = "127.0.0.1", **options: int) -> tuple[Peer, Listener]:
        """A peer that has said who it is, and the listener that it got."""
        peer, count = await self.peer(server, host, **options), len(self.listeners)
        await peer.send(wire.uuid_frame(uuid.uuid4()))
        await self.until(lambda: len(self.listeners) > count, "the call was not accepted")
        return peer, self.listeners[count]

    async def until(self, condition: Callable[[], object], what: str, limit_s: float = 8.0) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + limit_s
        while not condition():
            assert loop.time() < give_up, what
            await asyncio.sleep(0.01)

    def resources(self) -> tuple[int, int]:
        """Tasks and open sockets of this process."""
        return len(asyncio.all_tasks()), open_sockets()

    async def stop(self) -> None:
        for server in self._servers:
            await server.stop()
            assert len(server) == 0
        for peer in self._peers:
            peer.close()
        self.ticker.stop()
        for listener in self.listeners:
            assert len(listener.closed) == 1, "told exactly once that it is over"
            assert listener.after_closed == 0


class Peer:
    """A raw socket: sends bytes, reads events, does what no PBX would do."""

    def __init__(self, host: str, receive_buffer: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setblocking(False)
        self._parser = wire.AudioSocketParser()
        self._parser.feed(wire.uuid_frame(uuid.uuid4()))
        self._parser.next_event()

    async def connect(self, host: str, port: int) -> None:
        await asyncio.get_running_loop().sock_connect(self.socket, (host, port))

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self, limit_s: float = 8.0) -> list[wire.Event] | None:
        """What has come, at least one event; None at the end of the connection."""
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    data = await asyncio.get_running_loop().sock_recv(self.socket, 65_536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self._parser.feed(data)
                if events := list(self._parser.events()):
                    return events

    async def read_all(self, limit_s: float = 8.0) -> list[wire.Event]:
        """Until the server closes. Raises TimeoutError where it doesn't."""
        events: list[wire.Event] = []
        async with asyncio.timeout(limit_s):
            while (more := await self.read(limit_s)) is not None:
                events += more
        return events

    def shut_down_sending(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with an RST, as a crashed machine's kernel does."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()
