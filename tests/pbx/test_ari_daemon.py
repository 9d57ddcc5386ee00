"""The real daemon over ARI: whole calls, a human who is called and told, a daemon that dies with callers in Stasis."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.pbx import corpus
from tests.pbx.asterisk import Asterisk
from tests.pbx.callee import Callee
from tests.pbx.conftest import Dial
from tests.pbx.daemon import SPEECH_ONLY, VoiceDaemon, agent_said
from tests.pbx.test_ari import NOBODY, nothing_left, steps_of
from tests.pbx.test_calls import listener, transcribed  # noqa: F401 - a fixture
from tests.pbx.test_warm import CALLER_HZ, HUMAN_HZ, LONGEST_SILENCE_S, longest_silence, tone, until_hears
from tests.pbx.waves import likeness
from voicebridge.engines.base import SttEngine

pytestmark = [pytest.mark.asterisk, pytest.mark.models]

AGENT = """
name = "desk"
greeting = "Hello, this is the desk."
model_scope = "none"
targets = ["anna"]
human = "anna"
[[rules]]
name = "goodbye"
dtmf = "9"
action = "end_call"
say = ["Goodbye then."]
[[rules]]
name = "human"
dtmf = "5"
action = "handoff"
target = "anna"
"""
ARI = """
[ari]
url = "http://127.0.0.1:{port}/ari"
user = "bench"
password = "{secret}"
[targets.anna]
endpoint = "{endpoint}"
strategy = "warm"
ring_s = 10
[service]
drain_s = 0
"""
KILLED_LIMIT_S = 5.0


class Desk(VoiceDaemon):
    def __init__(self, folder: Path, asterisk: Asterisk, endpoint: str) -> None:
        (folder / "agents").mkdir(parents=True)
        (folder / "agents" / "desk.toml").write_text(AGENT)
        self.config = folder / "voicebridge.toml"
        ari = ARI.format(port=asterisk.ari_port, secret=asterisk.secret, endpoint=endpoint)
        super().__init__(folder, agent="desk", engines=SPEECH_ONLY + ari)


@pytest.fixture
async def human(asterisk: Asterisk, tmp_path: Path) -> AsyncIterator[Callee]:
    async with Callee(tmp_path, asterisk.sip_port) as callee:
        yield callee


@pytest.fixture
async def desk(models: None, asterisk: Asterisk, human: Callee, tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "daemon", asterisk, human.endpoint)
    await asyncio.to_thread(made.__enter__)
    try:
        yield made
    finally:
        await asyncio.to_thread(made.stop)


async def test_a_human_hears_of_the_caller_and_takes_him(
    asterisk: Asterisk, desk: Desk, dial: Dial, human: Callee, listener: SttEngine  # noqa: F811
):
    caller = await dial(NOBODY, "ari")
    assert await caller.until_quiet()
    caller.press("5")
    await human.until("answered")
    await asyncio.sleep(7.0)
    told = await transcribed(listener, bytes(human.heard))
    assert "asked for a human" in told.lower(), told
    assert "press" in told.lower(), told
    human.press("1")
    await asyncio.sleep(0.5)
    speaking = asyncio.create_task(caller.say(tone(CALLER_HZ, 6)))
    human.say(tone(HUMAN_HZ, 6))
    assert await until_hears(human.heard, CALLER_HZ)
    assert await until_hears(caller.heard, HUMAN_HZ)
    speaking.cancel()
    assert longest_silence(bytes(caller.heard)) < LONGEST_SILENCE_S
    record = await asyncio.to_thread(desk.record, caller.id)
    assert record["outcome"] == "transfer"
    os.kill(desk.pid, signal.SIGKILL)  # it is their call now
    await asyncio.sleep(1.5)
    human.say(tone(HUMAN_HZ, 3))
    assert await until_hears(caller.heard, HUMAN_HZ)
    await caller.end()
    await human.until("ended")
    assert human.logged("vb-call") == str(caller.id)


async def test_who_is_declined_is_back_with_the_agent(asterisk: Asterisk, desk: Desk, dial: Dial, human: Callee):
    caller = await dial(NOBODY, "ari")
    assert await caller.until_quiet()
    caller.press("5")
    await human.until("answered")
    await asyncio.sleep(2.0)
    human.press("2")
    await human.until("ended")
    declined = caller.now
    assert await caller.until_spoken_to(after=declined)
    await asyncio.sleep(3.0)
    caller.press("9")
    steps = await steps_of(asterisk, caller.id)
    assert (steps["result"], steps["reason"]) == ("HANGUP", "rule_goodbye")
    assert longest_silence(bytes(caller.heard)) < LONGEST_SILENCE_S
    record = await asyncio.to_thread(desk.record, caller.id)
    assert "could not reach anybody" in agent_said(record)


async def test_callers_of_a_killed_daemon_land_at_the_fallback_and_the_next_is_served(
    asterisk: Asterisk, desk: Desk, dial: Dial, fallback: corpus.Prompt
):
    """That one cannot start again, or freezes, is tests/pbx/test_watch.py's."""
    caller = await dial(NOBODY, "ari")
    assert await caller.until_quiet()
    gone = caller.now
    os.kill(desk.pid, signal.SIGKILL)
    await asyncio.to_thread(asterisk.wait_for, caller.id, "fallback")
    assert caller.now - gone < KILLED_LIMIT_S
    assert await caller.until_ended()
    assert likeness(caller.heard_after(gone), fallback.pcm()) > 0.9
    assert (await steps_of(asterisk, caller.id))["reason"] == "daemon_lost"
    await asyncio.to_thread(desk.until_ready, 1)
    again = await dial(NOBODY, "ari")
    assert await again.until_quiet()
    await again.end()
    assert await nothing_left(asterisk)


async def test_a_daemon_that_is_stopped_gives_its_callers_back(asterisk: Asterisk, desk: Desk, dial: Dial):
    caller = await dial(NOBODY, "ari")
    assert await caller.until_quiet()
    await asyncio.to_thread(desk.stop)
    steps = await steps_of(asterisk, caller.id)
    assert (steps["result"], steps["reason"]) == ("FALLBACK", "shutdown")
    assert await nothing_left(asterisk)
