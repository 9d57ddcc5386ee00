"""Moonshine in its worker process, with real speech: recorded (from its own wheel) and espeak's."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import time
import wave
from collections.abc import AsyncIterator, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soxr

from voicebridge.engines import espeak
from voicebridge.engines.base import EngineError, SttSession, Voice
from voicebridge.engines.local import LocalHost
from voicebridge.engines.moonshine import ENGINE, loudest_dbfs, pieces, tidy
from voicebridge.engines.wyoming_stt import WyomingStt

models = pytest.mark.models
TWO_CITIES = "it was the best of times it was the worst of times it was the age of wisdom"


def words(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]+", " ", text.lower()).split()


def errors(expected: list[str], heard: list[str]) -> float:
    """Word error rate, by edit distance."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(expected, 1):
        diagonal, row[0] = row[0], number
        for at, other in enumerate(heard, 1):
            diagonal, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, diagonal + (word != other))
    return row[-1] / len(expected)


def telephone(pcm: bytes, rate: int) -> bytes:
    return soxr.resample(np.frombuffer(pcm, "<i2"), rate, 8000).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def recorded() -> bytes:
    """Someone reading the opening of A Tale of Two Cities, 8 kHz."""
    spec = find_spec("moonshine_voice")
    assert spec is not None
    assert spec.origin is not None
    with wave.open(str(Path(spec.origin).parent / "assets" / "two_cities.wav")) as file:
        assert file.getnchannels() == 1
        return telephone(file.readframes(file.getframerate() * 6), file.getframerate())


@pytest.fixture
async def moonshine() -> AsyncIterator[WyomingStt]:
    engine = ENGINE.create({"threads": 1, "nice": 0})
    await engine.start()
    assert await engine.wait_ready(30)
    yield engine
    await engine.stop()


@pytest.fixture
def session(moonshine: WyomingStt) -> Iterator[SttSession]:
    session = moonshine.session(rate=8000, language="en")
    session.begin(1)
    yield session


def soon(seconds: float) -> dict[str, float]:
    now = time.monotonic()
    return {"deadline": now + 1, "give_up": now + seconds}


def pid_of(engine: WyomingStt) -> int:
    assert isinstance(engine.host, LocalHost)
    assert engine.host.worker.pid is not None
    return engine.host.worker.pid


@models
async def test_hears_recorded_speech(session: SttSession, recorded: bytes) -> None:
    session.feed(recorded)
    heard = await session.transcribe(**soon(20))
    assert errors(words(TWO_CITIES), words(heard.text)[: len(words(TWO_CITIES))]) < 0.25
    assert heard.samples == len(recorded) // 2
    assert heard.busy_s is not None
    assert 0 < heard.busy_s <= heard.finished - heard.started


@models
async def test_hears_what_espeak_says(session: SttSession) -> None:
    """The closed loop that other tests use as their caller."""
    voice = espeak.ENGINE.create({"nice": 0})
    await voice.start()
    text = "Please hold the line while I connect you to a colleague."
    speech = await voice.synthesize(text, voice=Voice(), **soon(20))
    await voice.stop()
    session.feed(telephone(speech.pcm, speech.rate))
    heard = await session.transcribe(**soon(20))
    assert errors(words(text), words(heard.text)) < 0.5


@models
async def test_hears_nothing_in_silence_and_noise(session: SttSession) -> None:
    noise = np.random.default_rng(3).normal(0, 1, 8000)
    for level in (0.0, 30.0, 300.0):  # nothing, -61 dB, -41 dB of full scale
        session.begin(1)
        session.feed((noise * level).astype("<i2").tobytes())
        assert (await session.transcribe(**soon(10))).text == ""
    session.begin(2)
    assert (await session.transcribe(**soon(10))).text == ""


@models
async def test_refuses_what_it_cannot_do(moonshine: WyomingStt, recorded: bytes) -> None:
    german = moonshine.session(rate=8000, language="de")
    german.begin(1)
    german.feed(recorded)
    with pytest.raises(EngineError) as raised:
        await german.transcribe(**soon(10))
    assert raised.value.cause == "refused"
    await german.close()


@models
async def test_killed_in_the_middle_it_still_answers(
    moonshine: WyomingStt, session: SttSession, recorded: bytes
) -> None:
    session.feed(recorded)
    expected = (await session.transcribe(**soon(20))).text
    first = pid_of(moonshine)
    task = asyncio.create_task(session.transcribe(**soon(20)))
    await asyncio.sleep(0.05)
    os.kill(first, signal.SIGKILL)
    assert (await task).text == expected
    assert pid_of(moonshine) != first


@models
async def test_stopped_process_gives_an_error_in_time_then_an_answer(
    moonshine: WyomingStt, session: SttSession, recorded: bytes
) -> None:
    session.feed(recorded)
    first = pid_of(moonshine)
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(EngineError) as raised:
        await session.transcribe(**soon(0.4))
    assert raised.value.cause == "timeout"
    assert words((await session.transcribe(**soon(25))).text)[:3] == ["it", "was", "the"]
    assert pid_of(moonshine) != first


@models
async def test_a_rate_that_is_not_taken_is_refused_at_once(moonshine: WyomingStt, recorded: bytes) -> None:
    odd = moonshine.session(rate=3999, language="en")
    odd.begin(1)
    odd.feed(recorded)
    with pytest.raises(EngineError) as raised:
        await odd.transcribe(**soon(30))
    assert raised.value.cause == "refused" and "3999 Hz" in raised.value.detail
    await odd.close()


@models
async def test_socket_is_ours_alone_and_garbage_harms_nobody(
    moonshine: WyomingStt, session: SttSession, recorded: bytes
) -> None:
    path = moonshine.host.address.uri.removeprefix("unix://")
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    first = pid_of(moonshine)
    bad_audio = b'{"type":"audio-start","data":{"rate":1,"width":2,"channels":1}}\n'
    for garbage in (b"\xff\x00\n", b"[]\n", b"{}\n", b"9" * 100_000, bad_audio, b'{"type":"audio-chunk"}\n'):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(garbage)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    session.feed(recorded)
    assert (await session.transcribe(**soon(20))).text
    assert pid_of(moonshine) == first


@models
async def test_callers_do_not_get_each_others_words(moonshine: WyomingStt, recorded: bytes) -> None:
    halves = [recorded[: len(recorded) // 2 & ~1], recorded]
    sessions = [moonshine.session(rate=8000, language="en") for _ in range(6)]
    for number, session in enumerate(sessions):
        session.begin(number)
        session.feed(halves[number % 2])
    heard = await asyncio.gather(*(session.transcribe(**soon(30)) for session in sessions))
    assert len({h.text for h in heard[::2]}) == 1
    assert len({h.text for h in heard[1::2]}) == 1
    assert heard[0].text != heard[1].text
    assert [h.utterance for h in heard] == list(range(6))
    for session in sessions:
        await session.close()


@pytest.mark.parametrize("text", ["You", "you.", " ♪♪♪?", "", "...", "♪ You ♪"])
def test_inventions_are_dropped(text: str) -> None:
    assert tidy(text) == ""


def test_words_are_kept() -> None:
    assert tidy(" Thank you,\n goodbye. ♪") == "Thank you, goodbye."


def test_goodbye_is_spelt_as_everybody_does() -> None:
    assert [tidy(text) for text in ("Good-by.", "good-by, then")] == ["Goodbye.", "goodbye, then"]


def test_loudness() -> None:
    square = np.full(8000, 0.1, np.float32)
    assert loudest_dbfs(square, 8000) == pytest.approx(-20, abs=0.1)
    assert loudest_dbfs(np.zeros(8000, np.float32), 8000) < -100
    assert loudest_dbfs(np.zeros(10, np.float32), 8000) < -100


def test_long_speech_is_cut_where_it_is_quiet() -> None:
    rate = 8000
    speech = np.random.default_rng(1).normal(0, 0.1, 40 * rate).astype(np.float32)
    speech[10 * rate : int(10.4 * rate)] = 0
    cut = pieces(speech, rate)
    assert np.array_equal(np.concatenate(cut), speech)
    assert 10 * rate < len(cut[0]) < 10.4 * rate
    assert all(len(piece) <= 12 * rate for piece in cut)
    assert len(pieces(speech[: 5 * rate], rate)) == 1
