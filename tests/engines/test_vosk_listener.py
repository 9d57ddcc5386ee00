"""Utterances in Vosk itself, in this process: long ones, cut ones, and which of two recognisers is believed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soxr

from voicebridge.engines import espeak
from voicebridge.engines.base import HeardWord, Voice
from voicebridge.engines.vosk import VoskModels, known_phrases, look_at
from voicebridge.engines.vosk_listener import (
    IDLE_S,
    LONGEST_S,
    SEAL_S,
    UNKNOWN,
    Ended,
    Run,
    VoskListener,
    is_asked_for,
)

pytest.importorskip("vosk")

MODEL = Path(__file__).parents[1] / "models/vosk-tiny-en"
SENTENCES = (
    "i want to speak to a person", "two thirty", "on monday morning", "what are your opening hours",
    "i need help with my order", "four four seven",
)
PAUSE = bytes(2 * 8000 * 4 // 10)


@pytest.fixture(scope="module")
def models() -> VoskModels:
    return VoskModels({"en": look_at(MODEL)})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spoken() -> list[bytes]:
    voice = espeak.ENGINE.create({"nice": 0})
    await voice.start()
    made = [await voice.synthesize(text, voice=Voice(), deadline=1e9, give_up=1e9) for text in SENTENCES]
    await voice.stop()
    return [soxr.resample(np.frombuffer(each.pcm, "<i2"), each.rate, 8000).astype("<i2").tobytes() for each in made]


def listener(models: VoskModels, phrases: Sequence[str] = ()) -> VoskListener:
    made = models.listener(8000, "en", phrases)
    assert isinstance(made, VoskListener)
    return made


def hear(listener: VoskListener, pcm: bytes, *, ending: bool) -> int:
    """How often it was advanced."""
    steps = 0
    for at in range(0, len(pcm), 1600):
        listener.feed(pcm[at : at + 1600])
        while listener.advance(ending=False):
            steps += 1
    while ending and listener.advance(ending=True):
        steps += 1
    return steps


def test_of_a_long_utterance_only_the_last_part_is_heard_again(models: VoskModels, spoken: list[bytes]) -> None:
    """Asked for its end at every pause, as calls do."""
    ear, said = listener(models), []
    for number in range(18):
        said.append(SENTENCES[number % len(SENTENCES)])
        steps = hear(ear, spoken[number % len(SENTENCES)] + PAUSE, ending=True)
        kept_s = len(ear._pcm) / 16_000
        assert kept_s < SEAL_S + 12
        assert steps < (kept_s + 12) * 10
    told = ear.final()
    assert told.text == " ".join(said)
    assert all(before.end <= after.start + 0.05 for before, after in zip(told.words, told.words[1:], strict=False))
    assert told.words[-1].end > 25, "times count from the utterance's first sample"


def test_who_never_pauses_is_cut_between_words(models: VoskModels, spoken: list[bytes]) -> None:
    ear, said = listener(models), []
    for number in range(24):
        said.append(SENTENCES[number % len(SENTENCES)])
        hear(ear, spoken[number % len(SENTENCES)], ending=False)
        assert len(ear._pcm) / 16_000 <= LONGEST_S + 3
    hear(ear, b"", ending=True)
    expected, got = " ".join(said).split(), ear.final().text.split()
    assert abs(len(got) - len(expected)) <= 4
    right = sum(a == b for a, b in zip(expected[:20], got[:20], strict=True))
    assert right >= 17


@pytest.mark.parametrize("phrases", [(), ("two thirty", "yes")])
@pytest.mark.parametrize("loud", [0, 50])
def test_silence_and_noise_are_cut_short_and_no_word_is_lost_by_it(
    models: VoskModels, spoken: list[bytes], loud: int, phrases: tuple[str, ...]
) -> None:
    """Vosk's decoder takes ever longer over what has no words: 60 s would take minutes."""
    rng = np.random.default_rng(1)
    ear, nothing = listener(models, phrases), rng.integers(-loud, loud + 1, 8_000).astype("<i2").tobytes()
    for _ in range(14):
        hear(ear, nothing, ending=False)
        assert len(ear._pcm) / 16_000 <= IDLE_S + 1.5
    hear(ear, spoken[1], ending=False)
    for _ in range(9):
        hear(ear, nothing, ending=False)
    hear(ear, spoken[1] + PAUSE, ending=True)
    told = ear.final()
    assert told.text == "two thirty two thirty"
    assert told.words[0].start >= 13.9 and told.words[2].start >= 23, "times count from the utterance's first sample"


def test_what_is_told_again_at_once_is_cut_as_if_it_came_bit_by_bit(models: VoskModels, spoken: list[bytes]) -> None:
    ear = listener(models, ("two thirty",))
    ear.feed(bytes(16_000 * 12) + spoken[1] + PAUSE)
    while ear.advance(ending=True):
        heard_s = (ear._runs[-1].at - ear._from) / 16_000
        assert heard_s <= IDLE_S + 2
    assert ear.final().text == "two thirty"


def test_nothing_said_is_nothing(models: VoskModels) -> None:
    for phrases in ((), ("yes", "no")):
        ear = listener(models, phrases)
        hear(ear, bytes(16_000), ending=True)
        assert ear.final().text == ear.look().text == ""
    ear = listener(models)
    while ear.advance(ending=True):
        pass
    assert ear.final().words == ()


def test_phrases_hold_only_words_that_the_model_knows(models: VoskModels) -> None:
    model = models._model(models._folders["en"])
    asked = ("Yes", "no  thank you", "bananas", "no bananas", "", "yes")
    assert known_phrases(model, asked) == ("yes", "no thank you")
    assert known_phrases(model, ("bananas",)) == ()
    assert known_phrases(model, ("<eps>", "yes #0", "!sil", "[unk]", "yes")) == ("yes",)


# ---- which of two is believed


def ended(text: str, score: float = 0.0, each_s: float = 0.4) -> Ended:
    words = text.split()
    return Ended(tuple(HeardWord(w, n * each_s, (n + 1) * each_s, 1.0) for n, w in enumerate(words)), score)


@pytest.mark.parametrize(
    ("phrases", "free", "believed"),
    [
        (ended("four four oh", 50), ended("for for oh", 53), True),
        (ended("four four oh", 50), ended("can i ask", 90), False),
        (ended("four four oh", 50), ended("four oh oh", 90), True),  # all of it was asked for
        (ended("four [unk] oh", 50), ended("for the oh", 51), False),
        (ended("four [unk]", 50), ended("", 51), True),
        (ended("", 50), ended("hello", 51), False),
        (ended("", 50), ended("", 51), False),
        (ended("[unk] four", 50, 0.1), ended("for", 50.5), True),  # a breath, and the digit
        (ended("four", 50), ended("", 52), True),
    ],
)
def test_what_was_asked_for_is_believed_unless_all_words_fit_much_better(
    phrases: Ended, free: Ended, believed: bool
) -> None:
    assert is_asked_for(phrases, free, ["four four", "oh"], 9.0) is believed


# ---- rates


class Counting:
    """A recogniser that only notes what it gets."""

    def __init__(self) -> None:
        self.samples = 0

    def AcceptWaveform(self, data: bytes) -> int:  # noqa: N802
        self.samples += len(data) // 2
        return 0

    def PartialResult(self) -> str:  # noqa: N802
        return json.dumps({"partial": "so far"})

    def FinalResult(self) -> str:  # noqa: N802
        return json.dumps({"text": UNKNOWN, "result": [{"word": UNKNOWN, "start": 0.5, "end": 0.9, "conf": 1.00001}]})


@pytest.mark.parametrize(("rate", "model_rate"), [(8000, 16_000), (16_000, 8000), (8000, 8000)])
def test_every_sample_comes_to_the_model_at_its_own_rate(rate: int, model_rate: int) -> None:
    recogniser = Counting()
    run = Run(recogniser, 2 * rate, rate, model_rate)
    for _ in range(30):
        run.hear(bytes(rate // 5))
    assert run.look() == "so far"
    assert run.end().words == (HeardWord(UNKNOWN, 1.5, 1.9, 1.0),), "behind the second before"
    assert recogniser.samples == pytest.approx(3 * model_rate, abs=16)
    assert run.at == 2 * rate + 30 * (rate // 5)
    assert run.look() == UNKNOWN
