"""Whole calls: a SIP caller, a real Asterisk, a real `voicebridge run` with the embedded engines and the demo agent.

    pytest tests/pbx/test_calls.py
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.pbx import corpus
from tests.pbx.asterisk import RATE, Asterisk
from tests.pbx.conftest import Dial
from tests.pbx.daemon import SPEECH_ONLY, VoiceDaemon, agent_said, caller_said
from tests.pbx.install import Install
from tests.pbx.waves import likeness
from tests.pbx.words import error_rate, errors, words
from voicebridge.audio.measure import voiced_spans
from voicebridge.engines.base import SttEngine
from voicebridge.engines.moonshine import ENGINE as MOONSHINE

pytestmark = [pytest.mark.asterisk, pytest.mark.models]

GREETING = words("Northgate Cycles, good day. How can I help you?")
CALLER_LEFT = "hangup"
STOPS_S = 1.0
"""A generous bound for the time from the caller's first voiced sample to the agent's silence, on a busy machine."""


@pytest.fixture
async def listener() -> AsyncIterator[SttEngine]:
    """A recogniser of the test's own."""
    engine = MOONSHINE.create({"threads": 1})
    await engine.start()
    assert await engine.wait_ready(30)
    yield engine
    await engine.stop()


async def transcribed(listener: SttEngine, pcm: bytes) -> str:
    """What is said in 8 kHz PCM, sentence by sentence."""
    session = listener.session(rate=RATE, language="en")
    heard = []
    for number, (begin, end) in enumerate(voiced_spans(pcm, RATE, join_s=0.4)):
        session.begin(number)
        session.feed(pcm[max(0, 2 * begin - RATE // 5) : 2 * end + RATE // 5])
        until = time.monotonic() + 20
        heard.append((await session.transcribe(deadline=until, give_up=until)).text)
    await session.close()
    return " ".join(heard)


def median_likeness(recorded: bytes, sent: bytes) -> float:
    """How alike the voiced half seconds are; MixMonitor moves what it records by a frame now and then."""
    found = []
    for begin, end in voiced_spans(sent, RATE, join_s=0.4):
        for at in range(begin, end - RATE // 2, RATE // 2):
            found.append(likeness(recorded, sent[2 * at : 2 * at + RATE]))
    return statistics.median(found)


async def test_what_asterisk_recorded_of_the_agent_is_what_the_record_says(
    asterisk: Asterisk, daemon: VoiceDaemon, dial: Dial, install: Install, listener: SttEngine
):
    caller = await dial(daemon.media)
    assert await caller.until_quiet()
    spoken = await caller.say(corpus.for_tests(install)[3].pcm())
    assert await caller.until_quiet(after=spoken.last_voice)
    await caller.end()
    record = await asyncio.to_thread(daemon.record, caller.id)
    said = agent_said(record)
    assert words(said)[: len(GREETING)] == GREETING
    assert len(words(said)) > len(GREETING) + 3
    recorded = await asyncio.to_thread(asterisk.recording, caller.id, "agent")
    heard = await transcribed(listener, recorded)
    assert error_rate(said, heard) <= 0.4, (said, heard)
    _, sent = daemon.recording(caller.id)
    assert median_likeness(recorded, sent) > 0.9


async def test_what_callers_say_stands_in_the_record(daemon: VoiceDaemon, dial: Dial, install: Install):
    async def heard_of(prompt: corpus.Prompt) -> str:
        caller = await dial(daemon.media)
        assert await caller.until_quiet()
        spoken = await caller.say(prompt.pcm())
        assert await caller.until_spoken_to(after=spoken.last_voice)
        await caller.end()
        return caller_said(await asyncio.to_thread(daemon.record, caller.id))

    prompts = corpus.for_tests(install)[:3]
    heard = await asyncio.gather(*(heard_of(prompt) for prompt in prompts))
    pairs = [(prompt.text, text) for prompt, text in zip(prompts, heard, strict=True)]
    wrong = sum(errors(words(said), words(text)) for said, text in pairs)
    assert wrong <= 0.25 * sum(len(words(said)) for said, _ in pairs), pairs


async def test_a_key_reaches_the_daemon(daemon: VoiceDaemon, dial: Dial):
    caller = await dial(daemon.media)
    assert await caller.until_quiet()
    caller.press("7#")
    await asyncio.sleep(1.0)
    await caller.end()
    record = await asyncio.to_thread(daemon.record, caller.id)
    assert keys_in(daemon.events(caller.id)) == ["7", "#"]
    assert record["ended_by"] == CALLER_LEFT


def keys_in(lines: list[str]) -> list[str]:
    events = [json.loads(line).get("event", {}) for line in lines]
    return [event["digit"] for event in events if event.get("is") == "Dtmf"]


async def test_an_interrupted_greeting_stops(asterisk: Asterisk, daemon: VoiceDaemon, dial: Dial, install: Install):
    caller = await dial(daemon.media)
    assert await caller.until_spoken_to()
    await asyncio.sleep(0.5)
    spoken = await caller.say(corpus.for_tests(install)[4].pcm())
    stopped = caller.voice_stopped_after(spoken.first_voice)
    await caller.until_spoken_to(after=spoken.last_voice)
    await caller.end()
    assert stopped - spoken.first_voice <= STOPS_S
    record = await asyncio.to_thread(daemon.record, caller.id)
    greeting = record["turns"][0]
    assert greeting["cut_off"]
    assert len(words(agent_said({"turns": [greeting]}))) < len(GREETING)


async def test_goodbye_returns_the_caller_to_the_dialplan(
    asterisk: Asterisk, daemon: VoiceDaemon, dial: Dial, install: Install
):
    caller = await dial(daemon.media)
    assert await caller.until_quiet()
    spoken = await caller.say(corpus.prompts(install)["vm-goodbye"].pcm())
    status = await asyncio.to_thread(asterisk.wait_for, caller.id, "returned")
    assert status == "SUCCESS"
    record = await asyncio.to_thread(daemon.record, caller.id)
    assert (record["outcome"], record["ended_by"]) == ("hangup", "rule_goodbye")
    assert [turn["rule"] for turn in record["turns"] if turn["caller"]] == ["goodbye"]
    answer = caller.voice_after(spoken.last_voice)
    assert answer is not None and answer < caller.now


async def test_sixteen_kilohertz_by_dial(asterisk: Asterisk, daemon: VoiceDaemon, dial: Dial, install: Install):
    prompt = corpus.for_tests(install)[5]
    caller = await dial(daemon.media, "agent16")
    assert await caller.until_quiet()
    spoken = await caller.say(prompt.pcm())
    assert await caller.until_spoken_to(after=spoken.last_voice)
    await caller.end()
    record = await asyncio.to_thread(daemon.record, caller.id)
    assert record["rate"] == 16_000
    assert error_rate(prompt.text, caller_said(record)) <= 0.34, caller_said(record)


async def test_a_daemon_killed_in_mid_call_lands_the_caller_at_the_fallback(
    asterisk: Asterisk, dial: Dial, models: None, tmp_path: Path, fallback: corpus.Prompt
):
    with VoiceDaemon(tmp_path / "daemon", engines=SPEECH_ONLY) as daemon:
        caller = await dial(daemon.media)
        assert await caller.until_spoken_to()
        killed = caller.now
        daemon.kill()
        assert await caller.until_ended()
    assert dict(asterisk.steps(caller.id))["done"] == "SUCCESS"
    voice = caller.voice_after(killed + 0.1)
    assert voice is not None and voice - killed < 5.0
    assert caller.now - killed < fallback.seconds + 5.0
