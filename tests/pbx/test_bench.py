"""The bench itself, with a tone for an agent: Asterisk, SIPp, the dialplan and both ways of media. No engine runs."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.pbx import corpus, pcap
from tests.pbx.asterisk import ETC, RATE, Asterisk, free_port
from tests.pbx.conftest import Dial
from tests.pbx.install import Install
from tests.pbx.peer import TONE_HZ, ToneCall, TonePeer, tone_peer
from tests.pbx.sipp import SippCall
from tests.pbx.waves import likeness, loudest_hz
from voicebridge.audio.pcm import samples, silence

pytestmark = pytest.mark.asterisk


@pytest.fixture
async def peer() -> AsyncIterator[TonePeer]:
    async with tone_peer() as running:
        yield running


async def until(done, limit_s: float = 5.0) -> bool:
    for _ in range(round(limit_s / 0.02)):
        if done():
            return True
        await asyncio.sleep(0.02)
    return False


async def test_an_agents_voice_comes_to_the_caller_and_into_asterisks_recording(
    asterisk: Asterisk, peer: TonePeer, dial: Dial
):
    caller = await dial(peer.media)
    assert await caller.until_spoken_to()
    await asyncio.sleep(1.0)
    await caller.end()
    assert caller.ended_by == "caller"
    assert abs(loudest_hz(bytes(caller.heard[-RATE:]), RATE) - TONE_HZ) < 3
    recorded = await asyncio.to_thread(asterisk.recording, caller.id, "agent")
    assert abs(loudest_hz(recorded[-RATE:], RATE) - TONE_HZ) < 3


async def test_a_callers_words_come_to_the_agent_as_they_were_recorded(
    asterisk: Asterisk, peer: TonePeer, dial: Dial, install: Install
):
    prompt = corpus.for_tests(install)[0]
    caller = await dial(peer.media)
    assert await caller.until_spoken_to()  # what is said before the AudioSocket is connected, nobody hears
    await caller.say(prompt.pcm())
    await asyncio.sleep(0.3)
    call = peer.calls[caller.id]
    await caller.end()
    assert call.rates == {8_000}
    assert likeness(call.audio, prompt.pcm()) > 0.99
    recorded = await asyncio.to_thread(asterisk.recording, caller.id, "caller")
    assert likeness(recorded, prompt.pcm()) > 0.99


async def test_sipp_alone_plays_a_recorded_prompt_into_the_call(
    asterisk: Asterisk, peer: TonePeer, install: Install, tmp_path: Path
):
    if os.geteuid() != 0:
        pytest.skip("SIPp's play_pcap_audio takes a raw socket, and so root")
    prompt = corpus.for_tests(install)[1]
    pcap.write(tmp_path / "caller.pcap", silence(0.5, RATE) + prompt.pcm())
    sipp = SippCall(asterisk.sip_port, "agent", tmp_path, peer.media, plays=tmp_path / "caller.pcap")
    sipp.start()
    try:
        await sipp.answered()
        await asyncio.sleep(prompt.seconds + 1.0)
    finally:
        await sipp.close()
    assert likeness(peer.calls[sipp.call].audio, prompt.pcm()) > 0.95


async def test_keys_come_to_the_agent_once_each(peer: TonePeer, dial: Dial):
    caller = await dial(peer.media)
    await until(lambda: caller.id in peer.calls)
    caller.press("5*0#")
    await until(lambda: len(peer.calls[caller.id].digits) >= 4)
    await asyncio.sleep(0.2)
    assert peer.calls[caller.id].digits == "5*0#"


async def test_a_caller_who_hangs_up_ends_the_agents_leg(asterisk: Asterisk, peer: TonePeer, dial: Dial):
    caller = await dial(peer.media)
    await until(lambda: caller.id in peer.calls)
    await caller.end()
    assert await until(lambda: peer.calls[caller.id].closed != "")
    assert peer.calls[caller.id].closed in {"hangup", "dropped"}
    assert await until(lambda: len(peer.server) == 0)
    await asyncio.to_thread(asterisk.wait_for, caller.id, "hangup")
    assert "fallback" not in dict(asterisk.steps(caller.id))


async def test_an_agent_who_hangs_up_returns_the_caller_to_the_dialplan(
    asterisk: Asterisk, peer: TonePeer, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(peer.media)
    await caller.until_spoken_to()
    left = caller.now
    peer.calls[caller.id].leg.hang_up()
    assert await caller.until_ended()
    assert caller.ended_by == "callee"
    steps = [name for name, _ in asterisk.steps(caller.id)]
    assert steps == ["answered", "returned", "fallback", "done", "hangup"]
    assert dict(asterisk.steps(caller.id))["done"] == "SUCCESS"
    assert likeness(caller.heard_after(left), fallback.pcm()) > 0.9


async def test_a_dead_port_lands_the_caller_at_the_fallback(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(f"127.0.0.1:{free_port(socket.SOCK_STREAM)}")
    assert await caller.until_ended()
    steps = dict(asterisk.steps(caller.id))
    assert steps["returned"] == "FAILED"
    assert steps["done"] == "SUCCESS"
    assert likeness(bytes(caller.heard), fallback.pcm()) > 0.9


async def test_dial_carries_sixteen_kilohertz_both_ways(
    asterisk: Asterisk, peer: TonePeer, dial: Dial, install: Install
):
    prompt = corpus.for_tests(install)[2]
    caller = await dial(peer.media, "agent16")
    assert await caller.until_spoken_to()
    await caller.say(prompt.pcm())
    await asyncio.sleep(0.3)
    call: ToneCall = peer.calls[caller.id]
    assert call.rates == {16_000}
    assert likeness(samples(call.audio)[::2].tobytes(), prompt.pcm()) > 0.9
    assert abs(loudest_hz(bytes(caller.heard[-RATE:]), RATE) - TONE_HZ) < 3
    call.leg.hang_up()
    await asyncio.to_thread(asterisk.wait_for, caller.id, "fallback")
    assert dict(asterisk.steps(caller.id))["returned"] == "ANSWER"


async def test_asterisk_loaded_every_module_and_listens_on_loopback_only(asterisk: Asterisk):
    listed = (ETC / "modules.conf").read_text().splitlines()
    wanted = {line.removeprefix("load = ") for line in listed if line.startswith("load = ")}
    running = {line.split()[0] for line in asterisk.cli("module show").splitlines() if " Running " in line}
    assert not wanted - running, asterisk.log()
    transports = [line.split()[-1] for line in asterisk.cli("pjsip show transports").splitlines() if "udp" in line]
    assert transports == [f"127.0.0.1:{asterisk.sip_port}"]
