"""A real `voicebridge run` behind the shipped dialplan: what goes in by attach, what comes out by outcome.

The dialplan's own ways, with agents that are tones: test_dialplan.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tests.pbx import corpus
from tests.pbx.asterisk import HUMAN, RATE, Asterisk, free_port
from tests.pbx.caller import Caller
from tests.pbx.conftest import Dial
from tests.pbx.daemon import REPOSITORY, SPEECH_ONLY, VoiceDaemon, agent_said
from tests.pbx.install import Install
from tests.pbx.waves import ALIKE, likeness_by_pieces

pytestmark = [pytest.mark.asterisk, pytest.mark.models]

DEMO = """
name = "demo"
greeting = "Hello, this is the desk of the day."
model_scope = "none"
"""
DESK = """
name = "desk"
greeting = "Hello."
model_scope = "none"
human = "sales"
targets = ["sales"]
[lines]
connecting = "One moment."
[[rules]]
name = "goodbye"
dtmf = "9"
action = "end_call"
say = ["Goodbye then."]
[[rules]]
name = "representative"
action = "handoff"
examples = ["i am waiting to speak with a representative", "i want to speak to a person"]
[[rules]]
name = "fallback"
dtmf = "8"
action = "fallback"
"""
TARGETS = """
[targets.sales]
queue = "sales"
[targets.night]
context = "fallback"
extension = "s"
priority = "1"
"""
SOON_S = 5.0
LIMIT = 2
"""Calls that the daemon takes."""


@pytest.fixture(scope="module")
def desk(models: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VoiceDaemon]:
    folder = tmp_path_factory.mktemp("attach")
    (folder / "agents").mkdir()
    (folder / "agents" / "demo.toml").write_text(DEMO)
    (folder / "agents" / "desk.toml").write_text(DESK)
    with VoiceDaemon(folder, engines=SPEECH_ONLY + TARGETS, listen=f"max_calls = {LIMIT}\n") as running:
        yield running


@pytest.fixture(scope="module")
def human(install: Install) -> corpus.Prompt:
    return corpus.prompts(install)[HUMAN]


async def recorded(daemon: VoiceDaemon, call: UUID) -> dict[str, object]:
    return await asyncio.to_thread(daemon.record, call)


async def ends_at(caller: Caller, prompt: corpus.Prompt, *, since: float) -> None:
    """The caller hears `prompt` soon, and to its end."""
    assert await caller.until_ended(limit_s=2 * SOON_S + prompt.seconds)
    assert likeness_by_pieces(caller.heard_after(since), prompt.pcm(), RATE) > ALIKE
    assert caller.now - since < SOON_S + prompt.seconds + 2.0


def steps(asterisk: Asterisk, caller: Caller) -> dict[str, str]:
    return dict(asterisk.steps(caller.id))


async def test_a_call_is_the_agents_as_the_dialplan_wants_it_and_ends_when_it_says_goodbye(
    asterisk: Asterisk, desk: VoiceDaemon, dial: Dial
):
    caller = await dial(desk.agi, "desk")
    assert await caller.until_quiet()
    caller.press("9")
    assert await caller.until_ended(limit_s=10)
    told = steps(asterisk, caller)
    assert (told["status"], told["returned"], told["reason"]) == ("OK", "HANGUP", "rule_goodbye")
    record = await recorded(desk, caller.id)
    assert agent_said(record).startswith("Good evening, this is the night desk; who is calling?")
    assert agent_said(record).endswith("Goodbye then.")
    assert (record["agent"], record["caller"], record["dialled"]) == ("desk", "***", "desk")
    agent = json.loads(desk.events(caller.id)[0])["agent"]
    assert agent["call_facts"] == ["order: 4711", f'customer: Ann, "the" {caller.id} {{one}} [x]\\; y']
    assert (agent["limits"]["call_s"], agent["limits"]["no_input_s"]) == (90.0, 4.0)
    assert agent["language"] == "en"


async def test_a_caller_who_asks_for_a_human_is_in_the_queue(
    asterisk: Asterisk, desk: VoiceDaemon, dial: Dial, human: corpus.Prompt
):
    caller = await dial(desk.agi, "desk")
    assert await caller.until_quiet()
    left = caller.now
    caller.press("0")
    await ends_at(caller, human, since=left)
    told = steps(asterisk, caller)
    assert (told["returned"], told["target"]) == ("TRANSFER", "sales queue sales")
    assert "fallback" not in told


async def test_a_caller_who_says_that_he_wants_a_human_is_in_the_queue(
    asterisk: Asterisk, desk: VoiceDaemon, dial: Dial, human: corpus.Prompt, install: Install
):
    caller = await dial(desk.agi, "desk")
    assert await caller.until_quiet()
    spoken = await caller.say(corpus.prompts(install)["queue-callswaiting"].pcm())
    await ends_at(caller, human, since=spoken.last_voice)
    assert steps(asterisk, caller)["target"] == "sales queue sales"
    record = await recorded(desk, caller.id)
    assert (record["outcome"], record["target"], record["ended_by"]) == ("transfer", "sales", "rule_representative")


async def test_an_agent_that_gives_up_sends_its_caller_to_the_fallback_that_attach_named(
    asterisk: Asterisk, desk: VoiceDaemon, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(desk.agi, "desk")
    assert await caller.until_quiet()
    left = caller.now
    caller.press("8")
    await ends_at(caller, fallback, since=left)
    told = steps(asterisk, caller)
    assert (told["returned"], told["target"]) == ("FALLBACK", "night context fallback,s,1")


async def test_nothing_set_is_the_default_agent_with_an_id_of_our_own(
    asterisk: Asterisk, desk: VoiceDaemon, dial: Dial
):
    caller = await dial(desk.agi, "targets")
    assert await caller.until_quiet()
    await caller.end()
    record = await recorded(desk, caller.id)  # the dialplan gave its id
    assert (record["agent"], record["ended_by"]) == ("demo", "hangup")
    assert agent_said(record) == "Hello, this is the desk of the day."


async def test_a_caller_who_hangs_up_in_the_middle_leaves_nothing_behind(
    asterisk: Asterisk, desk: VoiceDaemon, dial: Dial
):
    caller = await dial(desk.agi, "desk")
    assert await caller.until_spoken_to()
    await caller.end()
    await asyncio.to_thread(asterisk.wait_for, caller.id, "hangup")
    record = await recorded(desk, caller.id)
    assert record["ended_by"] == "hangup"
    assert "returned" not in steps(asterisk, caller)
    for _ in range(100):
        if await asyncio.to_thread(asterisk.channels) == 0:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("a channel is left")


async def test_over_the_limit_the_caller_is_at_the_fallback_at_once(
    asterisk: Asterisk, desk: VoiceDaemon, dial: Dial, fallback: corpus.Prompt
):
    served = [await dial(desk.agi, "targets") for _ in range(LIMIT)]
    for caller in served:
        assert await caller.until_spoken_to()
    refused = await dial(desk.agi, "desk")
    await ends_at(refused, fallback, since=0.0)
    told = steps(asterisk, refused)
    assert (told["status"], told["returned"]) == ("BUSY", "FALLBACK")
    assert not any(caller.ended_by for caller in served)
    for caller in served:
        await caller.end()
        await recorded(desk, caller.id)
    again = await dial(desk.agi, "targets")
    assert await again.until_spoken_to()


async def test_an_agent_that_there_is_not_is_the_fallback(
    asterisk: Asterisk, desk: VoiceDaemon, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(desk.agi, "early")
    await ends_at(caller, fallback, since=0.0)
    assert steps(asterisk, caller)["status"] == "UNKNOWN_AGENT"


async def test_a_ticket_is_not_good_twice(
    asterisk: Asterisk, desk: VoiceDaemon, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(desk.agi, "reuse")
    assert await caller.until_quiet()
    left = caller.now
    caller.press("9")
    await ends_at(caller, fallback, since=left)
    assert "its ticket was used already" in desk.output()


async def test_no_daemon_is_the_fallback(asterisk: Asterisk, dial: Dial, fallback: corpus.Prompt):
    caller = await dial(f"127.0.0.1:{free_port(socket.SOCK_STREAM)}", "desk")
    await ends_at(caller, fallback, since=0.0)
    assert steps(asterisk, caller)["status"] == "FALLBACK"


async def test_what_the_running_asterisk_lacks_is_found(asterisk: Asterisk, desk: VoiceDaemon, tmp_path: Path):
    config = tmp_path / "vb.toml"
    config.write_text(f'[listen]\naudiosocket = "{desk.media}"\nfastagi = "{desk.agi}"\n')
    command = " ".join(asterisk.install.command("/usr/sbin/asterisk", "-C", f"{asterisk.inside}/etc/asterisk.conf"))

    async def checked(*how: str) -> tuple[int, dict[str, dict[str, str]]]:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "voicebridge", "dialplan", "check", "-c", str(config), "--json", *how],
            capture_output=True, text=True, cwd=REPOSITORY, env={**os.environ, "VB_AMI_PASSWORD": asterisk.secret},
        )
        assert done.stdout, done.stderr
        return done.returncode, {finding["check"]: finding for finding in json.loads(done.stdout)}

    for how in (("--asterisk", command), ("--ami", f"admin@127.0.0.1:{asterisk.ami_port}")):
        code, findings = await checked(*how)
        wrong = {name: made["state"] for name, made in findings.items() if made["state"] != "ok"}
        assert (code, wrong) == (0, {"VB_FASTAGI": "warn"})  # the tests' daemon is at a port of its own
    await asyncio.to_thread(asterisk.cli, "dialplan remove extension to-queue@voicebridge-handoff")
    await asyncio.to_thread(asterisk.cli, "module unload app_exec.so")
    try:
        code, findings = await checked("--asterisk", command)
    finally:
        await asyncio.to_thread(asterisk.cli, "module load app_exec.so")
        await asyncio.to_thread(asterisk.cli, "dialplan reload")
    assert code == 1
    failed = {name: made["cure"] for name, made in findings.items() if made["state"] == "fail"}
    assert set(failed) == {"TryExec()", "[voicebridge-handoff]"}
    assert "module load app_exec.so" in failed["TryExec()"] and "install" in failed["[voicebridge-handoff]"]
