"""The dialplan that is shipped (dialplan/asterisk/voicebridge.conf), included as an administrator includes it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.pbx import corpus
from tests.pbx.asterisk import RATE, Asterisk, free_port
from tests.pbx.conftest import Dial
from tests.pbx.peer import TONE_HZ, tone_peer
from tests.pbx.waves import likeness, loudest_hz

pytestmark = pytest.mark.asterisk


async def test_the_caller_talks_to_the_agent_and_comes_back_when_it_hangs_up(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    async with tone_peer() as peer:
        caller = await dial(peer.media, "shipped")
        assert await caller.until_spoken_to()
        await asyncio.sleep(0.6)
        assert abs(loudest_hz(bytes(caller.heard[-RATE // 2 :]), RATE) - TONE_HZ) < 5
        (call,) = peer.calls.values()
        left = caller.now
        call.leg.hang_up()
        assert await caller.until_ended()
    steps = dict(asterisk.steps(caller.id))
    assert (steps["returned"], steps["done"]) == ("SUCCESS", "SUCCESS")
    assert likeness(caller.heard_after(left), fallback.pcm()) > 0.9


async def test_where_no_daemon_runs_the_caller_is_in_the_admins_dialplan_at_once(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(f"127.0.0.1:{free_port(socket.SOCK_STREAM)}", "shipped")
    assert await caller.until_ended()
    steps = dict(asterisk.steps(caller.id))
    assert (steps["returned"], steps["done"]) == ("FAILED", "SUCCESS")
    assert likeness(bytes(caller.heard), fallback.pcm()) > 0.9


async def test_every_application_and_function_it_uses_is_there(asterisk: Asterisk):
    shown = await asyncio.to_thread(asterisk.cli, "dialplan show voicebridge")
    assert "TryExec(AudioSocket(${VB_CALL},${VB_MEDIA}))" in shown
    for kind, name in (("application", "AudioSocket"), ("application", "TryExec"), ("function", "UUID")):
        assert "[Synopsis]" in await asyncio.to_thread(asterisk.cli, f"core show {kind} {name}")
