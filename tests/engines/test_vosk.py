"""Vosk in its worker process, with the tests' own tiny model (106 words) and espeak's speech."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soxr
from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.audio.pcm import silence
from voicebridge.call.hearing import Hearing
from voicebridge.conversation.events import SpeechStopped
from voicebridge.conversation.form import Slot
from voicebridge.engines import espeak
from voicebridge.engines.base import EngineError, SttSession, Transcript, Voice
from voicebridge.engines.local import LocalHost
from voicebridge.engines.vosk import ENGINE
from voicebridge.engines.wyoming_stt import WyomingStt
from voicebridge.slots import phrases

pytest.importorskip("vosk")
pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = Path(__file__).parents[1] / "models/vosk-tiny-en"
BOOK, MORNING, QUESTION = "i want to book an appointment", "on monday morning", "i want to speak to a person"
SAID = (BOOK, MORNING, QUESTION, f"{BOOK} {MORNING}", "yes please", "four four seven", "no thank you")
BLOCK = 320

Speech = Callable[[str], bytes]


def telephone(pcm: bytes, rate: int, to_rate: int = 8000) -> bytes:
    return bytes(soxr.resample(np.frombuffer(pcm, "<i2"), rate, to_rate).astype("<i2").tobytes())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spoken() -> Speech:
    """What espeak says, at 8 kHz."""
    voice = espeak.ENGINE.create({"nice": 0})
    await voice.start()
    made = [await voice.synthesize(text, voice=Voice(), **soon(30)) for text in SAID]
    await voice.stop()
    return {speech.text: telephone(speech.pcm, speech.rate) for speech in made}.__getitem__


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vosk() -> AsyncIterator[WyomingStt]:
    engine = ENGINE.create({"model": str(MODEL), "nice": 0})
    await engine.start()
    assert await engine.wait_ready(30)
    yield engine
    await engine.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def session(vosk: WyomingStt) -> AsyncIterator[SttSession]:
    session = vosk.session(rate=8000, language="en")
    session.begin(1)
    yield session
    await session.close()


def soon(seconds: float) -> dict[str, float]:
    now = time.monotonic()
    return {"deadline": now + 1, "give_up": now + seconds}


def pid_of(engine: WyomingStt) -> int:
    assert isinstance(engine.host, LocalHost)
    assert engine.host.worker.pid is not None
    return engine.host.worker.pid


async def say(session: SttSession, pcm: bytes, *, pause_s: float = 0.0) -> None:
    """As a call feeds it, but quicker."""
    for at in range(0, len(pcm), BLOCK):
        session.feed(pcm[at : at + BLOCK])
        await asyncio.sleep(pause_s)


async def heard(session: SttSession, pcm: bytes) -> Transcript:
    await say(session, pcm)
    return await session.transcribe(**soon(30))


async def test_what_is_heard_while_he_speaks_is_what_is_heard_at_once(session: SttSession, spoken: Speech) -> None:
    pcm = spoken(f"{BOOK} {MORNING}")
    await say(session, pcm, pause_s=0.004)
    streamed = await session.transcribe(**soon(30))
    session.begin(2)
    session.feed(pcm)
    at_once = await session.transcribe(**soon(30))
    assert streamed.text == at_once.text == f"{BOOK} {MORNING}"
    assert streamed.words == at_once.words
    assert (streamed.utterance, streamed.samples, streamed.engine) == (1, len(pcm) // 2, "vosk")
    assert streamed.busy_s is not None and at_once.busy_s is not None
    assert streamed.busy_s < at_once.busy_s, "at the end little was left to do"


async def test_words_have_times_and_confidence(session: SttSession, spoken: Speech) -> None:
    pcm = bytes(16_000) + spoken(BOOK)
    told = await heard(session, pcm)
    words = told.words
    assert " ".join(word.text for word in words) == told.text
    assert 0.8 < words[0].start < 1.2
    assert all(before.end <= after.start + 0.05 for before, after in zip(words, words[1:], strict=False))
    assert words[-1].end <= len(pcm) / 16_000 + 0.05
    assert all(word.start < word.end and 0 < word.confidence <= 1 for word in words)


async def test_looking_at_what_is_understood_so_far_ends_nothing(session: SttSession, spoken: Speech) -> None:
    pcm = spoken(f"{BOOK} {MORNING}")
    looks = []
    for at in range(0, len(pcm), 8000):
        session.feed(pcm[at : at + 8000])
        looks.append((await session.transcribe(**soon(30), final=False)).text)
    assert (await session.transcribe(**soon(30))).text == f"{BOOK} {MORNING}"
    grown = [look for look in looks if look]
    assert len(set(grown)) >= 3
    assert all(f"{BOOK} {MORNING}".startswith(look.rsplit(" ", 1)[0]) for look in grown)


async def test_who_goes_on_after_an_end_in_the_middle_of_a_word_is_understood(
    session: SttSession, spoken: Speech
) -> None:
    pcm = spoken(f"{BOOK} {MORNING}")
    for cut in (5_000, 12_000, 21_000):
        session.begin(cut)
        half = await heard(session, pcm[: 2 * (cut // 2)])
        whole = await heard(session, pcm[2 * (cut // 2) :])
        assert whole.text == f"{BOOK} {MORNING}"
        assert len(half.text) < len(whole.text)
        assert whole.samples == len(pcm) // 2
    assert (await session.transcribe(**soon(30))).text == f"{BOOK} {MORNING}", "asked twice it is the same"


async def test_asked_for_what_he_says_is_one_of_the_phrases(vosk: WyomingStt, spoken: Speech) -> None:
    """A telephone that passes noise: all words make something else of it than the slot's do."""
    session = vosk.session(rate=8000, language="en")
    session.begin(1, ["yes", "no", "please", "thank you"])
    told = await heard(session, spoken("no thank you"))
    assert told.text == "no thank you"
    assert all(0 < word.confidence <= 1 for word in told.words)
    session.begin(2, ["fifteen", "no bananas"])
    assert (await heard(session, spoken("yes please"))).text == "yes please", "none of it: all words count"
    await session.close()


@pytest.mark.parametrize("kind", ["yes_no", "digits", "date", "time"])
async def test_a_question_in_the_middle_of_a_form_is_understood(session: SttSession, spoken: Speech, kind) -> None:
    for number, said in enumerate((QUESTION, f"{BOOK} {MORNING}", "four four seven", "no thank you")):
        session.begin(number, phrases(Slot("it", kind), "en"))
        assert (await heard(session, spoken(said))).text == said


async def test_who_goes_on_with_something_else_than_was_asked_for(session: SttSession, spoken: Speech) -> None:
    session.begin(1, phrases(Slot("it", "yes_no"), "en"))
    assert (await heard(session, spoken("no thank you"))).text == "no thank you"
    assert (await heard(session, spoken(QUESTION))).text == f"no thank you {QUESTION}"


async def test_the_agents_phrases_count_where_a_slot_has_none(vosk: WyomingStt, spoken: Speech) -> None:
    session = vosk.session(rate=8000, language="en", phrases=["four", "seven"])
    session.begin(1)
    told = await heard(session, spoken("four four seven"))
    assert told.text == "four four seven"
    await session.close()


async def test_sixteen_kilohertz_go_into_a_model_of_eight(vosk: WyomingStt, spoken: Speech) -> None:
    session = vosk.session(rate=16_000, language="en")
    session.begin(1)
    first = await heard(session, telephone(spoken(BOOK), 8000, 16_000))
    assert first.text == BOOK
    assert first.samples == len(spoken(BOOK))
    whole = await heard(session, telephone(spoken(MORNING), 8000, 16_000))
    assert whole.text == f"{BOOK} {MORNING}"
    assert whole.words[-1].end < len(spoken(BOOK) + spoken(MORNING)) / 16_000 + 0.1
    await session.close()


async def test_several_languages_at_once(tmp_path: Path, spoken: Speech) -> None:
    shutil.copytree(MODEL, tmp_path / "other")
    models = {"en-GB": str(MODEL), "de": str(tmp_path / "other")}
    engine = ENGINE.create({"models": models, "nice": 0, "lazy": True})
    await engine.start()
    assert await engine.wait_ready(30)
    sessions = [engine.session(rate=8000, language=tag) for tag in ("en", "de-AT", "")]
    for session in sessions:
        session.begin(1)
    told = await asyncio.gather(*(heard(session, spoken(BOOK)) for session in sessions))
    assert [each.text for each in told] == [BOOK] * 3
    french = engine.session(rate=8000, language="fr")
    french.begin(1)
    with pytest.raises(EngineError, match="no model for 'fr'; there are: en-gb, de") as raised:
        await heard(french, spoken(BOOK))
    assert raised.value.cause == "refused"
    for session in (*sessions, french):
        await session.close()
    await engine.stop()


async def test_killed_in_the_middle_no_word_is_lost(vosk: WyomingStt, session: SttSession, spoken: Speech) -> None:
    pcm, first = spoken(f"{BOOK} {MORNING}"), pid_of(vosk)
    await say(session, pcm[: len(pcm) // 4 * 2], pause_s=0.005)
    os.kill(first, signal.SIGKILL)
    await say(session, pcm[len(pcm) // 4 * 2 :], pause_s=0.005)
    told = await session.transcribe(**soon(30))
    assert told.text == f"{BOOK} {MORNING}"
    assert pid_of(vosk) != first


async def test_stopped_process_gives_an_error_in_time_then_an_answer(
    vosk: WyomingStt, session: SttSession, spoken: Speech
) -> None:
    first = pid_of(vosk)
    await say(session, spoken(BOOK))
    os.kill(first, signal.SIGSTOP)
    with pytest.raises(EngineError) as raised:
        await session.transcribe(**soon(0.4))
    assert raised.value.cause == "timeout"
    assert (await session.transcribe(**soon(30))).text == BOOK
    assert pid_of(vosk) != first


async def test_twelve_callers_at_once_do_not_get_each_others_words(vosk: WyomingStt, spoken: Speech) -> None:
    texts = [(BOOK, MORNING, QUESTION, "no thank you")[number % 4] for number in range(12)]
    sessions = [vosk.session(rate=8000, language="en") for _ in texts]
    for number, session in enumerate(sessions):
        session.begin(number)
    told = await asyncio.gather(*(heard(session, spoken(text)) for session, text in zip(sessions, texts, strict=True)))
    assert [each.text for each in told] == texts
    assert [each.utterance for each in told] == list(range(12))
    for session in sessions:
        await session.close()


async def test_a_later_question_supersedes_and_a_new_utterance_forgets(session: SttSession, spoken: Speech) -> None:
    session.feed(spoken(BOOK))
    early = asyncio.create_task(session.transcribe(**soon(30)))
    await asyncio.sleep(0)
    session.feed(spoken(MORNING))
    late = await session.transcribe(**soon(30))
    assert late.text == f"{BOOK} {MORNING}"
    with pytest.raises(EngineError, match="superseded"):
        await early
    session.feed(spoken(BOOK))
    session.begin(2)
    assert (await heard(session, spoken("yes please"))).text == "yes please"
    session.begin(3)
    assert (await session.transcribe(**soon(30))).text == ""


async def test_somebody_elses_client_is_told_word_by_word(vosk: WyomingStt, spoken: Speech) -> None:
    """Wyoming's own streaming: what is sent is never taken back, and `transcript` has all of it."""
    reader, writer = await asyncio.open_unix_connection(vosk.host.address.uri.removeprefix("unix://"))
    pcm = spoken(f"{BOOK} {MORNING}")
    await async_write_event(Transcribe(language="en").event(), writer)
    await async_write_event(AudioStart(rate=8000, width=2, channels=1).event(), writer)
    for at in range(0, len(pcm), 1600):
        await async_write_event(AudioChunk(8000, 2, 1, pcm[at : at + 1600]).event(), writer)
        await asyncio.sleep(0.02)
    await async_write_event(AudioStop().event(), writer)
    told: list[Event] = []
    while not told or told[-1].type != "transcript-stop":
        event = await asyncio.wait_for(async_read_event(reader), 10)
        assert event is not None
        told.append(event)
    writer.close()
    kinds = [event.type for event in told]
    assert (kinds[0], kinds[-2:]) == ("transcript-start", ["transcript", "transcript-stop"])
    chunks = [event.data["text"] for event in told if event.type == "transcript-chunk"]
    assert len(chunks) >= 2
    assert "".join(chunks) == told[-2].data["text"] == f"{BOOK} {MORNING}"


async def test_garbage_harms_nobody(vosk: WyomingStt, session: SttSession, spoken: Speech) -> None:
    first, path = pid_of(vosk), vosk.host.address.uri.removeprefix("unix://")
    bad_audio = b'{"type":"audio-start","data":{"rate":1,"width":2,"channels":1}}\n'
    for garbage in (b"\xff\x00\n", b"[]\n", b"9" * 100_000, bad_audio, b'{"type":"audio-chunk"}\n'):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(garbage)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()
    odd = spoken(BOOK)
    session.feed(odd[:1001])
    session.feed(odd[1001:])
    assert (await session.transcribe(**soon(30))).text == BOOK
    assert pid_of(vosk) == first


async def test_as_calls_hear_him_pauses_and_ends_too_early_lose_no_word(vosk: WyomingStt, spoken: Speech) -> None:
    """The voice detector decides what is fed, and after every voice the end is asked for, as a call does."""
    session = vosk.session(rate=8000, language="en")
    hearing, stream, ask_at, texts = Hearing(session, 8000), silence(0.5, 8000), [], []
    for part in (BOOK, MORNING, "four four seven"):
        stream += spoken(part) + silence(0.35, 8000)
    for at in range(0, len(stream), BLOCK):
        for event in hearing.hear(stream[at : at + BLOCK]):
            if isinstance(event, SpeechStopped):
                ask_at.append(at + 3 * BLOCK)
            elif not texts and not ask_at:
                hearing.begin(1)
        if at in ask_at:
            texts.append((await hearing.transcribe(**soon(30))).text)
        await asyncio.sleep(0.001)
    assert texts[-1] == f"{BOOK} {MORNING} four four seven"
    assert len(texts) >= 3
    await hearing.close()
