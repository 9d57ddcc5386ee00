"""How good the two models are, by the real libraries: `vosk` and `piper-tts` as they come from the package index."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import vosk
from piper import PiperVoice

from tests.models.recipe import corpus, sentences
from tests.models.recipe.mfcc import RATE
from tests.models.recipe.speaker import Speaker
from tests.models.recipe.voice import NAME
from tests.pbx.words import errors
from voicebridge.audio.g711 import MU
from voicebridge.audio.resample import resample_segment

BLOCK: Final = RATE // 5
HELD_BACK_COUNT, LOOP_COUNT = 400, 60
HELD_BACK_SEED, LOOP_SEED = 99, 4
"""Not those that training uses."""
LOOP_WORDS: Final = 4
"""A sentence of the loop has at least so many, so that no answer of one word makes up most of it."""


@dataclass(frozen=True)
class Score:
    """`wrong` of the `words` in `sentences`; the worst of them are listed."""

    sentences: int
    words: int
    wrong: int
    examples: tuple[str, ...]

    @property
    def rate(self) -> float:
        return self.wrong / self.words


def held_back(model: Path, *, babble: bool, count: int = HELD_BACK_COUNT) -> Score:
    """espeak's voices that training did not hear, on telephone lines. `babble` has words that are not theirs."""
    hear = listener(model)
    heard = corpus.held_back(Speaker(), count, HELD_BACK_SEED, babble=babble)
    return _score((one.text, hear(one.pcm.tobytes())) for one in heard if one.pcm is not None)


def loop(model: Path, voice: Path, count: int = LOOP_COUNT) -> Score:
    """The tiny Piper voice, 8 kHz, mu-law, the tiny Vosk model."""
    hear, say = listener(model), _talker(voice)
    return _score((text, hear(bytes(BLOCK) + say(text))) for text in loop_sentences(count))


def loop_sentences(count: int) -> list[str]:
    chance = random.Random(LOOP_SEED)
    made: list[str] = []
    while len(made) < count:
        text = sentences.asked(chance)
        if len(text.split()) >= LOOP_WORDS and text not in made:
            made.append(text)
    return made


def listener(model: Path) -> Callable[[bytes], str]:
    """From 8 kHz speech to what Vosk understands."""
    vosk.SetLogLevel(-1)
    loaded = vosk.Model(str(model))

    def hear(pcm: bytes) -> str:
        recogniser = vosk.KaldiRecognizer(loaded, RATE)
        parts = []
        for at in range(0, len(pcm), 2 * BLOCK):
            if recogniser.AcceptWaveform(pcm[at : at + 2 * BLOCK]):
                parts.append(recogniser.Result())
        parts.append(recogniser.FinalResult())
        return " ".join(json.loads(part)["text"] for part in parts).strip()

    return hear


def _talker(voice: Path) -> Callable[[str], bytes]:
    speaking = PiperVoice.load(voice / NAME)

    def say(text: str) -> bytes:
        chunks = [chunk.audio_int16_bytes for chunk in speaking.synthesize(text)]
        pcm = resample_segment(b"".join(chunks), speaking.config.sample_rate, RATE)
        return MU.decode(MU.encode(pcm))

    return say


def _score(pairs: Iterable[tuple[str, str]]) -> Score:
    rows: Sequence[tuple[int, str, str]] = [(errors(said.split(), heard.split()), said, heard) for said, heard in pairs]
    words = int(np.sum([len(said.split()) for _, said, _ in rows]))
    worst = sorted((row for row in rows if row[0]), reverse=True)[:10]
    return Score(
        len(rows), words, sum(wrong for wrong, *_ in rows), tuple(f"{said} -> {heard}" for _, said, heard in worst)
    )
