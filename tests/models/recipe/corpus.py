"""Speech for the Vosk model: espeak's voices on telephone lines, with the time of every sound."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tests.models.recipe import sentences
from tests.models.recipe.mfcc import mfcc
from tests.models.recipe.speaker import RATE, Said, Speaker
from tests.models.recipe.telephone import through

ACCENTS: Final = (
    *["en-us"] * 5, "en", "en-gb-x-rp", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029",
)  # fmt: skip
VOICES: Final = (
    "m1 m2 m3 m5 m6 m8 f1 f2 f3 f5 Alex Alicia Andrea Andy Denis Diogo Henrique Hugo Jacky Lee Marco Mario Mike Nguyen"
    " anika announcer antonio aunty belinda benjamin boris caleb david ed edward grandma grandpa gustave iven iven3"
    " john klatt klatt2 klatt3 klatt4 klatt5 marcelo max michel miguel norbert pablo pedro quincy rob robert sandro"
    " shelby travis victor zac"
).split()
HELD_BACK: Final = "m4 m7 f4 Annie Michael Gene linda paul steph adam".split()
"""Voices that training never hears: the error rate is that of these."""

UNKNOWN: Final = "[unk]"
STRANGE: Final = "spn"
"""The one sound of which every unknown word is made."""
MARKS: Final = frozenset("ˈˌː̩ʔ̃͡ˑ")
SHORTEST: Final = 3_000
LINES_EACH: Final = 2
WITH_STRANGERS, STRANGER, PAUSED, NOTHING_SAID = 0.25, 0.35, 0.15, 0.03
JUMBLED, HELD_BACK_JUMBLED = 0.5, 0.3
RUSTLE: Final = 30
RUSTLE_EVERY: Final = 997


@dataclass(frozen=True, slots=True)
class Span:
    """A sound from sample to sample (8 kHz), in the word of that number; "" is a pause."""

    start: float
    end: float
    word: int
    sound: str


@dataclass(frozen=True)
class Utterance:
    """`pcm` is only kept of voices that are held back."""

    text: str
    features: npt.NDArray[np.float32]
    spans: tuple[Span, ...]
    samples: int
    pcm: npt.NDArray[np.int16] | None = None


def training(speaker: Speaker, count: int, seed: int) -> Iterator[Utterance]:
    """`count` sentences, each on two lines; a word in ten is a stranger, and now and then nobody speaks."""
    return _Recorder(speaker, seed, training=True).record(count)


def held_back(speaker: Speaker, count: int, seed: int, *, babble: bool) -> Iterator[Utterance]:
    """Voices that training never hears, on good lines; with `babble` somebody else is in the back of some."""
    return _Recorder(speaker, seed, training=False, babble=babble).record(count)


def plain(sound: str) -> str:
    """A sound without stress, length and such."""
    return "".join(sign for sign in unicodedata.normalize("NFC", sound) if sign not in MARKS)


def strangers(speaker: Speaker) -> list[str]:
    """Words to be unknown: none that sounds like a known one, as "ate" does like "eight"."""

    def sounds(word: str) -> tuple[str, ...]:
        return tuple(plain(sound.name) for sound in speaker.say(word).sounds if sound.name)

    speaker.choose("en-us", words_a_minute=150, pitch=50, pitch_range=50)
    known = {sounds(word) for word in sentences.VOCABULARY}
    return [word for word in sentences.strangers() if sounds(word) not in known]


class _Recorder:
    def __init__(self, speaker: Speaker, seed: int, *, training: bool, babble: bool = True) -> None:
        self.speaker, self.training, self.babble = speaker, training, babble
        self.seed, self.chance = seed, random.Random(seed)
        self.strangers = strangers(speaker) if training else []
        self.unknown = frozenset(self.strangers)

    def record(self, count: int) -> Iterator[Utterance]:
        made, other = 0, None
        while made < count:
            self._choose_voice()
            words = self._words()
            text = (", " if self.training and self.chance.random() < PAUSED else " ").join(words)
            said = self.speaker.say(text)
            spans = aligned(text, words, said)
            if spans is None:
                continue
            spoken = said.pcm / 32_768
            if self.training and self.chance.random() < NOTHING_SAID:
                words, spans, spoken = [], [], _rustle(len(spoken))
            lead, tail = self._silence(), self._silence()
            whole = np.concatenate([np.zeros(lead), spoken, np.zeros(tail)])
            for number in range(LINES_EACH if self.training else 1):
                # Chances of its own, as some voices of espeak are not quite so long each time.
                chance = np.random.default_rng([self.seed, made, number])
                line = through(whole, chance, other, rough=self.training)
                yield self._utterance(words, spans, lead, len(line.pcm) / len(whole), line.pcm)
            other, made = line.speech if self.babble else None, made + 1

    def _choose_voice(self) -> None:
        chance = self.chance
        voice = f"{chance.choice(ACCENTS)}+{chance.choice(VOICES if self.training else HELD_BACK)}"
        speed, pitch, pitch_range = chance.randint(110, 210), chance.randint(25, 75), chance.randint(20, 80)
        self.speaker.choose(voice, words_a_minute=speed, pitch=pitch, pitch_range=pitch_range)

    def _words(self) -> list[str]:
        chance = self.chance
        jumbled = chance.random() < (JUMBLED if self.training else HELD_BACK_JUMBLED)
        words = (sentences.jumbled(chance) if jumbled else sentences.asked(chance)).split()
        if self.training and chance.random() < WITH_STRANGERS:
            words = [chance.choice(self.strangers) if chance.random() < STRANGER else word for word in words]
        return words

    def _silence(self) -> int:
        most = (0.05, 0.5) if self.chance.random() < 0.75 else (0.5, 1.8)
        return int(RATE * self.chance.uniform(*most))

    def _utterance(
        self, words: Sequence[str], spans: Sequence[Span], lead: int, ratio: float, pcm: npt.NDArray[np.int16]
    ) -> Utterance:
        unknown = [word in self.unknown for word in words]
        moved = (
            Span(
                (span.start + lead) * ratio,
                (span.end + lead) * ratio,
                span.word,
                STRANGE if span.sound and unknown[span.word] else span.sound,
            )
            for span in spans
        )
        text = " ".join(UNKNOWN if strange else word for word, strange in zip(words, unknown, strict=True))
        return Utterance(text, mfcc(pcm), tuple(moved), len(pcm), None if self.training else pcm)


def _rustle(length: int) -> npt.NDArray[np.float64]:
    signal = np.zeros(length)
    signal[::RUSTLE_EVERY] = RUSTLE
    return signal


def aligned(text: str, words: Sequence[str], said: Said) -> list[Span] | None:
    """When each sound is, and in which word; None if espeak said some words as one or left one out."""
    if len(said.pcm) < SHORTEST:
        return None
    at, starts = 0, {}
    for number, word in enumerate(words):
        at = text.index(word, at)
        starts[at] = number
        at += len(word)
    word, found = -1, []
    for sound in said.sounds:
        if sound.name is None:
            word = starts.get(sound.position, -1)
        else:
            found.append((sound.sample, word, plain(sound.name)))
    voiced = [word for _, word, name in found if name]
    if set(voiced) != set(range(len(words))):
        return None
    ends = [sample for sample, *_ in found[1:]] + [len(said.pcm)]
    return [Span(start, end, word, name) for (start, word, name), end in zip(found, ends, strict=True)]
