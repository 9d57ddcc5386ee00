"""RTP packets (RFC 3550) and telephone events (RFC 4733): bytes in, packets out."""

from __future__ import annotations

import struct
from dataclasses import dataclass

HEADER = struct.Struct("!BBHII")
VERSION = 2
PCMU = 0
PCMA = 8
EVENTS = 101
"""The dynamic payload type that we offer for telephone events."""
CLOCK = 8_000
FRAME_SAMPLES = 160
EVENT = struct.Struct("!BBH")
EVENT_END = 0x80
EVENT_VOLUME = 10
EVENT_FRAMES = 5
END_REPEATS = 3
DIGITS = "0123456789*#ABCD"


@dataclass(frozen=True, slots=True)
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
        )  # fmt: skip
        return header + self.payload

    @classmethod
    def parsed(cls, data: bytes) -> Packet | None:
        """None where it is no RTP version 2 packet: RTCP for one, or one that ends before its own header does."""
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
        if begin > end:
            return None
        return cls(second & 0x7F, bool(second & 0x80), sequence, timestamp, ssrc, data[begin:end])


def key_pressed(digit: str) -> list[bytes]:
    """The payloads of a key held for 100 ms, one each 20 ms; its end is told three times (RFC 4733, 2.5.1.4).

    ValueError for what is no key.
    """
    code = DIGITS.index(digit)
    held = [EVENT.pack(code, EVENT_VOLUME, frame * FRAME_SAMPLES) for frame in range(1, EVENT_FRAMES + 1)]
    return held + [EVENT.pack(code, EVENT_END | EVENT_VOLUME, EVENT_FRAMES * FRAME_SAMPLES)] * END_REPEATS


def begins_key(payload: bytes) -> bool:
    """Whether an event's payload is the first one of its key."""
    return not payload[1] & EVENT_END and int.from_bytes(payload[2:4], "big") == FRAME_SAMPLES
