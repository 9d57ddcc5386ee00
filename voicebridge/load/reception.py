"""What came of one call's RTP: where each packet's sound belongs, what is missing, and how unevenly it came."""

from __future__ import annotations

from dataclasses import dataclass

from voicebridge.audio.g711 import MU, Law
from voicebridge.protocol.rtp import CLOCK, EVENTS, Packet

JUMP_S = 0.5
"""A stream whose timestamps move so much more or less than the clock has begun anew (after a transfer, say)."""
SEQUENCES = 0x10000
TIMESTAMPS = 0x100000000
MISORDER = 3_000
"""A sequence number further away than that is a new beginning (RFC 3550, appendix A.1: MAX_DROPOUT)."""


@dataclass
class _Stream:
    """One SSRC, as long as its numbers go on. `anchor`: (timestamp, arrival, sample of the track) of its beginning."""

    ssrc: int
    first: int
    highest: int
    anchor: tuple[int, float, int]
    transit: float
    jitter: float = 0.0
    received: int = 0


class Reception:
    """Feed it every packet with its arrival (seconds of any steady clock); `track` is then what a listener heard.

    The track's zero is `zero`; a packet's place is by its RTP timestamp, and by its arrival where a stream begins.
    """

    def __init__(self, zero: float, law: Law = MU) -> None:
        self._zero, self._law = zero, law
        self._stream: _Stream | None = None
        self._frames: dict[int, tuple[float, bytes]] = {}
        self._end = 0
        self._lost_before = 0
        self._seen: set[int] = set()
        self.packets = self.streams = self.duplicates = self.reordered = self.foreign = 0
        self.worst_jitter_s = 0.0
        self.arrivals: list[float] = []
        """Of each frame of sound, in the order of arrival, seconds since `zero`."""
        self.keys: list[int] = []
        self._key_at = -1

    def feed(self, packet: Packet, arrival: float) -> bytes:
        """The packet's G.711 where it is sound that was not here yet, else nothing."""
        self.packets += 1
        sequence = self._sequence(packet, arrival)
        stream = self._stream
        assert stream is not None
        if sequence in self._seen:
            self.duplicates += 1
            return b""
        self._seen.add(sequence)
        stream.received += 1
        self.reordered += sequence < stream.highest
        stream.highest = max(stream.highest, sequence)
        if packet.payload_type == EVENTS:
            self._key(packet)
            return b""
        if packet.payload_type != self._law.payload_type or not packet.payload:
            self.foreign += 1
            return b""
        self._note_jitter(stream, packet, arrival)
        self._place(stream, packet, arrival)
        return packet.payload

    def _sequence(self, packet: Packet, arrival: float) -> int:
        """The extended sequence number (RFC 3550, A.1); a stream that begins anew becomes the current one."""
        stream = self._stream
        if stream is not None and stream.ssrc == packet.ssrc:
            ahead = (packet.sequence - stream.highest + SEQUENCES // 2) % SEQUENCES - SEQUENCES // 2
            if abs(ahead) < MISORDER and not self._jumped(stream, packet, arrival):
                return stream.highest + ahead
        if stream is not None:
            self._lost_before += _lost(stream)
        at = max(self._end, round((arrival - self._zero) * CLOCK))
        self._stream = _Stream(
            packet.ssrc, packet.sequence, packet.sequence, (packet.timestamp, arrival, at),
            arrival - packet.timestamp / CLOCK,
        )  # fmt: skip
        self._seen.clear()
        self.streams += 1
        return packet.sequence

    def _jumped(self, stream: _Stream, packet: Packet, arrival: float) -> bool:
        """Events keep the timestamp of their beginning, so they tell nothing."""
        timestamp, began, _ = stream.anchor
        moved = _since(packet.timestamp, timestamp) / CLOCK
        return packet.payload_type != EVENTS and abs(moved - (arrival - began)) > JUMP_S

    def _note_jitter(self, stream: _Stream, packet: Packet, arrival: float) -> None:
        """RFC 3550, 6.4.1: the mean deviation of the time that packets are under way, smoothed over sixteen."""
        transit = arrival - _since(packet.timestamp, stream.anchor[0]) / CLOCK
        if stream.received > 1:
            stream.jitter += (abs(transit - stream.transit) - stream.jitter) / 16
            self.worst_jitter_s = max(self.worst_jitter_s, stream.jitter)
        stream.transit = transit

    def _place(self, stream: _Stream, packet: Packet, arrival: float) -> None:
        timestamp, _, at = stream.anchor
        position = at + _since(packet.timestamp, timestamp)
        if position >= 0:
            self._frames[position] = (arrival - self._zero, packet.payload)
            self._end = max(self._end, position + len(packet.payload))
            self.arrivals.append(arrival - self._zero)

    def _key(self, packet: Packet) -> None:
        if packet.timestamp != self._key_at and packet.payload:
            self._key_at = packet.timestamp
            self.keys.append(packet.payload[0])

    @property
    def lost(self) -> int:
        """Packets that did not come."""
        return self._lost_before + (0 if self._stream is None else _lost(self._stream))

    @property
    def jitter_s(self) -> float:
        """Interarrival jitter at the end of the newest stream."""
        return 0.0 if self._stream is None else self._stream.jitter

    def track(self) -> tuple[bytes, list[float], list[int]]:
        """All sound as 16-bit PCM at 8 kHz, when each frame of it could be heard, and the sample where it begins.

        A frame that came behind a later one was heard no earlier than that one could have been.
        """
        silence = bytes((self._law.silence,))
        coded = bytearray()
        moments: list[float] = []
        positions = sorted(self._frames)
        for position in positions:
            arrival, payload = self._frames[position]
            coded += silence * (position - len(coded))
            del coded[position:]
            coded += payload
            moments.append(max(arrival, moments[-1] if moments else arrival))
        return self._law.decode(coded), moments, positions


def _since(timestamp: int, zero: int) -> int:
    """Samples from one RTP timestamp to another, over the wrap."""
    return (timestamp - zero + TIMESTAMPS // 2) % TIMESTAMPS - TIMESTAMPS // 2


def _lost(stream: _Stream) -> int:
    return max(0, stream.highest - stream.first + 1 - stream.received)


