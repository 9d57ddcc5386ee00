"""Warm transfers in the real Asterisk, with two telephones: the caller's and the human's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.pbx.ari_desk import BRIEF_HZ, Node, access, node
from tests.pbx.asterisk import RATE, Asterisk
from tests.pbx.callee import Callee
from tests.pbx.caller import Caller
from tests.pbx.conftest import Dial
from tests.pbx.peer import TONE_HZ, ToneCall
from tests.pbx.test_ari import NOBODY, nothing_left, steps_of
from tests.pbx.waves import loudest_hz
from voicebridge.pbx.asterisk.ari import Ari
from voicebridge.pbx.asterisk.sweep import sweep_orphans

pytestmark = pytest.mark.asterisk

CALLER_HZ, HUMAN_HZ = 500.0, 900.0
LONGEST_SILENCE_S = 1.5


def tone(hertz: float, seconds: float) -> bytes:
    return (8_000 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype("<i2").tobytes()


def hears(heard: bytearray, hertz: float, seconds: float = 0.5) -> bool:
    """The last half second of what came is this tone."""
    return abs(loudest_hz(bytes(heard[-round(2 * seconds * RATE) :]), RATE) - hertz) < 5


async def until_hears(heard: bytearray, hertz: float, limit_s: float = 5.0) -> bool:
    for _ in range(round(limit_s / 0.05)):
        if len(heard) >= RATE // 2 and hears(heard, hertz, 0.25):
            return True
        await asyncio.sleep(0.05)
    return False


@dataclass
class Stage:
    node: Node
    caller: Caller
    agent: ToneCall
    states: list[str]
    task: asyncio.Task[None] | None = None

    def call(self, endpoint: str, *, ring_s: float = 10.0, decide_s: float = 20.0) -> None:
        """Begins; the states come into `states`."""
        warm = self.node.stasis.warm(self.agent.leg.call_id)
        assert warm is not None
        warm.decide_s = decide_s

        async def follow() -> None:
            async for state in warm.call(endpoint, briefing="A caller.", line="wants a bicycle; ${x}", ring_s=ring_s):
                self.states.append(state)

        self.task = asyncio.create_task(follow())

    async def outcome(self, limit_s: float = 15.0) -> list[str]:
        assert self.task is not None
        await asyncio.wait_for(self.task, limit_s)
        return self.states

    async def stays_with_the_agent(self) -> bool:
        await asyncio.sleep(0.7)
        return hears(self.caller.heard, TONE_HZ)


@pytest.fixture
async def stage(asterisk: Asterisk, dial: Dial) -> AsyncIterator[Stage]:
    async with node(access(asterisk)) as here:
        caller = await dial(NOBODY, "stasis")
        yield Stage(here, caller, await here.call(), [])


async def test_who_accepts_is_told_first_and_then_they_hear_each_other(
    asterisk: Asterisk, stage: Stage, tmp_path: Path
):
    async with Callee(tmp_path, asterisk.sip_port) as human:
        stage.call(human.endpoint)
        await human.until("answered")
        assert await until_hears(human.heard, BRIEF_HZ)
        await asyncio.sleep(4.0)  # it is said again and again
        assert sum(hears(human.heard[at : at + RATE // 2], BRIEF_HZ) for at in range(0, len(human.heard), RATE)) >= 2
        assert await stage.stays_with_the_agent()
        human.press("1")
        assert await stage.outcome() == ["calling", "connected"]
        speaking = asyncio.create_task(stage.caller.say(tone(CALLER_HZ, 6)))
        human.say(tone(HUMAN_HZ, 6))
        assert await until_hears(human.heard, CALLER_HZ)
        assert await until_hears(stage.caller.heard, HUMAN_HZ)
        speaking.cancel()
        assert human.logged("summary") == "wants a bicycle x"
        assert human.logged("vb-call") == str(stage.agent.leg.call_id)
        assert longest_silence(bytes(stage.caller.heard)) < LONGEST_SILENCE_S
        await asyncio.sleep(0.3)
        assert stage.agent.closed
        await stage.caller.end()
        await human.until("ended")
    assert await nothing_left(asterisk)


def longest_silence(heard: bytes) -> float:
    """Seconds between two voiced tenths of a second, the time before the first left out."""
    parts = np.frombuffer(heard, dtype="<i2").astype(float)
    loud = [float(np.abs(parts[at : at + 800]).max()) > 200 for at in range(0, len(parts) - 800, 800)]
    runs = "".join("x" if one else " " for one in loud).strip().split("x")
    return max(len(run) for run in runs) / 10


async def test_their_call_outlives_us(asterisk: Asterisk, dial: Dial, tmp_path: Path):
    async with Callee(tmp_path, asterisk.sip_port) as human:
        async with node(access(asterisk)) as here:
            caller = await dial(NOBODY, "stasis")
            stage = Stage(here, caller, await here.call(), [])
            stage.call(human.endpoint)
            await human.until("answered")
            assert await until_hears(human.heard, BRIEF_HZ)
            human.press("1")
            assert await stage.outcome() == ["calling", "connected"]
        async with Ari(access(asterisk)) as ari:  # we are gone; whoever sweeps must leave them alone
            assert await sweep_orphans(ari) == 0
        human.say(tone(HUMAN_HZ, 6))
        assert await until_hears(caller.heard, HUMAN_HZ)
        human.hang_up()
        assert await caller.until_ended()
        assert "fallback" not in dict(asterisk.steps(caller.id))


@pytest.mark.parametrize(
    ("does", "state"), [("presses 2", "declined"), ("hangs up", "declined"), ("does nothing", "no_answer")]
)
async def test_who_does_not_accept_leaves_the_caller_with_the_agent(
    asterisk: Asterisk, stage: Stage, tmp_path: Path, does: str, state: str
):
    async with Callee(tmp_path, asterisk.sip_port) as human:
        stage.call(human.endpoint, decide_s=3.0)
        await human.until("answered")
        assert await until_hears(human.heard, BRIEF_HZ)
        if does == "presses 2":
            human.press("92")
        elif does == "hangs up":
            human.hang_up()
        assert await stage.outcome() == ["calling", state]
        await human.until("ended")
        assert await stage.stays_with_the_agent()


@pytest.mark.parametrize(("kind", "state"), [("busy", "busy"), ("absent", "no_answer")])
async def test_who_does_not_answer_leaves_the_caller_with_the_agent(
    asterisk: Asterisk, stage: Stage, tmp_path: Path, kind: str, state: str
):
    async with Callee(tmp_path, asterisk.sip_port, kind) as human:  # type: ignore[arg-type]
        stage.call(human.endpoint, ring_s=2.0)
        assert await stage.outcome() == ["calling", state]
        await human.until("ended")
        assert await stage.stays_with_the_agent()


async def test_a_second_human_may_accept_when_the_first_is_busy(asterisk: Asterisk, stage: Stage, tmp_path: Path):
    async with Callee(tmp_path, asterisk.sip_port, "busy") as first:
        stage.call(first.endpoint)
        assert await stage.outcome() == ["calling", "busy"]
    async with Callee(tmp_path, asterisk.sip_port) as second:
        stage.call(second.endpoint)
        await second.until("answered")
        assert await until_hears(second.heard, BRIEF_HZ)
        second.press("1")
        assert (await stage.outcome())[-1] == "connected"


async def test_a_telephone_that_does_not_exist_has_failed(stage: Stage):
    stage.call("PJSIP/nobody-of-this-name")
    assert (await stage.outcome())[-1] == "failed"
    assert await stage.stays_with_the_agent()


async def test_without_its_dialplan_nobody_is_called(asterisk: Asterisk, stage: Stage):
    await asyncio.to_thread(asterisk.cli, "dialplan remove context voicebridge-warm")
    try:
        stage.call("PJSIP/sipp/sip:human@127.0.0.1:9")
        assert await stage.outcome() == ["failed"]
        assert await stage.stays_with_the_agent()
    finally:
        await asyncio.to_thread(asterisk.cli, "dialplan reload")


async def test_an_extension_is_called_through_the_dialplan(asterisk: Asterisk, stage: Stage, tmp_path: Path):
    async with Callee(tmp_path, asterisk.sip_port) as human:
        stage.call(f"Local/{human.port}@humans")
        await human.until("answered")
        assert await until_hears(human.heard, BRIEF_HZ)
        human.press("1")
        assert await stage.outcome() == ["calling", "connected"]
        speaking = asyncio.create_task(stage.caller.say(tone(CALLER_HZ, 6)))
        human.say(tone(HUMAN_HZ, 6))
        assert await until_hears(human.heard, CALLER_HZ)
        assert await until_hears(stage.caller.heard, HUMAN_HZ)
        speaking.cancel()


async def test_ringing_ends_when_nobody_wants_it_any_more(asterisk: Asterisk, stage: Stage, tmp_path: Path):
    async with Callee(tmp_path, asterisk.sip_port, "absent") as human:
        stage.call(human.endpoint)
        await human.until("invited")
        await asyncio.sleep(0.3)
        assert stage.task is not None
        stage.task.cancel()
        await human.until("ended", limit_s=3.0)
        assert await stage.stays_with_the_agent()
    await stage.caller.end()
    assert await nothing_left(asterisk)


async def test_a_human_who_is_gone_before_they_are_joined_leaves_the_caller_to_the_fallback(
    asterisk: Asterisk, stage: Stage, tmp_path: Path
):
    async with Ari(access(asterisk)) as ari:
        call = stage.node.stasis.warm(stage.agent.leg.call_id)
        assert call is not None
        channel = call._caller
        await ari.set_variable(channel.id, "VB_PEER", "PJSIP/gone-00000000")
        back = f"{channel.context},{channel.extension},{channel.priority + 1}"
        await ari.set_variable(channel.id, "VB_BACK", back)
        await ari.go_on(channel.id, ("voicebridge-warm", "caller", 1))
    steps = await steps_of(asterisk, stage.caller.id)
    assert (steps["result"], steps["reason"]) == ("FALLBACK", "human_gone")
