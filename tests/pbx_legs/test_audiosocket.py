"""The AudioSocket server over real loopback sockets: good peers, bad peers, gone peers."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
import uuid

import pytest

from tests.pbx_legs.peers import Bench, Peer
from voicebridge.audio.clock import Ticker
from voicebridge.pbx.asterisk import audiosocket
from voicebridge.pbx.asterisk.audiosocket import AudioSocketServer
from voicebridge.protocol import audiosocket as wire

SILENCE = wire.Audio(8_000, bytes(320))


def tone(rate: int) -> bytes:
    return b"\x10\x20" * (rate // 50)


# ---- good calls

async def test_silence_from_the_first_moment_even_before_the_call_id(bench: Bench):
    peer = await bench.peer(await bench.serve())
    began, frames = time.monotonic(), []
    while len(frames) < 5:
        frames += await peer.read()
    assert frames[:5] == [SILENCE] * 5
    assert time.monotonic() - began < 1.0
    assert not bench.listeners


async def test_silence_goes_on_between_the_call_id_and_the_calls_own_first_frame(bench: Bench):
    class Mute:
        def __init__(self) -> None:
            self.closed = 0

        def on_audio(self, pcm: bytes, rate: int) -> None: ...
        def on_dtmf(self, digit: str) -> None: ...
        def on_closed(self, reason: str) -> None:
            self.closed += 1

    server, mute = await bench.serve(), Mute()
    server.accept = lambda leg: mute
    peer = await bench.peer(server)
    await peer.send(wire.uuid_frame(uuid.uuid4()) + wire.audio_frame(tone(16_000), 16_000))
    frames: list[wire.Event] = []
    while len(frames) < 20:
        frames += await peer.read()
    assert frames[-1] == wire.Audio(16_000, bytes(640)), "silence at the caller's rate"
    peer.close()
    await bench.until(lambda: mute.closed == 1, "not told of the end")


@pytest.mark.parametrize("rate", [8_000, 16_000])
async def test_audio_goes_both_ways_at_the_callers_rate(bench: Bench, rate: int):
    peer, listener = await bench.call(await bench.serve())
    assert listener.leg.rate == 8_000
    sent = b"".join(bytes([n, 1]) * (rate // 50) for n in range(40))
    for at in range(0, len(sent), rate // 25):
        await peer.send(wire.audio_frame(sent[at : at + rate // 25], rate))
    await bench.until(lambda: len(listener.heard) == len(sent), "audio was lost")
    assert listener.heard == sent
    assert {r for _, r in listener.audio} == {rate}


@pytest.mark.parametrize("rate", [8_000, 16_000])
async def test_the_answer_comes_at_the_callers_rate(bench: Bench, rate: int):
    server = await bench.serve()
    peer = await bench.peer(server)
    await peer.send(wire.uuid_frame(uuid.uuid4()) + wire.audio_frame(tone(rate), rate))
    await bench.until(lambda: bench.listeners and bench.listeners[0].audio, "no audio came")
    assert bench.listeners[0].leg.rate == rate
    bench.listeners[0].speak = b"\x07\x00" * (rate // 10)
    spoken = b""
    while len(spoken) < rate // 5:
        for event in await peer.read():
            if isinstance(event, wire.Audio) and any(event.pcm):
                assert event.rate == rate
                assert len(event.pcm) == rate // 25
                spoken += event.pcm
    assert spoken == b"\x07\x00" * (rate // 10)


async def test_the_rate_that_a_call_began_with_stays(bench: Bench):
    """A late first frame at another rate must not turn what the call sends into another pitch."""
    peer, listener = await bench.call(await bench.serve())
    while not (events := [e for e in await peer.read() if isinstance(e, wire.Audio)]):
        pass
    await asyncio.sleep(0.05)
    await peer.send(wire.audio_frame(tone(16_000), 16_000))
    await bench.until(lambda: listener.audio, "no audio came")
    assert listener.audio == [(tone(16_000), 16_000)]
    assert listener.leg.rate == 8_000
    for _ in range(5):
        events += await peer.read()
    assert {event.rate for event in events} == {8_000}


@pytest.mark.parametrize("rate", [12_000, 48_000, 192_000])
async def test_a_rate_that_no_call_takes_goes_back_to_the_dialplan(bench: Bench, rate: int, caplog):
    peer, listener = await bench.call(await bench.serve())
    listener._ticker.remove(listener._ticket)
    listener.leg._rate_known = False  # as before the call's own first frame
    await peer.send(wire.audio_frame(tone(rate), rate))
    assert (await peer.read_all())[-1] == wire.Hangup()
    await bench.until(lambda: listener.closed == ["error"], "not told")
    assert f"{rate} Hz" in caplog.text


async def test_the_call_id_and_the_peers_address_are_told(bench: Bench):
    server, call_id = await bench.serve(), uuid.uuid4()
    peer = await bench.peer(server)
    await peer.send(wire.uuid_frame(call_id))
    await bench.until(lambda: bench.listeners, "not accepted")
    leg = bench.listeners[0].leg
    assert leg.call_id == call_id
    assert leg.peer == "{}:{}".format(*peer.socket.getsockname())


async def test_frames_cut_anywhere_and_glued_together_arrive_whole(bench: Bench):
    server = await bench.serve()
    peer = await bench.peer(server)
    stream = wire.uuid_frame(uuid.uuid4()) + wire.audio_frame(tone(8_000), 8_000) * 3 + wire.dtmf_frame("#")
    for at in range(0, len(stream), 7):
        await peer.send(stream[at : at + 7])
        await asyncio.sleep(0)
    await bench.until(lambda: bench.listeners and bench.listeners[0].digits, "the digit was lost")
    assert bench.listeners[0].heard == tone(8_000) * 3


async def test_digits_come_in_order(bench: Bench):
    peer, listener = await bench.call(await bench.serve())
    for digit in "0123456789ABCD*#":
        await peer.send(wire.dtmf_frame(digit))
    await bench.until(lambda: len(listener.digits) == 16, "digits were lost")
    assert listener.digits == "0123456789ABCD*#"


async def test_empty_audio_and_unknown_frames_are_skipped_and_counted(bench: Bench, caplog):
    peer, listener = await bench.call(await bench.serve())
    await peer.send(b"\x10\x00\x00" + b"\x42\x00\x03abc" + b"\x55\xff\xff" + bytes(0xFFFF) + wire.dtmf_frame("1"))
    await bench.until(lambda: listener.digits == "1", "what came after was lost")
    assert listener.audio == []
    assert listener.leg.unknown_frames == 2
    assert not caplog.records


async def test_ipv6_loopback(bench: Bench):
    peer, listener = await bench.call(await bench.serve("::1"), "::1")
    assert listener.leg.peer == f"[::1]:{peer.socket.getsockname()[1]}"
    await peer.send(wire.dtmf_frame("6"))
    await bench.until(lambda: listener.digits == "6", "the digit was lost")


async def test_calls_do_not_hear_each_other(bench: Bench):
    server = await bench.serve()
    calls = [await bench.call(server) for _ in range(20)]
    for n, (peer, _) in enumerate(calls):
        await peer.send(wire.audio_frame(bytes([n, n]) * 160, 8_000) + wire.dtmf_frame(str(n % 10)))
    await bench.until(lambda: all(listener.digits for _, listener in calls), "digits were lost")
    for n, (_, listener) in enumerate(calls):
        assert listener.heard == bytes([n, n]) * 160
        assert listener.digits == str(n % 10)
    assert len(server) == 20


# ---- ends

async def test_the_peer_hangs_up(bench: Bench):
    server = await bench.serve()
    peer, listener = await bench.call(server)
    await peer.send(wire.hangup_frame() + wire.dtmf_frame("1"))
    await peer.read_all()
    await bench.until(lambda: listener.closed, "not told")
    assert listener.closed == ["hangup"]
    assert listener.digits == "", "nothing is told after the hang-up"
    assert len(server) == 0


async def test_we_hang_up_and_say_so(bench: Bench):
    server = await bench.serve()
    peer, listener = await bench.call(server)
    listener.leg.hang_up()
    listener.leg.hang_up()
    listener.leg.send_audio(bytes(320))
    assert (await peer.read_all())[-1] == wire.Hangup()
    await bench.until(lambda: listener.closed, "not told")
    assert listener.closed == ["local"]
    listener.leg.hang_up()
    listener.leg.send_audio(bytes(320))
    assert len(server) == 0


async def test_what_was_sent_before_the_hang_up_still_arrives(bench: Bench):
    peer, listener = await bench.call(await bench.serve())
    listener.leg.send_audio(tone(8_000))
    listener.leg.hang_up()
    events = await peer.read_all()
    assert events[-2:] == [wire.Audio(8_000, tone(8_000)), wire.Hangup()]


@pytest.mark.parametrize(
    ("how", "reason"), [("close", "hangup"), ("shut_down_sending", "hangup"), ("reset", "dropped")]
)
async def test_a_peer_that_ends_the_stream_has_hung_up_one_that_breaks_it_is_dropped(
    bench: Bench, how: str, reason: str
):
    server = await bench.serve()
    peer, listener = await bench.call(server)
    getattr(peer, how)()
    await bench.until(lambda: listener.closed, "not told")
    assert listener.closed == [reason]
    assert len(server) == 0


async def test_a_peer_that_reports_an_error_is_let_go(bench: Bench, caplog):
    peer, listener = await bench.call(await bench.serve())
    await peer.send(wire.error_frame(2))
    await peer.read_all()
    await bench.until(lambda: listener.closed == ["error"], "not told")
    assert "reports error 2" in caplog.text


@pytest.mark.parametrize(
    "rubbish", [b"\x10\x00\x03abc", b"\x10\xff\xfe", wire.uuid_frame(uuid.UUID(int=7)), b"\x03\x00\x01!"]
)
async def test_a_peer_that_breaks_the_rules_is_closed(bench: Bench, rubbish: bytes, caplog):
    peer, listener = await bench.call(await bench.serve())
    await peer.send(wire.dtmf_frame("1") + rubbish + wire.dtmf_frame("2"))
    await peer.read_all()
    await bench.until(lambda: listener.closed == ["error"], "not told")
    assert listener.digits == "1"
    assert str(listener.leg.call_id) in caplog.text


async def test_a_refused_call_is_told_to_go_on(bench: Bench):
    server = await bench.serve()
    bench.refuse = True
    peer = await bench.peer(server)
    await peer.send(wire.uuid_frame(uuid.uuid4()) + wire.dtmf_frame("1"))
    assert (await peer.read_all())[-1] == wire.Hangup()
    await bench.until(lambda: len(server) == 0, "the leg stayed")


async def test_a_fault_in_the_call_ends_its_leg_and_no_other(bench: Bench):
    server = await bench.serve()
    peer, listener = await bench.call(server)
    _, other = await bench.call(server)
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    def fault(digit: str) -> None:
        raise ZeroDivisionError

    listener.on_dtmf = fault
    await peer.send(wire.dtmf_frame("1"))
    await bench.until(lambda: listener.closed, "the leg stayed")
    assert other.closed == []
    assert len(server) == 1


async def test_stopping_hangs_up_and_refuses_newcomers(bench: Bench):
    server = await bench.serve()
    peer, listener = await bench.call(server)
    port = server.port
    await server.stop()
    assert (await peer.read_all())[-1] == wire.Hangup()
    assert listener.closed == ["local"]
    late = Peer("127.0.0.1")
    with pytest.raises(ConnectionRefusedError):
        await late.connect("127.0.0.1", port)
    late.close()


async def test_stopping_does_not_wait_for_peers_that_do_not_read(bench: Bench):
    server = await bench.serve()
    _, listener = await bench.call(server, receive_buffer=1024)
    for _ in range(20_000):
        listener.leg.send_audio(tone(8_000))
    began = time.monotonic()
    await server.stop()
    assert len(server) == 0
    assert listener.closed == ["local"]
    assert time.monotonic() - began < 3.0


async def test_an_address_that_cannot_be_had_is_an_os_error(bench: Bench):
    server = await bench.serve()
    second = AudioSocketServer("127.0.0.1", server.port, lambda leg: None, ticker=Ticker(), allow=())
    with pytest.raises(OSError, match="ddress already in use"):
        await second.start()


# ---- peers that take without giving

async def test_a_peer_that_never_says_who_it_is_is_closed(bench: Bench, caplog):
    server = await bench.serve(handshake_s=0.3)
    peer = await bench.peer(server)
    began = time.monotonic()
    events = await peer.read_all()
    assert 0.2 < time.monotonic() - began < 3.0
    assert SILENCE in events
    assert "no call id" in caplog.text
    await bench.until(lambda: len(server) == 0, "the leg stayed")


async def test_a_peer_that_dribbles_does_not_get_more_time(bench: Bench):
    """An error frame of 64 KiB, a byte now and then: every byte is legal, none ends it."""
    server = await bench.serve(handshake_s=0.4)
    peer = await bench.peer(server)

    async def dribble() -> None:
        await peer.send(b"\xff\xff\xff")
        while True:
            await peer.send(b"x")
            await asyncio.sleep(0.05)

    dribbling = asyncio.create_task(dribble())
    await peer.read_all(limit_s=5.0)
    dribbling.cancel()
    await asyncio.gather(dribbling, return_exceptions=True)
    assert not bench.listeners


async def test_a_call_from_which_nothing_comes_for_long_is_dropped(bench: Bench):
    peer, listener = await bench.call(await bench.serve(idle_s=0.3))
    began = time.monotonic()
    await peer.read_all()
    assert time.monotonic() - began > 0.2
    await bench.until(lambda: listener.closed, "not told")
    assert listener.closed == ["dropped"]


async def test_a_mute_caller_whose_frames_come_is_kept(bench: Bench):
    peer, listener = await bench.call(await bench.serve(idle_s=0.3))
    for _ in range(30):
        await peer.send(wire.audio_frame(bytes(320), 8_000))
        await asyncio.sleep(0.03)
    assert listener.closed == []


async def test_a_peer_that_never_reads_is_dropped_and_costs_little_memory(bench: Bench, monkeypatch, caplog):
    monkeypatch.setattr(audiosocket, "STALLED_S", 0.4)
    _, listener = await bench.call(await bench.serve(), receive_buffer=1024)
    leg = listener.leg
    leg._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    most = 0
    for _ in range(3_000):
        if listener.closed:
            break
        for _ in range(10):
            leg.send_audio(tone(8_000))
        if leg._transport is not None:
            most = max(most, leg._transport.get_write_buffer_size())
        await asyncio.sleep(0.002)
    assert listener.closed == ["dropped"]
    assert leg.frames_dropped > 10
    assert 8_000 < most <= audiosocket.BACKLOG_S * 16_000 + 400
    assert "read nothing" in caplog.text


async def test_a_half_closed_peer_that_never_reads_is_gone_within_seconds(bench: Bench):
    server = await bench.serve()
    peer, listener = await bench.call(server, receive_buffer=1024)
    listener.leg._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    while listener.leg._transport.get_write_buffer_size() < 4_000:
        listener.leg.send_audio(tone(8_000))
        await asyncio.sleep(0)
    peer.shut_down_sending()
    await bench.until(lambda: listener.closed, "the leg stayed", limit_s=4.0)
    assert listener.closed == ["hangup"]
    assert len(server) == 0


async def test_a_short_stall_loses_frames_and_not_the_call(bench: Bench):
    peer, listener = await bench.call(await bench.serve(), receive_buffer=1024)
    leg = listener.leg
    leg._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    while leg.frames_dropped < 5:
        leg.send_audio(tone(8_000))
        await asyncio.sleep(0)
    while leg._transport.get_write_buffer_size():
        await peer.read()
    dropped = leg.frames_dropped
    listener.speak = b"\x09\x00" * 160
    while wire.Audio(8_000, b"\x09\x00" * 160) not in (await peer.read() or []):
        pass
    assert leg.frames_dropped == dropped
    assert listener.closed == []


# ---- who may call

@pytest.mark.parametrize(
    ("allow", "host", "may"),
    [
        (["127.0.0.0/8"], "127.0.0.1", True),
        (["127.0.0.0/8"], "::ffff:127.0.0.1", True),
        (["127.0.0.0/8"], "::1", False),
        (["::1/128"], "::1", True),
        (["fe80::/10"], "fe80::1%eth0", True),
        (["10.0.0.0/8"], "127.0.0.1", False),
        (["10.0.0.0/8", "192.168.1.7/32"], "192.168.1.7", True),
        (["10.0.0.0/8", "192.168.1.7/32"], "192.168.1.8", False),
        ([], "127.0.0.1", False),
        (["0.0.0.0/0"], "", False),
        (["0.0.0.0/0"], "localhost", False),
    ],
)
def test_who_is_let_in(allow: list[str], host: str, may: bool):
    networks = [ipaddress.ip_network(text) for text in allow]
    server = AudioSocketServer("127.0.0.1", 0, lambda leg: None, ticker=Ticker(), allow=networks)
    assert server.admits(host) is may


async def test_a_peer_that_is_not_allowed_gets_not_a_byte(bench: Bench, caplog):
    server = await bench.serve(allow=[ipaddress.ip_network("10.0.0.0/8")])
    peer = await bench.peer(server)
    with caplog.at_level(logging.WARNING):
        assert await peer.read_all() == []
    assert "refused" in caplog.text
    assert len(server) == 0


async def test_only_so_many_connections_and_room_again_when_one_ends(bench: Bench):
    server = await bench.serve(max_calls=2)
    first, listener = await bench.call(server)
    await bench.call(server)
    third = await bench.peer(server)
    assert await third.read_all() == []
    assert len(server) == 2
    first.close()
    await bench.until(lambda: listener.closed, "not told")
    await bench.call(server)
    assert len(server) == 2


async def test_many_connections_at_once_leave_nothing_behind(bench: Bench):
    server = await bench.serve()
    before = bench.resources()
    for _ in range(5):
        calls = [await bench.call(server) for _ in range(40)]
        for n, (peer, listener) in enumerate(calls):
            (peer.close, peer.reset, listener.leg.hang_up)[n % 3]()
        await bench.until(lambda made=calls: all(listener.closed for _, listener in made), "legs stayed")
        for peer, _ in calls:
            peer.close()
    assert len(server) == 0
    await bench.until(lambda: bench.resources() == before, "tasks or sockets were left behind")
