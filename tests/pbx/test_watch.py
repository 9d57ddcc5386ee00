"""A daemon that freezes or dies in the middle of a call: where its caller ends, and who answers the next one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.pbx import corpus
from tests.pbx.asterisk import RATE, Asterisk
from tests.pbx.caller import Caller
from tests.pbx.conftest import Dial
from tests.pbx.daemon import READY_S, SPEECH_ONLY, VoiceDaemon
from tests.pbx.install import Install
from tests.pbx.sipp import SippError
from tests.pbx.waves import likeness

pytestmark = [pytest.mark.asterisk, pytest.mark.models]

AGENT = """
name = "desk"
greeting = "Hello, this is the desk."
model_scope = "none"
[[rules]]
name = "goodbye"
dtmf = "9"
action = "end_call"
say = ["Goodbye then."]
"""
ARI = """
[ari]
url = "http://127.0.0.1:{port}/ari"
user = "bench"
password = "{secret}"
"""
FROZEN_LIMIT_S = 15.0
KILLED_LIMIT_S = 5.0
SERVED_LIMIT_S = 5.0


@pytest.fixture
def agents(models: None, tmp_path: Path) -> Path:
    """The folder of a daemon with an agent that has ears and a mouth."""
    folder = tmp_path / "daemon"
    (folder / "agents").mkdir(parents=True)
    (folder / "agents" / "desk.toml").write_text(AGENT)
    return folder


@pytest.fixture
def watched(agents: Path) -> Iterator[VoiceDaemon]:
    with VoiceDaemon(agents, agent="desk", engines=SPEECH_ONLY) as running:
        yield running


@pytest.fixture
def on_ari(agents: Path, asterisk: Asterisk) -> Iterator[VoiceDaemon]:
    """One that also takes calls over ARI."""
    login = ARI.format(port=asterisk.ari_port, secret=asterisk.secret)
    with VoiceDaemon(agents, agent="desk", engines=SPEECH_ONLY + login) as running:
        yield running


async def assert_at_the_fallback(
    asterisk: Asterisk, caller: Caller, fallback: corpus.Prompt, *, since: float, limit_s: float
) -> None:
    """From `since` on the caller heard nothing but the fallback, which began within the limit."""
    assert await caller.until_ended(limit_s=limit_s + fallback.seconds + 10)
    began = caller.now - fallback.seconds - since  # Asterisk hangs up when it has been played
    recorded = await asyncio.to_thread(asterisk.recording, caller.id, "agent")
    assert likeness(recorded, fallback.pcm()) > 0.9, asterisk.steps(caller.id)
    # On the line a late packet of a busy machine leaves a gap, and with it two halves that are apart.
    parts = parts_heard(caller.heard_after(since), fallback.pcm())
    assert sum(part > 0.9 for part in parts) >= len(parts) - 2, (parts, asterisk.steps(caller.id))
    assert await asyncio.to_thread(asterisk.wait_for, caller.id, "done") == "SUCCESS"
    assert began < limit_s
    print(f"the fallback is heard {began:.2f} s after it happened")


def parts_heard(heard: bytes, prompt: bytes) -> list[float]:
    """How alike each quarter second of the prompt is to anything heard: what is missing, where it is not all there."""
    size = RATE // 2
    return [round(likeness(heard, prompt[at : at + size]), 2) for at in range(0, len(prompt) - size, size)]


async def assert_served_by_the_next(daemon: VoiceDaemon, dial: Dial, *, life: int) -> None:
    await asyncio.to_thread(daemon.until_ready, life)
    caller = await dial(daemon.media)
    assert await caller.until_quiet()
    await caller.end()
    record = await asyncio.to_thread(daemon.record, caller.id)
    assert record["turns"][0]["said"][0]["heard"]


async def test_a_frozen_daemon_is_killed_and_its_caller_lands_at_the_fallback(
    asterisk: Asterisk, watched: VoiceDaemon, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(watched.media)
    assert await caller.until_quiet()
    frozen = caller.now
    os.kill(watched.pid, signal.SIGSTOP)
    await assert_at_the_fallback(asterisk, caller, fallback, since=frozen, limit_s=FROZEN_LIMIT_S)
    assert "frozen: no heartbeat" in watched.output()
    await assert_served_by_the_next(watched, dial, life=1)


async def test_one_that_is_frozen_before_attach_is_not_waited_for(
    asterisk: Asterisk, watched: VoiceDaemon, dial: Dial, fallback: corpus.Prompt
):
    os.kill(watched.pid, signal.SIGSTOP)
    caller = await dial(watched.agi, "targets")
    await assert_at_the_fallback(asterisk, caller, fallback, since=0.0, limit_s=FROZEN_LIMIT_S)
    assert dict(asterisk.steps(caller.id))["status"] == "FALLBACK"


async def test_one_that_freezes_before_it_tells_the_outcome_is_not_waited_for(
    asterisk: Asterisk, watched: VoiceDaemon, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(watched.agi, "targets")
    assert await caller.until_quiet()
    caller.press("9")
    assert await caller.until_spoken_to(after=caller.now)
    os.kill(asterisk.pid, signal.SIGSTOP)  # so that the call's end is on its way, and the question after it is not
    try:
        await until_logged(watched, f"call={caller.id} ended")
        frozen = caller.now
        os.kill(watched.pid, signal.SIGSTOP)
    finally:
        os.kill(asterisk.pid, signal.SIGCONT)
    await assert_at_the_fallback(asterisk, caller, fallback, since=frozen, limit_s=FROZEN_LIMIT_S)
    steps = dict(asterisk.steps(caller.id))
    assert (steps["status"], steps["returned"]) == ("OK", "FALLBACK")


async def until_logged(daemon: VoiceDaemon, text: str, *, limit_s: float = 10.0) -> None:
    until = time.monotonic() + limit_s
    while text not in daemon.output():
        assert time.monotonic() < until, daemon.output()[-3000:]
        await asyncio.sleep(0.02)


async def test_a_killed_daemon_gives_its_caller_to_the_fallback_and_the_next_one_answers(
    asterisk: Asterisk, watched: VoiceDaemon, dial: Dial, fallback: corpus.Prompt
):
    caller = await dial(watched.media)
    assert await caller.until_quiet()
    killed = caller.now
    os.kill(watched.pid, signal.SIGKILL)
    began = time.monotonic()
    await assert_at_the_fallback(asterisk, caller, fallback, since=killed, limit_s=KILLED_LIMIT_S)
    assert "killed by SIGKILL" in watched.output()
    await assert_served_by_the_next(watched, dial, life=1)
    assert time.monotonic() - began < READY_S


# ---- callers in ARI, whom Asterisk does not let go by itself


@pytest.mark.parametrize(
    ("number", "limit_s"),
    [
        pytest.param(signal.SIGKILL, KILLED_LIMIT_S, id="killed"),
        pytest.param(signal.SIGSTOP, FROZEN_LIMIT_S, id="frozen"),
    ],
)
async def test_callers_in_ari_are_at_the_fallback_though_the_daemon_cannot_start_again(
    asterisk: Asterisk, on_ari: VoiceDaemon, agents: Path, dial: Dial, fallback: corpus.Prompt,
    number: signal.Signals, limit_s: float,
):  # fmt: skip
    caller = await dial(on_ari.media, "ari")
    assert await caller.until_quiet()
    settings = agents / "voicebridge.toml"
    good = settings.read_text()
    settings.write_text("spoilt [")
    lost = caller.now
    os.kill(on_ari.pid, number)
    await assert_at_the_fallback(asterisk, caller, fallback, since=lost, limit_s=limit_s)
    assert dict(asterisk.steps(caller.id))["reason"] == "daemon_lost"
    await until_logged(on_ari, "exit code 2; starting it again")
    settings.write_text(good)
    await assert_served_by_the_next(on_ari, dial, life=1)


# ---- an Asterisk that goes and comes


@asynccontextmanager
async def served(asterisk: Asterisk, daemon: VoiceDaemon, folder: Path) -> AsyncIterator[Caller]:
    """A caller who has been greeted. Whether his SIPp ever hears of the end is no matter: its Asterisk may be gone."""
    caller = Caller(asterisk, daemon.agi, folder, extension="targets")
    try:
        await caller.begin()
        assert await caller.until_quiet()
        yield caller
    finally:
        with contextlib.suppress(SippError):
            await caller.end()


async def ended_by(daemon: VoiceDaemon, caller: Caller) -> str:
    return str((await asyncio.to_thread(daemon.record, caller.id))["ended_by"])


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "shut down"])
async def test_calls_that_a_restarted_asterisk_took_along_are_recorded_as_dropped_and_the_next_is_served(
    install: Install, fallback: corpus.Prompt, watched: VoiceDaemon, tmp_path: Path, kill: bool
):
    with Asterisk(install, fallback.path) as asterisk:
        async with served(asterisk, watched, tmp_path) as caller:
            await caller.end()
            assert await ended_by(watched, caller) == "hangup"
        async with served(asterisk, watched, tmp_path) as caller:
            await asyncio.to_thread(asterisk.restart, kill=kill)
            assert await ended_by(watched, caller) == "dropped"
            async with served(asterisk, watched, tmp_path) as second:
                heard = second.voice_after(0.0)
                assert heard is not None and heard < SERVED_LIMIT_S
    assert "the daemon ended" not in watched.output()
