"""RTP packets and telephone events: as written so read, and nothing that comes is too strange."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.protocol.rtp import Packet, begins_key, key_pressed


@given(st.binary(max_size=400), st.integers(0, 127).filter(lambda kind: not 72 <= kind <= 79), st.booleans())
def test_an_rtp_packet_is_read_as_it_was_written(payload: bytes, kind: int, marker: bool):
    packet = Packet(kind, marker, 65_535, 2**32 - 1, 7, payload)
    assert Packet.parsed(packet.packed()) == packet


@given(st.binary(max_size=60))
def test_no_datagram_is_too_strange(data: bytes):
    packet = Packet.parsed(data)
    assert packet is None or len(packet.payload) <= len(data)


def header(first: int, second: int = 0) -> bytes:
    return struct.pack("!BBHII", first, second, 1, 2, 3)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("too short", b"\x80\0\0"),
        ("version 1", header(0x40)),
        ("RTCP", header(0x80, 200)),
        ("more sources than bytes", header(0x8F) + bytes(8)),
        ("an extension longer than the packet", header(0x90) + b"\0\0\0\xff" + bytes(4)),
        ("padding longer than the packet", header(0xA0) + b"\xff"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_is_no_packet_is_none(name: str, data: bytes):
    assert Packet.parsed(data) is None


def test_sources_extension_and_padding_are_no_sound():
    data = header(0x80 | 0x20 | 0x10 | 2) + bytes(8) + b"\0\0\0\x01" + bytes(4) + b"sound" + b"\0\0\x03"
    packet = Packet.parsed(data)
    assert packet is not None
    assert packet.payload == b"sound"


def test_a_key_grows_and_tells_its_end_three_times():
    made = [struct.unpack("!BBH", payload) for payload in key_pressed("#")]
    assert made == [*((11, 10, 160 * frame) for frame in range(1, 6)), *([(11, 0x80 | 10, 800)] * 3)]
    assert [begins_key(payload) for payload in key_pressed("#")] == [True] + [False] * 7


def test_what_is_no_key_is_refused():
    with pytest.raises(ValueError, match="substring not found"):
        key_pressed("x")
