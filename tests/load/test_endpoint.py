"""The RTP endpoint on loopback: what leaves, what is taken, and when it came."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from voicebridge.audio.g711 import MU, A
from voicebridge.load.endpoint import STAMP, RtpEndpoint, arrival
from voicebridge.protocol.rtp import EVENTS, Packet


async def until(done, limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not done():  # noqa: ASYNC110 - a socket of another loop's turn
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("law", [MU, A], ids=["mu", "a"])
async def test_frames_arrive_in_order_with_their_codec_and_timestamps(law):
    got: list[Packet] = []
    there = await RtpEndpoint.open(lambda packet, at: got.append(packet))
    here = await RtpEndpoint.open(lambda packet, at: None, law=law)
    here.send(b"x" * 160)  # nowhere to go yet
    here.connect("127.0.0.1", there.port)
    for _ in range(3):
        here.send_audio(bytes(320))
    await until(lambda: len(got) == 3)
    here.close()
    there.close()
    assert {packet.payload_type for packet in got} == {law.payload_type}
    assert [packet.payload for packet in got] == [bytes((law.silence,)) * 160] * 3
    assert [packet.timestamp - got[0].timestamp for packet in got] == [0, 160, 320]
    assert here.sent == 3


async def test_a_key_takes_the_place_of_sound_and_time_goes_on():
    got: list[Packet] = []
    there = await RtpEndpoint.open(lambda packet, at: got.append(packet))
    here = await RtpEndpoint.open(lambda packet, at: None)
    here.connect("127.0.0.1", there.port)
    here.send(b"\xff" * 160)
    here.press("5")
    assert here.sending_keys
    for _ in range(9):
        here.send(b"\xff" * 160)
    await until(lambda: len(got) == 10)
    here.close()
    there.close()
    assert [packet.payload_type for packet in got] == [0, *[EVENTS] * 8, 0]
    assert got[9].timestamp - got[0].timestamp == 9 * 160
    assert not here.sending_keys


async def test_what_is_no_rtp_is_counted_and_does_no_harm():
    got: list[Packet] = []
    there = await RtpEndpoint.open(lambda packet, at: got.append(packet))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for data in (b"", b"hello", b"\x80\xc8" + bytes(26), bytes(2_000), b"\x80\0\0\x01" + bytes(8) + b"ok"):
            stranger.sendto(data, ("127.0.0.1", there.port))
    await until(lambda: len(got) == 1)
    there.close()
    assert there.malformed == 4
    assert got[0].payload == b"ok"


async def test_a_port_that_nobody_listens_on_does_not_end_the_sending():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    here = await RtpEndpoint.open(lambda packet, at: None)
    here.connect("127.0.0.1", nobody)
    for _ in range(5):
        here.send(b"\xff" * 160)
        await asyncio.sleep(0.002)
    here.close()
    here.close()
    assert here.sent >= 1


async def test_the_kernel_says_when_a_packet_came_not_when_it_was_read():
    arrivals: list[float] = []
    there = await RtpEndpoint.open(lambda packet, at: arrivals.append(at))
    before = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(Packet(0, False, 1, 1, 1, b"x").packed(), ("127.0.0.1", there.port))
    sent = time.monotonic()
    time.sleep(0.2)  # noqa: ASYNC251 - the event loop is busy with something else
    await until(lambda: bool(arrivals))
    there.close()
    assert before - 0.01 <= arrivals[0] <= sent + 0.1


def stamped(wall: float) -> list[tuple[int, int, bytes]]:
    return [(socket.SOL_SOCKET, 35, STAMP.pack(int(wall), int(wall % 1 * 1e9)))]


def test_a_stamp_of_a_clock_that_was_set_is_not_believed():
    for wrong in (time.time() + 60, time.time() - 60):
        assert arrival(stamped(wrong)) == pytest.approx(time.monotonic(), abs=0.5)
    assert arrival(stamped(time.time() - 2)) == pytest.approx(time.monotonic() - 2, abs=0.5)
    assert arrival([]) == pytest.approx(time.monotonic(), abs=0.5)
