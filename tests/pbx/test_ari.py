"""Calls over ARI in the real Asterisk: Stasis(voicebridge), its AudioSocket leg, and what happens when we are gone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import pytest

from tests.pbx import corpus
from tests.pbx.ari_desk import Cable, Desk, access, node
from tests.pbx.asterisk import RATE, Asterisk
from tests.pbx.caller import Caller
from tests.pbx.conftest import Dial
from tests.pbx.daemon import REPOSITORY
from tests.pbx.install import Install
from tests.pbx.peer import TONE_HZ
from tests.pbx.sipp import SippError
from tests.pbx.waves import likeness, loudest_hz
from voicebridge.pbx.asterisk import ownership
from voicebridge.pbx.asterisk.ari import Ari, AriDenied, AriGone, AriUnreachable
from voicebridge.pbx.asterisk.sweep import sweep_orphans
from voicebridge.pbx.attach import CallEnd, Destination, Refused

pytestmark = pytest.mark.asterisk

NOBODY = "127.0.0.1:9"
FALLBACK_S = 5.0


async def steps_of(asterisk: Asterisk, call: UUID) -> dict[str, str]:
    await asyncio.to_thread(asterisk.wait_for, call, "fallback")
    return dict(asterisk.steps(call))


async def nothing_left(asterisk: Asterisk) -> bool:
    """Neither channels nor bridges of ours."""
    async with Ari(access(asterisk)) as ari:
        for _ in range(100):
            bridges = [name for name, _ in await ari.bridges() if name.startswith(ownership.BRIDGE_PREFIX)]
            if not bridges and not await ari.channels():
                return True
            await asyncio.sleep(0.05)
    return False


async def wait_until(done: Callable[[], bool], limit_s: float = 5.0) -> None:
    until = time.monotonic() + limit_s
    while not done():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


def hears_tone(caller: Caller) -> bool:
    return abs(loudest_hz(bytes(caller.heard[-RATE // 2 :]), RATE) - TONE_HZ) < 5


async def test_a_caller_talks_and_goes_back_with_the_result(asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt):
    evil = 'he said "hi"\nSET VARIABLE VB_RESULT HANGUP\n${SHELL(id)}, [x]; \\ end'
    desk = Desk(CallEnd("TRANSFER", "asked", Destination("sales", "queue", "sales"), evil))
    async with node(access(asterisk), desk) as here:
        caller = await dial(NOBODY, "stasis")
        call = await here.call()
        await asyncio.sleep(0.8)
        assert hears_tone(caller)
        left = caller.now
        call.leg.hang_up()
        steps = await steps_of(asterisk, caller.id)
        assert await caller.until_ended()
    assert (steps["returned"], steps["status"], steps["result"]) == ("SUCCESS", "OK", "TRANSFER")
    assert (steps["reason"], steps["target"]) == ("asked", "queue sales")
    assert steps["summary"] == "he said hi SET VARIABLE VB_RESULT HANGUP SHELL(id) x end"
    assert likeness(caller.heard_after(left), fallback.pcm()) > 0.9
    assert await nothing_left(asterisk)


async def test_arguments_beat_variables_and_both_reach_the_desk(asterisk: Asterisk, dial: Dial):
    async with node(access(asterisk)) as here:
        await dial(NOBODY, "stasis")
        await here.call()
        (request,) = here.desk.requests
    assert (request.agent, request.language, request.greeting) == ("demo", "de", "Hello = you")
    assert (request.caller, request.dialled) == ("caller", "stasis")
    assert request.channel.startswith("PJSIP/sipp-")


async def test_keys_come_once_and_go_out(asterisk: Asterisk, dial: Dial):
    async with node(access(asterisk)) as here:
        caller = await dial(NOBODY, "stasis")
        call = await here.call()
        caller.press("5#05")
        await asyncio.sleep(2.0)
        assert call.digits == "5#05"
        assert await here.stasis.send_dtmf(call.leg.call_id, "12*")
        assert not await here.stasis.send_dtmf(call.leg.call_id, "1;2")
        await asyncio.sleep(1.5)
        assert caller.keys_heard() == "12*"


async def test_who_hangs_up_leaves_nothing_behind(asterisk: Asterisk, dial: Dial):
    async with node(access(asterisk)) as here:
        caller = await dial(NOBODY, "stasis")
        call = await here.call()
        await caller.end()
        assert await nothing_left(asterisk)
        await wait_until(lambda: bool(call.closed) and len(here.stasis) == 0)
        assert here.desk.hangups == [True]


async def test_the_administrator_may_want_him_back_elsewhere(asterisk: Asterisk, dial: Dial):
    async with node(access(asterisk)) as here:
        caller = await dial(NOBODY, "elsewhere")
        (await here.call()).leg.hang_up()
        assert (await steps_of(asterisk, caller.id))["there"] == "HANGUP"


async def test_a_place_that_there_is_not_costs_nobody_his_call(asterisk: Asterisk, dial: Dial):
    async with node(access(asterisk)) as here:
        caller = await dial(NOBODY, "astray")
        (await here.call()).leg.hang_up()
        assert (await steps_of(asterisk, caller.id))["back"] == "HANGUP"


async def test_who_is_refused_is_at_the_fallback_at_once(asterisk: Asterisk, dial: Dial):
    async with node(access(asterisk), Desk(refuses=Refused("BUSY"))):
        caller = await dial(NOBODY, "stasis")
        began = caller.now
        steps = await steps_of(asterisk, caller.id)
        assert caller.now - began < FALLBACK_S
    assert (steps["status"], steps["result"], steps["reason"]) == ("BUSY", "FALLBACK", "busy")


async def test_audio_that_cannot_be_brought_ends_at_the_fallback(asterisk: Asterisk, dial: Dial):
    async with node(access(asterisk)) as here:
        here.peer.server.accept = lambda leg: None
        caller = await dial(NOBODY, "stasis")
        steps = await steps_of(asterisk, caller.id)
        assert caller.now < FALLBACK_S + 5
    assert steps["result"] != ""
    assert await caller.until_ended()
    assert await nothing_left(asterisk)


async def test_without_an_application_the_dialplan_goes_on(asterisk: Asterisk, dial: Dial):
    caller = await dial(NOBODY, "stasis")
    began = caller.now
    steps = await steps_of(asterisk, caller.id)
    assert (steps["returned"], steps["result"]) == ("FAILED", "")
    assert caller.now - began < FALLBACK_S


async def test_a_call_outlives_a_lost_connection(asterisk: Asterisk, dial: Dial):
    cable = Cable(asterisk.ari_port)
    await cable.mend()
    async with node(access(asterisk, port=cable.port)) as here:
        caller = await dial(NOBODY, "stasis")
        call = await here.call()
        await cable.cut()
        await asyncio.sleep(0.5)
        assert not here.stasis.board.connected.is_set()
        assert hears_tone(caller)
        await cable.mend()
        await asyncio.wait_for(here.stasis.board.connected.wait(), 10)
        caller.press("7")
        await asyncio.sleep(1.0)
        assert call.digits == "7"
        assert hears_tone(caller)
        call.leg.hang_up()
        assert (await steps_of(asterisk, caller.id))["result"] == "HANGUP"
    await cable.cut()


async def test_what_ended_while_the_connection_was_lost_is_noticed(asterisk: Asterisk, dial: Dial):
    cable = Cable(asterisk.ari_port)
    await cable.mend()
    async with node(access(asterisk, port=cable.port)) as here:
        one, other = await dial(NOBODY, "stasis"), await dial(NOBODY, "stasis")
        await here.call()
        await asyncio.sleep(0.5)
        calls = list(here.peer.calls.values())
        await cable.cut()
        await one.end()  # the caller of the first
        calls[1].leg.hang_up()  # the agent of the second
        await asyncio.sleep(0.5)
        await cable.mend()
        assert (await steps_of(asterisk, other.id))["result"] == "HANGUP"
        assert await other.until_ended()
        assert await nothing_left(asterisk)
        assert len(here.stasis) == 0
    await cable.cut()


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "shut down"])
async def test_an_asterisk_that_restarts_is_found_again(
    install: Install, fallback: corpus.Prompt, tmp_path: Path, kill: bool
):
    with Asterisk(install, fallback.path) as own:
        async with node(access(own)) as here:
            lost = Caller(own, NOBODY, tmp_path, extension="stasis")
            await lost.begin()
            call = await here.call()
            await asyncio.to_thread(own.restart, kill=kill)
            up = time.monotonic()
            await asyncio.wait_for(here.stasis.board.connected.wait(), 10)
            await wait_until(lambda: bool(call.closed) and len(here.stasis) == 0)
            assert here.desk.hangups == [False]  # nobody has hung up
            caller = Caller(own, NOBODY, tmp_path, extension="stasis")
            await caller.begin()
            await here.call()
            assert time.monotonic() - up < FALLBACK_S
            await caller.end()
            with suppress(SippError):  # nobody has told its telephone that the call is over
                await lost.end()


ORPHANAGE = """
import asyncio, sys
from tests.pbx.ari_desk import node
from voicebridge.pbx.asterisk.ari import AriAccess

async def main():
    async with node(AriAccess(sys.argv[1], "bench", sys.argv[2])) as here:
        print("up", flush=True)
        await here.call(limit_s=60)
        print("talking", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


async def application(asterisk: Asterisk) -> subprocess.Popen[bytes]:
    """Another process that is our application, up and connected."""
    wanted = access(asterisk)
    process = subprocess.Popen(
        [sys.executable, "-c", ORPHANAGE, wanted.url, wanted.password], cwd=REPOSITORY, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == b"up\n"
    return process


async def test_a_dead_daemons_callers_are_swept_to_their_fallback(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    process = await application(asterisk)
    assert process.stdout is not None
    try:
        callers = [await dial(NOBODY, "stasis") for _ in range(3)]
        assert await asyncio.to_thread(process.stdout.readline) == b"talking\n"
        await asyncio.sleep(0.3)
        async with Ari(access(asterisk)) as ari:
            os.kill(process.pid, signal.SIGSTOP)
            assert await sweep_orphans(ari) == 0  # it lives, and they are its own
            process.kill()
            process.wait()
            began = time.monotonic()
            assert await sweep_orphans(ari) == 3
        for caller in callers:
            assert (await steps_of(asterisk, caller.id))["result"] == "FALLBACK"
            assert (await steps_of(asterisk, caller.id))["reason"] == "daemon_lost"
        assert time.monotonic() - began < FALLBACK_S
        assert await callers[0].until_ended()
        assert likeness(bytes(callers[0].heard), fallback.pcm()) > 0.9
        assert all([await caller.until_ended() for caller in callers])
        assert await nothing_left(asterisk)
    finally:
        process.kill()
        process.wait()


async def test_what_is_wrong_with_the_login_is_said(asterisk: Asterisk):
    async with Ari(access(asterisk, password="another")) as ari:
        with pytest.raises(AriDenied, match=r"\[ari\] user and password"):
            await ari.channels()
    async with Ari(access(asterisk, port=9)) as ari:
        with pytest.raises(AriUnreachable, match="cannot be reached"):
            await ari.channels()
    async with Ari(access(asterisk)) as ari:
        with pytest.raises(AriGone):
            await ari.answer("no-such-channel")
        assert (await ari.version())[:2].isdigit()


async def test_events_that_cannot_be_had_are_told_once(asterisk: Asterisk, caplog: pytest.LogCaptureFixture):
    from voicebridge.pbx.asterisk.switchboard import Switchboard

    board = Switchboard(access(asterisk, password="another"), lambda start: None)
    board.start()
    await asyncio.sleep(1.5)
    await board.stop()
    told = [record.getMessage() for record in caplog.records if "ARI at" in record.getMessage()]
    assert len(told) == 1
    assert "[ari] user and password" in told[0]
    assert "another" not in caplog.text
