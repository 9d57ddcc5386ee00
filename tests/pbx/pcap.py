"""A pcap file of recorded speech as RTP, for SIPp's play_pcap_audio (which takes the packets and their timing)."""

from __future__ import annotations

import struct
from pathlib import Path

from voicebridge.audio.g711 import MU
from voicebridge.protocol.rtp import FRAME_SAMPLES, PCMU, Packet

FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65_535, 1)
"""Microsecond timestamps, version 2.4, Ethernet: https://www.ietf.org/archive/id/draft-gharris-opsawg-pcap-01.html"""
RECORD = struct.Struct("<IIII")
ETHERNET = bytes(12) + b"\x08\x00"
IPV4 = struct.Struct("!BBHHHBBH4s4s")
UDP = struct.Struct("!HHHH")
LOOPBACK = bytes((127, 0, 0, 1))
PORT = 4000
FRAME_US = 20_000


def write(path: Path, pcm: bytes) -> int:
    """8 kHz 16-bit mono PCM as a stream of 20 ms packets; returns how many."""
    coded = MU.encode(pcm)
    frames = [coded[at : at + FRAME_SAMPLES] for at in range(0, len(coded), FRAME_SAMPLES)]
    with path.open("wb") as file:
        file.write(FILE_HEADER)
        for number, frame in enumerate(frames):
            payload = frame.ljust(FRAME_SAMPLES, bytes((MU.silence,)))
            packet = Packet(PCMU, number == 0, number, number * FRAME_SAMPLES, 1, payload).packed()
            data = ETHERNET + _ip_udp(packet)
            seconds, micros = divmod(number * FRAME_US, 1_000_000)
            file.write(RECORD.pack(seconds, micros, len(data), len(data)) + data)
    return len(frames)


def _ip_udp(payload: bytes) -> bytes:
    udp = UDP.pack(PORT, PORT, UDP.size + len(payload), 0)
    length = IPV4.size + len(udp) + len(payload)
    header = IPV4.pack(0x45, 0, length, 0, 0, 64, 17, 0, LOOPBACK, LOOPBACK)
    total = sum(struct.unpack("!10H", header))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return b"".join((header[:10], checksum.to_bytes(2, "big"), header[12:], udp, payload))
