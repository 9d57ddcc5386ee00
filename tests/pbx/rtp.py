"""RTP (RFC 3550) with mu-law and telephone events (RFC 4733): packets, and an endpoint on loopback.

SIPp can play media but not react to it, so calls whose turns matter have their media here.
"""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.pbx import g711

HEADER = struct.Struct("!BBHII")
VERSION = 2
PCMU = 0
EVENTS = 101
FRAME_SAMPLES = 160
EVENT = struct.Struct("!BBH")
EVENT_END = 0x80
EVENT_VOLUME = 10
EVENT_FRAMES = 5
END_REPEATS = 3
DIGITS = "0123456789*#ABCD"

OnAudio = Callable[[bytes, int], None]


@dataclass(frozen=True)
class Packet:
    """What we use of an RTP packet; `timestamp` counts samples at 8 kHz."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes

    def packed(self) -> bytes:
        header = HEADER.pack(
            VERSION << 6, self.marker << 7 | self.payload_type, self.sequence & 0xFFFF,
            self.timestamp & 0xFFFFFFFF, self.ssrc,
        )
        return header + self.payload

    @classmethod
    def parsed(cls, data: bytes) -> Packet | None:
        """None where it is no RTP version 2 packet, RTCP for one."""
        if len(data) < HEADER.size:
            return None
        first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
        if first >> 6 != VERSION or 72 <= second & 0x7F <= 79:
            return None
        begin = HEADER.size + 4 * (first & 0x0F)
        if first & 0x10:
            if len(data) < begin + 4:
                return None
            begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big")
        end = len(data) - (data[-1] if first & 0x20 else 0)
        return cls(second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, data[begin:end])


class RtpEndpoint(asyncio.DatagramProtocol):
    """One side of a call's media. The owner sends a frame every 20 ms; `on_audio` gets what comes (PCM, 8000)."""

    def __init__(self, on_audio: OnAudio) -> None:
        self._on_audio = on_audio
        self._transport: asyncio.DatagramTransport | None = None
        self._remote: tuple[str, int] | None = None
        self._sequence = secrets.randbelow(0x10000)
        self._timestamp = secrets.randbelow(0x80000000)
        self._ssrc = secrets.randbelow(0x100000000)
        self._first = True
        self._events: deque[bytes] = deque()
        self._event_began = 0
        self.received: list[Packet] = []

    @classmethod
    async def open(cls, on_audio: OnAudio) -> RtpEndpoint:
        loop = asyncio.get_running_loop()
        _, endpoint = await loop.create_datagram_endpoint(lambda: cls(on_audio), local_addr=("127.0.0.1", 0))
        return endpoint

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    @property
    def port(self) -> int:
        assert self._transport is not None
        return int(self._transport.get_extra_info("sockname")[1])

    def connect(self, port: int) -> None:
        """Where to send to: nothing leaves before."""
        self._remote = ("127.0.0.1", port)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        packet = Packet.parsed(data)
        if packet is None:
            return
        self.received.append(packet)
        if packet.payload_type == PCMU:
            self._on_audio(g711.decode(packet.payload), 8_000)

    def send_audio(self, pcm: bytes) -> None:
        """The next 20 ms; a key that is held down takes its place."""
        if self._events:
            payload = self._events.popleft()
            began = payload[1] & EVENT_END == 0 and int.from_bytes(payload[2:], "big") == FRAME_SAMPLES
            if began:
                self._event_began = self._timestamp
            self._send(Packet(EVENTS, began, self._sequence, self._event_began, self._ssrc, payload))
        else:
            self._send(Packet(PCMU, self._first, self._sequence, self._timestamp, self._ssrc, g711.encode(pcm)))
        self._first = False
        self._timestamp += FRAME_SAMPLES

    def send_dtmf(self, digit: str) -> None:
        """A key held for 100 ms, then 100 ms of nothing before the next. ValueError for what is no key."""
        code = DIGITS.index(digit)
        for frame in range(1, EVENT_FRAMES + 1):
            self._events.append(EVENT.pack(code, EVENT_VOLUME, frame * FRAME_SAMPLES))
        for _ in range(END_REPEATS):
            self._events.append(EVENT.pack(code, EVENT_END | EVENT_VOLUME, EVENT_FRAMES * FRAME_SAMPLES))

    def _send(self, packet: Packet) -> None:
        if self._transport is not None and self._remote is not None:
            self._transport.sendto(packet.packed(), self._remote)
            self._sequence += 1

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
