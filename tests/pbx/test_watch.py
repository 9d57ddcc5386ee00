"""A daemon that freezes or dies in the middle of a call: where its caller ends, and who answers the next one."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pbx import corpus
from tests.pbx.asterisk import Asterisk
from tests.pbx.caller import Caller
from tests.pbx.conftest import Dial
from tests.pbx.daemon import READY_S, SPEECH_ONLY, VoiceDaemon
from tests.pbx.waves import likeness

pytestmark = [pytest.mark.asterisk, pytest.mark.models]

FROZEN_LIMIT_S = 15.0
KILLED_LIMIT_S = 5.0


@pytest.fixture
def watched(models: None, tmp_path: Path) -> Iterator[VoiceDaemon]:
    """Ears and a mouth below a parent."""
    with VoiceDaemon(tmp_path / "daemon", engines=SPEECH_ONLY) as running:
        yield running


async def assert_at_the_fallback(
    asterisk: Asterisk, caller: Caller, fallback: corpus.Prompt, *, since: float, limit_s: float
) -> None:
    """From `since` on the caller heard nothing but the fallback, which began within the limit."""
    assert await caller.until_ended(limit_s=limit_s + fallback.seconds + 10)
    assert dict(asterisk.steps(caller.id))["done"] == "SUCCESS"
    assert likeness(caller.heard_after(since), fallback.pcm()) > 0.9
    voice = caller.voice_after(since)
    assert voice is not None and voice - since < limit_s
    print(f"the fallback is heard {voice - since:.2f} s after it happened")


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
