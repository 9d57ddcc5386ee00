"""The dialplan that is shipped (dialplan/asterisk/voicebridge.conf) on the real Asterisk, called as administrators do.

Attach, outcome and AudioSocket are the real ones; the agents are tones (reception.py).
"""

from __future__ import annotations

import asyncio
import socket
import time
from uuid import UUID

import pytest

from tests.pbx import corpus
from tests.pbx.asterisk import HUMAN, RATE, Asterisk, free_port
from tests.pbx.caller import Caller
from tests.pbx.conftest import Dial
from tests.pbx.install import Install
from tests.pbx.peer import TONE_HZ
from tests.pbx.reception import Call, Reception, reception
from tests.pbx.waves import ALIKE, likeness_by_pieces, loudest_hz

pytestmark = pytest.mark.asterisk

SOON_S = 5.0
"""In which a caller must hear the fallback, whatever has happened."""


@pytest.fixture(scope="module")
def human(install: Install) -> corpus.Prompt:
    """What a human of the bench says."""
    return corpus.prompts(install)[HUMAN]


async def served(house: Reception, caller: Caller) -> Call:
    """The agent's side, once the caller has heard it."""
    call = await house.call()
    assert await caller.until_spoken_to()
    await asyncio.sleep(0.4)
    assert abs(loudest_hz(bytes(caller.heard[-RATE // 4 :]), RATE) - TONE_HZ) < 10
    return call


def steps(asterisk: Asterisk, caller: Caller) -> dict[str, str]:
    return dict(asterisk.steps(caller.id))


async def ends_at(caller: Caller, prompt: corpus.Prompt, *, since: float) -> None:
    """The caller hears `prompt` in time, to its end, and is hung up on only then."""
    assert await caller.until_ended(limit_s=SOON_S + prompt.seconds)
    assert likeness_by_pieces(caller.heard_after(since), prompt.pcm(), RATE) > ALIKE
    voice = caller.voice_after(since + 0.1)
    assert voice is not None and voice - since < SOON_S


# ---- the ways a call ends


async def test_an_agent_that_has_finished_ends_the_call(asterisk: Asterisk, dial: Dial):
    async with reception() as house:
        caller = await dial(house.agi, "desk")
        (await served(house, caller)).end("hangup", reason="rule_goodbye")
        assert await caller.until_ended(limit_s=SOON_S)
    told = steps(asterisk, caller)
    assert (told["status"], told["returned"], told["reason"], told["target"].strip()) == (
        "OK", "HANGUP", "rule_goodbye", "",
    )
    assert "fallback" not in told


async def test_a_transfer_reaches_the_queue_and_the_human_in_it(asterisk: Asterisk, dial: Dial, human: corpus.Prompt):
    async with reception() as house:
        caller = await dial(house.agi, "desk")
        call = await served(house, caller)
        left = caller.now
        call.end("transfer", "sales", summary='Ann wants the "blue" bike, ${CALLERID(all)}\nEXEC Dial PJSIP/0900')
        await ends_at(caller, human, since=left)
    told = steps(asterisk, caller)
    assert (told["returned"], told["target"]) == ("TRANSFER", "sales queue sales")
    assert told["summary"] == "Ann wants the blue bike CALLERID(all) EXEC Dial PJSIP/0900"
    assert "fallback" not in told


@pytest.mark.parametrize("target", ["sales", "back", "desk"])
async def test_the_targets_of_the_configuration_are_reached_without_a_line_of_dialplan(
    asterisk: Asterisk, dial: Dial, human: corpus.Prompt, target: str
):
    async with reception() as house:
        caller = await dial(house.agi, "targets")
        call = await served(house, caller)
        left = caller.now
        call.end("transfer", target)
        await ends_at(caller, human, since=left)
    assert steps(asterisk, caller)["returned"] == "TRANSFER"


@pytest.mark.parametrize("target", ["gone", "far", "0900123456", "night"])
async def test_a_target_that_cannot_be_reached_leaves_the_caller_at_the_fallback(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt, target: str
):
    async with reception() as house:
        caller = await dial(house.agi, "targets")
        call = await served(house, caller)
        left = caller.now
        call.end("transfer", target)
        await ends_at(caller, fallback, since=left)
    assert "0900" not in steps(asterisk, caller)["target"]


async def test_a_caller_who_hangs_up_has_the_h_of_where_he_came_from(asterisk: Asterisk, dial: Dial):
    for extension in ("desk", "custom"):
        async with reception() as house:
            caller = await dial(house.agi, extension)
            call = await served(house, caller)
            await caller.end()
            await asyncio.to_thread(asterisk.wait_for, caller.id, "hangup")
            for _ in range(100):
                if call.closed:
                    break
                await asyncio.sleep(0.02)
            assert call.closed == "hangup"
        assert "returned" not in steps(asterisk, caller)


async def test_one_who_hangs_up_while_the_agent_is_asked_for_costs_nobody_a_place(asterisk: Asterisk, dial: Dial):
    async with reception(max_calls=1) as house:
        caller = await dial(house.agi, "goto")
        call = await served(house, caller)
        await caller.end()
        for _ in range(100):
            if call.closed:
                break
            await asyncio.sleep(0.02)
        again = await dial(house.agi, "goto")
        await served(house, again)


# ---- no agent


async def test_where_no_daemon_runs_the_caller_is_in_the_admins_dialplan_at_once(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(f"127.0.0.1:{free_port(socket.SOCK_STREAM)}", "desk")
    await ends_at(caller, fallback, since=0.0)
    told = steps(asterisk, caller)
    assert (told["status"], told["returned"]) == ("FALLBACK", "FALLBACK")


async def test_an_unknown_agent_is_refused_before_the_call_is_answered(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    async with reception() as house:
        caller = await dial(house.agi, "early")
        await ends_at(caller, fallback, since=0.0)
    told = steps(asterisk, caller)
    assert (told["status"], told["returned"], told["channel"]) == ("UNKNOWN_AGENT", "FALLBACK", "Ring")


@pytest.mark.parametrize("why", ["BUSY", "DRAINING"])
async def test_a_daemon_that_takes_no_more_calls_says_so(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt, why: str
):
    async with reception(max_calls=1) as house:
        if why == "BUSY":
            first = await dial(house.agi, "desk")
            await served(house, first)
        else:
            house.admission.draining = True
        caller = await dial(house.agi, "desk")
        await ends_at(caller, fallback, since=0.0)
    told = steps(asterisk, caller)
    assert (told["status"], told["returned"]) == (why, "FALLBACK")


async def test_a_call_whose_audio_breaks_off_ends_at_the_fallback_and_its_target_is_known(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    async with reception() as house:
        caller = await dial(house.agi, "desk")
        call = await served(house, caller)
        left = caller.now
        call.leg.abort()
        await ends_at(caller, fallback, since=left)
    told = steps(asterisk, caller)
    assert (told["returned"], told["reason"]) == ("FALLBACK", "audio_lost")
    assert told["target"] == "night context fallback,s,1"


async def test_a_daemon_that_dies_leaves_the_target_that_attach_has_told(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    async with reception() as house:
        caller = await dial(house.agi, "desk")
        call = await served(house, caller)
        left = caller.now
        await house.close_agi()
        call.leg.abort()
        await ends_at(caller, fallback, since=left)
    told = steps(asterisk, caller)
    assert (told["returned"], told["target"]) == ("FALLBACK", "night context fallback,s,1")


async def test_a_ticket_is_not_good_twice(asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt):
    async with reception(bare=True) as house:
        caller = await dial(house.agi, "reuse")
        call = await served(house, caller)
        left = caller.now
        call.end("hangup")
        await ends_at(caller, fallback, since=left)
        assert house.turned == ["its ticket was used already, or has run out"]
        assert len(house.calls) == 1


async def test_nobody_speaks_to_an_agent_without_a_ticket_where_that_is_off(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    async with reception(bare=False) as house:
        caller = await dial(house.media, "agent")
        await ends_at(caller, fallback, since=0.0)
        assert house.turned == ["it has no ticket, and listen.bare is off"]


# ---- what goes in


async def test_what_the_dialplan_sets_arrives(asterisk: Asterisk, dial: Dial):
    async with reception() as house:
        caller = await dial(house.agi, "desk")
        await served(house, caller)
        (asked,) = house.asked
    assert (asked.agent, asked.call_id, asked.language, asked.fallback) == ("desk", caller.id, "en", "night")
    assert asked.greeting == "Good evening, this is the night desk; who is calling?"
    assert asked.facts == (
        ("order", "4711"), ("customer", f'Ann, "the" {caller.id} {{one}} [x]\\; y'),
    )
    assert (asked.max_s, asked.no_input_s) == (90.0, 4.0)
    assert (asked.caller, asked.caller_name, asked.dialled) == ("caller", "Caller", "desk")
    assert asked.channel.startswith("PJSIP/sipp-") and asked.unique_id


async def test_nothing_need_be_set(asterisk: Asterisk, dial: Dial):
    async with reception() as house:
        caller = await dial(house.agi, "targets")
        await served(house, caller)
        (asked,) = house.asked
    assert (asked.agent, asked.language, asked.greeting, asked.fallback) == ("", "", "", "")
    assert (asked.facts, asked.max_s, asked.no_input_s) == ((), None, None)


# ---- the ways in


@pytest.mark.parametrize("extension", ["goto", "custom"])
async def test_by_goto_and_by_an_extension_an_agent_the_call_comes_back(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt, extension: str
):
    async with reception() as house:
        caller = await dial(house.agi, extension)
        call = await served(house, caller)
        left = caller.now
        call.end("fallback")
        await ends_at(caller, fallback, since=left)
        assert house.asked[0].agent == "desk"
    assert steps(asterisk, caller)["returned"] == "FALLBACK"


async def test_by_goto_without_a_way_back_the_targets_decide(asterisk: Asterisk, dial: Dial, human: corpus.Prompt):
    async with reception() as house:
        caller = await dial(house.agi, "away")
        call = await served(house, caller)
        left = caller.now
        call.end("transfer", "sales")
        await ends_at(caller, human, since=left)


async def test_a_second_agent_in_one_call_has_an_id_of_its_own(
    asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt
):
    async with reception() as house:
        caller = await dial(house.agi, "twice")
        (await served(house, caller)).end("fallback")
        await asyncio.to_thread(asterisk.wait_for, caller.id, "first")
        (await house.call()).end("hangup")
        assert await caller.until_ended(limit_s=SOON_S + fallback.seconds)
    told = steps(asterisk, caller)
    (first, one), (second, two) = told["first"].split(), told["second"].split()
    assert (one, two) == ("FALLBACK", "HANGUP")
    assert UUID(first) == caller.id
    assert set(house.calls) == {UUID(first), UUID(second)}


async def test_a_call_is_answered_and_its_agent_heard_in_no_time(asterisk: Asterisk, dial: Dial):
    async with reception() as house:
        began = time.monotonic()
        caller = await dial(house.agi, "targets")
        assert await caller.until_spoken_to()
        assert time.monotonic() - began < 3.0


async def test_every_application_and_function_it_uses_is_there(asterisk: Asterisk):
    shown = await asyncio.to_thread(asterisk.cli, "dialplan show voicebridge")
    assert "TryExec(AudioSocket(${VB_CALL},${VB_MEDIA}))" in shown
    for kind, name in (
        ("application", "AGI"), ("application", "AudioSocket"), ("application", "TryExec"), ("application", "Queue"),
        ("function", "STACK_PEEK"), ("function", "DIALPLAN_EXISTS"), ("function", "CUT"),
    ):
        assert "[Synopsis]" in await asyncio.to_thread(asterisk.cli, f"core show {kind} {name}")
