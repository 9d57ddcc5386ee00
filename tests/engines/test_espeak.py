"""espeak-ng in its worker process, and what is done to its audio."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest

from voicebridge.engines.base import EngineError, Speech, Voice, WordMark
from voicebridge.engines.espeak import ENGINE, word_marks
from voicebridge.engines.local import LocalHost
from voicebridge.engines.spoken import Spoken, trimmed
from voicebridge.engines.wyoming_tts import WyomingTts


@pytest.fixture
async def espeak() -> AsyncIterator[WyomingTts]:
    engine = ENGINE.create({"nice": 0})
    await engine.start()
    assert await engine.wait_ready(20)
    yield engine
    await engine.stop()


async def say(engine: WyomingTts, text: str, voice: Voice | None = None) -> Speech:
    now = time.monotonic()
    return await engine.synthesize(text, voice=voice or Voice(), deadline=now, give_up=now + 10)


def seconds(speech: Speech) -> float:
    return len(speech.pcm) / 2 / speech.rate


@pytest.mark.models
async def test_speaks_with_a_mark_for_every_word(espeak: WyomingTts) -> None:
    text = "Héllo Mr. Smith, in the afternoon it costs $42.50, for 1500 people."
    speech = await say(espeak, text)
    assert speech.rate == 22_050
    assert not speech.estimated
    assert [text[m.start : m.end] for m in speech.marks] == text.split()
    samples = [m.sample for m in speech.marks]
    assert samples == sorted(samples)
    assert samples[-1] < len(speech.pcm) // 2
    assert 3 < seconds(speech) < 9


@pytest.mark.models
async def test_begins_at_once_and_ends_soon(espeak: WyomingTts) -> None:
    inner, sentence = await asyncio.gather(say(espeak, "One moment,"), say(espeak, "One moment."))
    for speech, trail in ((inner, 0.06), (sentence, 0.15)):
        loud = np.flatnonzero(np.abs(np.frombuffer(speech.pcm, "<i2").astype(int)) > 300)
        assert loud[0] / speech.rate < 0.03
        assert len(speech.pcm) / 2 / speech.rate - loud[-1] / speech.rate < trail + 0.03


@pytest.mark.models
async def test_speed_voice_and_language(espeak: WyomingTts) -> None:
    text = "Please hold the line while I connect you."
    usual = await say(espeak, text)
    fast = await say(espeak, text, Voice(speed=1.5))
    assert seconds(fast) < 0.85 * seconds(usual)
    woman = await say(espeak, text, Voice(name="+f3"))
    german = await say(espeak, text, Voice(language="de-AT"))
    again = await say(espeak, text)
    assert len({woman.pcm, german.pcm, usual.pcm}) == 3
    assert again.marks == usual.marks
    with pytest.raises(EngineError) as raised:
        await say(espeak, text, Voice(language="xx"))
    assert raised.value.cause == "refused"


@pytest.mark.models
async def test_text_is_text(espeak: WyomingTts) -> None:
    """No mark-up, phonemes, control characters or lone surrogates get through to anything but the voice."""
    speech = await say(espeak, "a\x00b\x1b <b>c</b> [[h@'loU]] \n d & e")
    assert speech.pcm
    assert (await say(espeak, "...")).text == "..."


@pytest.mark.models
async def test_killed_worker_speaks_again(espeak: WyomingTts) -> None:
    await say(espeak, "Hello.")
    assert isinstance(espeak.host, LocalHost)
    assert espeak.host.worker.pid is not None
    os.kill(espeak.host.worker.pid, signal.SIGKILL)
    assert seconds(await say(espeak, "Hello again.")) > 0.3


def test_gpl_code_is_not_loaded_into_the_daemon() -> None:
    code = "import sys, voicebridge.engines.espeak; print('espeakng_loader' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_words_espeak_joins_or_splits_are_marked_once() -> None:
    text = "in the $4.50 end"
    events = [(0, 0), (7, 400), (8, 500), (10, 600), (13, 900)]
    marks = word_marks(text, events, 1200)
    assert [text[m.start : m.end] for m in marks] == text.split()
    assert [m.sample for m in marks] == [0, 171, 400, 900]


def test_trimming_moves_the_marks() -> None:
    rate = 1000
    loud = np.full(100, 5000, "<i2")
    pcm = np.concatenate([np.zeros(50, "<i2"), loud, np.zeros(300, "<i2")]).tobytes()
    spoken = trimmed(Spoken(pcm, rate, (WordMark(0, 2, 0), WordMark(3, 5, 90))), sentence_ends=False)
    assert len(spoken.pcm) // 2 == 10 + 100 + 60
    assert [m.sample for m in spoken.marks] == [0, 50]
    padded = trimmed(Spoken(loud.tobytes(), rate), sentence_ends=True)
    assert len(padded.pcm) // 2 == 100 + 150
    assert trimmed(Spoken(bytes(200), rate), sentence_ends=True).pcm == b""
