"""The ear of a call, on recorded speech: what goes to the recogniser, and what does not."""

from __future__ import annotations

import itertools
import wave
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from voicebridge.audio.measure import last_voiced, voiced_spans
from voicebridge.audio.pcm import silence
from voicebridge.audio.resample import resample_segment
from voicebridge.call.hearing import KEEP_S, PREROLL_S, STREAM_S, TAIL_S, Hearing
from voicebridge.conversation import events as ev
from voicebridge.engines.base import Transcript

SPEECH = sorted((Path(__file__).parents[1] / "audio/speech").glob("*.wav"))
RATES = (8_000, 16_000)


class Recogniser:
    """A session that keeps what it is given."""

    def __init__(self) -> None:
        self.utterance = 0
        self.fed = b""
        self.asked: list[tuple[float, float]] = []
        self.closed = False

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None:
        self.utterance, self.fed = utterance, b""

    def feed(self, pcm: bytes) -> None:
        assert pcm
        self.fed += pcm

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        self.asked.append((deadline, give_up))
        return Transcript(self.utterance, "words", len(self.fed) // 2, 0.0, 0.0)

    async def close(self) -> None:
        self.closed = True


@cache
def sentence(number: int, rate: int) -> bytes:
    with wave.open(str(SPEECH[number]), "rb") as wav:
        return resample_segment(wav.readframes(wav.getnframes()), wav.getframerate(), rate)


class Ear:
    """Hears a stream as a PBX sends it, and notes where on the stream the events lie (samples)."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.stt = Recogniser()
        self.hearing = Hearing(self.stt, rate)
        self.stream = b""
        self.told: list[tuple[str, int]] = []
        self.events: list[ev.SpeechStarted | ev.SpeechStopped] = []
        self._utterance = itertools.count(1)

    def hear(self, pcm: bytes, *, chunk_s: float = 0.02, utterances: int = 99) -> Ear:
        """The core opens an utterance when a voice begins, the first `utterances` times: short pauses begin none."""
        size = round(chunk_s * self.rate) * 2
        for at in range(0, len(pcm), size):
            part = pcm[at : at + size]
            self.stream += part
            for event in self.hearing.hear(part):
                position = len(self.stream) // 2 - round(event.ago * self.rate)
                self.told.append((type(event).__name__, position))
                self.events.append(event)
                if isinstance(event, ev.SpeechStarted) and self.stt.utterance < utterances:
                    self.hearing.begin(next(self._utterance))
        return self

    def slice(self, first: int, end: int) -> bytes:
        return self.stream[max(first, 0) * 2 : end * 2]


def near(samples: int, wanted: int, rate: int, seconds: float) -> bool:
    return abs(samples - wanted) <= seconds * rate


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("number", range(len(SPEECH)))
def test_the_events_lie_where_the_voice_does(rate, number):
    ear = Ear(rate).hear(silence(1, rate) + sentence(number, rate) + silence(1, rate))
    spans = voiced_spans(sentence(number, rate), rate)
    began, stopped = ear.told[0], ear.told[-1]
    assert began[0] == "SpeechStarted" and stopped[0] == "SpeechStopped"
    assert near(began[1], rate + spans[0][0], rate, 0.15)
    assert near(stopped[1], rate + last_voiced(sentence(number, rate), rate), rate, 0.05)
    assert all(event.ago >= 0 for event in ear.events)


@pytest.mark.parametrize("rate", RATES)
async def test_an_utterance_begins_with_the_pre_roll_and_ends_with_a_short_tail(rate):
    ear = Ear(rate).hear(silence(1, rate) + sentence(0, rate) + silence(2, rate), utterances=1)
    await ear.hearing.transcribe(deadline=1.0, give_up=2.0)
    first = ear.told[0][1] - int(PREROLL_S * rate)
    end = ear.told[-1][1] + int(TAIL_S * rate)
    assert ear.stt.fed == ear.slice(first, end)
    assert ear.stt.asked == [(1.0, 2.0)]


@pytest.mark.parametrize("rate", RATES)
def test_nothing_goes_to_the_recogniser_while_nobody_speaks(rate):
    ear = Ear(rate).hear(silence(6, rate))
    ear.hearing.flush()
    assert (ear.stt.fed, ear.told) == (b"", [])


def test_while_he_speaks_the_recogniser_has_everything_up_to_now():
    rate = 8_000
    ear = Ear(rate).hear(silence(0.5, rate) + sentence(0, rate)[: 2 * rate], utterances=1)
    ear.hearing.flush()
    assert ear.stt.fed == ear.slice(ear.told[0][1] - int(PREROLL_S * rate), len(ear.stream) // 2)
    before = len(ear.stt.fed)
    ear.hearing.flush()
    assert len(ear.stt.fed) == before, "nothing goes there twice"


@pytest.mark.parametrize("chunk_s", [0.02, 0.1, 0.37])
@pytest.mark.parametrize("pause_s", [0.15, 0.3, 1.2])
def test_a_pause_that_nobody_asked_about_loses_no_word(pause_s, chunk_s):
    rate = 8_000
    talk = sentence(0, rate) + silence(pause_s, rate) + sentence(1, rate)
    ear = Ear(rate).hear(silence(0.5, rate) + talk + silence(0.5, rate), chunk_s=chunk_s, utterances=1)
    ear.hearing.flush()
    assert len([name for name, _ in ear.told if name == "SpeechStarted"]) >= 2
    for first, end in voiced_spans(ear.stream, rate, join_s=0.1):
        if end - first > 0.1 * rate:
            middle = ear.slice(first + rate // 20, end - rate // 20)
            assert middle in ear.stt.fed, f"the voice at {first / rate:.2f} s did not come to the recogniser"


def test_of_a_long_pause_only_tail_and_pre_roll_are_fed():
    rate = 8_000
    talk = sentence(0, rate) + silence(5, rate) + sentence(1, rate)
    ear = Ear(rate).hear(silence(0.5, rate) + talk + silence(1, rate), utterances=1)
    ear.hearing.flush()
    speech_s = (len(sentence(0, rate)) + len(sentence(1, rate))) / 2 / rate
    assert len(ear.stt.fed) / 2 / rate < speech_s + 2 * (PREROLL_S + TAIL_S)


def test_a_new_utterance_has_none_of_the_one_before():
    rate = 8_000
    talk = sentence(0, rate) + silence(1.0, rate) + sentence(1, rate)
    ear = Ear(rate).hear(silence(0.5, rate) + talk + silence(1, rate))
    ear.hearing.flush()
    second = len(sentence(0, rate)) // 2 + round(1.5 * rate)
    start = ear.stream.index(ear.stt.fed[: rate // 10]) // 2
    assert start > second - rate


def test_a_voice_goes_to_the_recogniser_while_it_lasts():
    rate = 8_000
    ear = Ear(rate).hear(silence(0.5, rate) + sentence(1, rate)[: 2 * rate], utterances=1)
    behind = len(ear.stream) // 2 - (ear.told[0][1] - int(PREROLL_S * rate)) - len(ear.stt.fed) // 2
    assert ear.stt.fed and behind <= (STREAM_S + 0.04) * rate


def test_a_voice_whose_utterance_the_core_has_not_opened_is_kept_back():
    rate = 8_000
    ear = Ear(rate).hear(silence(0.5, rate) + sentence(1, rate)[: rate], utterances=0)
    assert (ear.told[0][0], ear.stt.fed) == ("SpeechStarted", b"")
    ear.hearing.begin(1)
    ear.hearing.flush()
    assert ear.stt.fed == ear.slice(ear.told[0][1] - int(PREROLL_S * rate), len(ear.stream) // 2)


def test_a_monologue_goes_to_the_recogniser_whole_and_the_past_is_forgotten():
    rate = 8_000
    talk = b"".join(sentence(number % len(SPEECH), rate) for number in range(12))
    ear = Ear(rate).hear(silence(0.5, rate) + talk, utterances=1)
    assert len(talk) / 2 / rate > 4 * KEEP_S
    assert len(ear.hearing._past) <= 2 * KEEP_S * rate * 2 + 320
    ear.hearing.flush()
    assert len(ear.stt.fed) > 0.8 * len(talk)


def test_how_long_he_spoke_is_told_with_the_end():
    rate = 8_000
    ear = Ear(rate).hear(silence(1, rate) + sentence(2, rate) + silence(1, rate))
    pairs = list(zip(ear.told[::2], ear.told[1::2], strict=True))
    for ((_, began), (_, stopped)), event in zip(pairs, ear.events[1::2], strict=True):
        assert event.voiced == pytest.approx((stopped - began) / rate, abs=0.001)
        assert event.voiced > 0


async def test_closing_frees_the_recogniser():
    ear = Ear(8_000)
    await ear.hearing.close()
    assert ear.stt.closed


# ---- what a judge of turns hears


@pytest.mark.parametrize("rate", RATES)
def test_what_was_said_of_the_utterance_is_kept_with_its_pauses(rate: int) -> None:
    ear = Ear(rate)
    ear.hearing = Hearing(ear.stt, rate, keep_s=8.0)
    ear.hear(silence(3.0, rate) + sentence(0, rate) + silence(0.3, rate), utterances=1)
    began = next(at for kind, at in ear.told if kind == "SpeechStarted")
    assert ear.hearing.said(8.0) == ear.stream[2 * (began - int(PREROLL_S * rate)) :]
    assert ear.hearing.said(0.5) == ear.stream[-rate:]


def test_of_a_long_utterance_the_last_seconds_are_kept() -> None:
    ear = Ear(8_000)
    ear.hearing = Hearing(ear.stt, 8_000, keep_s=8.0)
    ear.hear((sentence(0, 8_000) + silence(0.2, 8_000)) * 14, utterances=1)
    assert len(ear.stream) > 2 * 8_000 * 20
    assert ear.hearing.said(8.0) == ear.stream[-2 * 8_000 * 8 :]
