"""One side of a call's media: a UDP socket that sends a frame every 20 ms and knows when what comes has arrived."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
import time
from collections import deque
from collections.abc import Callable

from voicebridge.audio.g711 import MU, Law
from voicebridge.protocol.rtp import EVENTS, FRAME_SAMPLES, Packet, begins_key, key_pressed

OnPacket = Callable[[Packet, float], None]
"""A packet, and when the kernel took it from the network (`time.monotonic`'s seconds)."""

STAMP = struct.Struct("@ll")
SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
ANCILLARY_BYTES = socket.CMSG_SPACE(STAMP.size)
MAX_DATAGRAM = 2_048
BURST = 32
"""Packets that are taken from one socket before the others have their turn."""
SANE_S = 5.0
"""A stamp further away than that is of a clock that was set."""


class RtpEndpoint:
    """Sends G.711 and keys to where it is connected, gives every RTP packet that comes to `on_packet`.

    `malformed`: datagrams that are no RTP. `sent`: packets that left.
    """

    def __init__(self, sock: socket.socket, on_packet: OnPacket, law: Law = MU) -> None:
        self._socket = sock
        self._on_packet = on_packet
        self._law = law
        self._remote: tuple[str, int] | None = None
        self._sequence = secrets.randbelow(0x10000)
        self._timestamp = secrets.randbelow(0x80000000)
        self._ssrc = secrets.randbelow(0x100000000)
        self._first = True
        self._events: deque[bytes] = deque()
        self._event_began = 0
        self.malformed = 0
        self.sent = 0
        asyncio.get_running_loop().add_reader(sock.fileno(), self._readable)

    @classmethod
    async def open(
        cls, on_packet: OnPacket, *, host: str = "127.0.0.1", port: int = 0, law: Law = MU
    ) -> RtpEndpoint:
        """`port` 0 is any free one. Raises OSError."""
        return cls(cls.bound(host, port), on_packet, law)

    @staticmethod
    def bound(host: str, port: int = 0) -> socket.socket:
        """A socket for an endpoint: its port is known before the law is. Raises OSError."""
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.bind((host, port))
        except OSError:
            sock.close()
            raise
        return sock

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    @property
    def sending_keys(self) -> bool:
        return bool(self._events)

    def connect(self, host: str, port: int) -> None:
        """Where to send to: nothing leaves before."""
        self._remote = (host, port)

    def send(self, coded: bytes) -> None:
        """The next 20 ms of G.711, 160 bytes; a key that is held down takes its place."""
        if self._events:
            payload = self._events.popleft()
            began = begins_key(payload)
            if began:
                self._event_began = self._timestamp
            self._put(Packet(EVENTS, began, self._sequence, self._event_began, self._ssrc, payload))
        else:
            kind = self._law.payload_type
            self._put(Packet(kind, self._first, self._sequence, self._timestamp, self._ssrc, coded))
        self._first = False
        self._timestamp += FRAME_SAMPLES

    def send_audio(self, pcm: bytes) -> None:
        """The same as 16-bit PCM."""
        self.send(self._law.encode(pcm))

    def press(self, digit: str) -> None:
        """A key held for 100 ms, from the next frame on. ValueError for what is no key."""
        self._events.extend(key_pressed(digit))

    def _put(self, packet: Packet) -> None:
        if self._remote is None:
            return
        with contextlib.suppress(OSError):  # a full buffer, or a port that is closed by now: the packet is lost
            self._socket.sendto(packet.packed(), self._remote)
            self.sent += 1
        self._sequence += 1

    def _readable(self) -> None:
        for _ in range(BURST):
            try:
                data, ancillary, _, _ = self._socket.recvmsg(MAX_DATAGRAM, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:  # what the network answered to one of ours
                continue
            packet = Packet.parsed(data)
            if packet is None:
                self.malformed += 1
            else:
                self._on_packet(packet, arrival(ancillary))

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()


def arrival(ancillary: list[tuple[int, int, bytes]]) -> float:
    """The kernel's stamp (wall clock, see socket(7)) on the monotonic clock; now, where there is none."""
    now = time.monotonic()
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= STAMP.size:
            seconds, nanos = STAMP.unpack_from(data)
            waited: float = time.time() - (seconds + nanos / 1e9)
            if 0 <= waited < SANE_S:
                return now - waited
    return now
