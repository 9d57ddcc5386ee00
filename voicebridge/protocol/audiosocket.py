"""AudioSocket, sans I/O: bytes in, events out.

Asterisk's protocol for a call's audio over TCP: frames of a kind (1 byte), a big-endian 16-bit length and a payload.
Source: https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/ and res_audiosocket.c of Asterisk 22, where
kinds 0x10-0x18 carry 16-bit little-endian mono PCM at the rates of `AUDIO_RATES`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal
from uuid import UUID

KIND_HANGUP: Final = 0x00
KIND_UUID: Final = 0x01
KIND_DTMF: Final = 0x03
KIND_ERROR: Final = 0xFF

AUDIO_RATES: Final[dict[int, int]] = {
    0x10: 8_000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
_KIND_OF_RATE: Final = {rate: kind for kind, rate in AUDIO_RATES.items()}

_HEADER: Final = struct.Struct(">BH")
HEADER_SIZE: Final = _HEADER.size
MAX_AUDIO_S: Final = 1.0
"""A frame that claims more audio than this is not from a PBX (they send 20 ms)."""
DIGITS: Final = frozenset("0123456789ABCD*#")


class ProtocolError(Exception):
    """The rules of AudioSocket were broken."""


class LocalProtocolError(ProtocolError):
    """By us: a frame that cannot be sent."""


class RemoteProtocolError(ProtocolError):
    """By the peer: the connection is of no use any more."""


class NeedData(Enum):
    """No whole frame has come yet."""

    NEED_DATA = "NEED_DATA"


NEED_DATA: Final = NeedData.NEED_DATA


@dataclass(frozen=True, slots=True)
class CallId:
    """First frame of every connection: which call this is."""

    uuid: UUID


@dataclass(frozen=True, slots=True)
class Audio:
    """16-bit little-endian mono PCM at `rate` Hz."""

    rate: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Dtmf:
    digit: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """The peer ends the call."""


@dataclass(frozen=True, slots=True)
class PeerError:
    """The peer reports an error; `code` is its one byte, or None where it sent none."""

    code: int | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame of a kind that this version does not know; skipped, as later versions may send more."""

    kind: int
    size: int


Event = CallId | Audio | Dtmf | Hangup | PeerError | Unknown


class AudioSocketParser:
    """Feed it what was read, take events until NEED_DATA. Raises RemoteProtocolError, and for ever after that.

    A connection begins with a CallId; a hang-up may come before it. Buffers at most one frame (64 KiB).
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._identified = False
        self._broken: RemoteProtocolError | None = None

    def feed(self, data: bytes) -> None:
        if self._broken is None:
            self._buffer += data

    def next_event(self) -> Event | Literal[NeedData.NEED_DATA]:
        if self._broken is not None:
            raise self._broken
        if len(self._buffer) < HEADER_SIZE:
            return NEED_DATA
        kind, size = _HEADER.unpack_from(self._buffer)
        try:
            self._check(kind, size)
        except RemoteProtocolError as error:
            self._broken = error
            self._buffer.clear()
            raise
        if len(self._buffer) < HEADER_SIZE + size:
            return NEED_DATA
        payload = bytes(self._buffer[HEADER_SIZE : HEADER_SIZE + size])
        del self._buffer[: HEADER_SIZE + size]
        try:
            return self._event(kind, payload)
        except RemoteProtocolError as error:
            self._broken = error
            self._buffer.clear()
            raise

    def events(self) -> Iterator[Event]:
        while (event := self.next_event()) is not NEED_DATA:
            yield event

    def _check(self, kind: int, size: int) -> None:
        """What can be told from the header alone, before the payload is waited for."""
        if kind in AUDIO_RATES:
            if size % 2:
                raise RemoteProtocolError(f"audio of {size} bytes: half a sample")
            if size > MAX_AUDIO_S * AUDIO_RATES[kind] * 2:
                raise RemoteProtocolError(f"audio frame of {size} bytes, more than {MAX_AUDIO_S:.0f} s")
        if kind == KIND_UUID and size != 16:
            raise RemoteProtocolError(f"call id of {size} bytes, not 16: the dialplan must pass a UUID")
        if kind == KIND_DTMF and size != 1:
            raise RemoteProtocolError(f"DTMF of {size} bytes, not 1")
        if not self._identified and kind not in (KIND_UUID, KIND_HANGUP, KIND_ERROR):
            raise RemoteProtocolError(f"first frame is of kind 0x{kind:02x}, not the call id")

    def _event(self, kind: int, payload: bytes) -> Event:
        if kind in AUDIO_RATES:
            return Audio(AUDIO_RATES[kind], payload)
        if kind == KIND_UUID:
            if self._identified:
                raise RemoteProtocolError("a second call id")
            self._identified = True
            return CallId(UUID(bytes=payload))
        if kind == KIND_DTMF:
            digit = chr(payload[0]).upper()
            if digit not in DIGITS:
                raise RemoteProtocolError(f"DTMF 0x{payload[0]:02x} is no digit")
            return Dtmf(digit)
        if kind == KIND_HANGUP:
            return Hangup()
        if kind == KIND_ERROR:
            return PeerError(payload[0] if payload else None)
        return Unknown(kind, len(payload))


def _frame(kind: int, payload: bytes) -> bytes:
    return _HEADER.pack(kind, len(payload)) + payload


def audio_frame(pcm: bytes, rate: int) -> bytes:
    """A frame of 16-bit little-endian mono PCM. Raises LocalProtocolError for rates that have no kind."""
    kind = _KIND_OF_RATE.get(rate)
    if kind is None:
        raise LocalProtocolError(f"{rate} Hz cannot be sent; AudioSocket knows {sorted(_KIND_OF_RATE)}")
    if len(pcm) % 2 or len(pcm) > 0xFFFF:
        raise LocalProtocolError(f"{len(pcm)} bytes are no audio frame")
    return _frame(kind, pcm)


def uuid_frame(call_id: UUID) -> bytes:
    return _frame(KIND_UUID, call_id.bytes)


def dtmf_frame(digit: str) -> bytes:
    if digit not in DIGITS:
        raise LocalProtocolError(f"{digit!r} is no DTMF digit")
    return _frame(KIND_DTMF, digit.encode("ascii"))


def hangup_frame() -> bytes:
    return _frame(KIND_HANGUP, b"")


def error_frame(code: int) -> bytes:
    if not 0 <= code <= 0xFF:
        raise LocalProtocolError(f"error code {code} is no byte")
    return _frame(KIND_ERROR, bytes([code]))
