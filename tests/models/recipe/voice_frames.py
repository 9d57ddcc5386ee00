"""What the Piper voice learns from: espeak speaking on one note, cut into 5 ms frames of loudness and voicing."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP
from scipy.signal import resample_poly

from tests.models.recipe import sentences
from tests.models.recipe.mfcc import mel
from tests.models.recipe.speaker import RATE as SPOKEN_RATE
from tests.models.recipe.speaker import Said, Sound, Speaker

RATE: Final = 16_000
HOP: Final = 80
FFT: Final = 512
BANDS: Final = 32
VOICING_EDGES_HZ: Final = (0, 1_000, 2_500, 4_500, 8_000)
BEGIN, END, BLANK, PAUSE = "^", "$", " ", ","
IDS: Final[dict[str, int]] = {sign: ids[0] for sign, ids in DEFAULT_PHONEME_ID_MAP.items() if len(sign) == 1}
MODIFIERS: Final = frozenset("ˈˌːʲ")
"""Signs that take no time of their own; combining ones take none either."""
WORDS_A_MINUTE: Final = 150
SHORTEST: Final = 4_000
SHORTEST_PAUSE: Final = 5
"""In frames. A shorter one belongs to the sound before."""
MOST_SALAD: Final = 9
EDGE: Final = 600

Matrix = npt.NDArray[np.float32]
Signal = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """`frames`: how long each of the `ids` is. `levels` (log amplitude) and `voicing` (0 to 1) of each frame."""

    ids: npt.NDArray[np.int64]
    frames: Matrix
    levels: Matrix
    voicing: Matrix


def texts(count: int, seed: int) -> list[str]:
    """All our sentences; of what is left two parts of three their words in no order, one what callers ask."""
    chance = random.Random(seed)
    made = sentences.general()
    words = sorted({*sentences.strangers(), *sentences.VOCABULARY})
    while len(made) < count:
        salad = len(made) % 3 < 2
        made.append(sentences.jumbled(chance, words, MOST_SALAD) if salad else sentences.asked(chance))
    return made


def examples(speaker: Speaker, spoken: Sequence[str]) -> Iterator[Example]:
    """Of each text; those with sounds that Piper has no sign for are left out."""
    speaker.choose("en-us", words_a_minute=WORDS_A_MINUTE, pitch=50, pitch_range=0)
    analyst = Analyst(_pitch(_resampled(speaker.say("aaaaaaa"))))
    for text in spoken:
        said = speaker.say(text)
        if len(said.pcm) >= SHORTEST and (made := analyst.example(said)) is not None:
            yield made


def band_weights() -> Signal:
    """[BANDS, bins of the spectrum]: triangles on the mel scale that add up to one everywhere."""
    middles = np.linspace(0, mel(RATE / 2), BANDS)
    bins = mel(np.arange(FFT // 2 + 1) * RATE / FFT)
    return np.maximum(0, 1 - np.abs(bins - middles[:, None]) / middles[1])


def _resampled(said: Said) -> Signal:
    return np.asarray(resample_poly(said.pcm / 32_768, 320, SPOKEN_RATE * 320 // RATE))


def _pitch(vowel: Signal) -> float:
    """In Hz, of a vowel that is held."""
    middle = len(vowel) // 2
    piece = vowel[middle - 2_000 : middle + 2_000]
    piece = piece - piece.mean()
    likeness = np.correlate(piece, piece, "full")[len(piece) - 1 :]
    return float(RATE / (100 + np.argmax(likeness[100:260])))


class Analyst:
    """Looks at speech whose pitch is known: windows of two periods for loudness, of four to tell tone from noise."""

    def __init__(self, pitch: float) -> None:
        period = RATE / pitch
        self._two = np.hanning(int(2 * period) + 1)[: int(2 * period)]
        self._four = np.hanning(round(4 * period) + 1)[: round(4 * period)]
        weights = band_weights()
        self._bands = weights / weights.sum(1, keepdims=True)
        harmonics = np.arange(1, (len(self._four) // 2 + 1) // 4 - 1)
        self._at = 4 * harmonics
        hertz = harmonics * pitch
        edges = zip(VOICING_EDGES_HZ, VOICING_EDGES_HZ[1:], strict=False)
        self._zones = np.stack([(hertz >= low) & (hertz < high) for low, high in edges], 1).astype(float)

    def example(self, said: Said) -> Example | None:
        speech = _resampled(said)
        count = len(speech) // HOP + 1
        timed = symbols(said.sounds, len(said.pcm), count)
        if timed is None:
            return None
        ids = np.array([IDS[sign] for sign, _ in timed])
        frames = np.array([length for _, length in timed], np.float32)
        padded = np.pad(speech, EDGE)
        return Example(ids, frames, self._levels(padded, count), self._voicing(padded, count))

    def _levels(self, padded: Signal, count: int) -> Matrix:
        power = np.abs(np.fft.rfft(_windows(padded, count, self._two), FFT)) ** 2 / (self._two**2).sum()
        return np.asarray(0.5 * np.log(power @ self._bands.T + 1e-10), np.float32)

    def _voicing(self, padded: Signal, count: int) -> Matrix:
        """Of four zones: the share of the harmonics' power that is not also found between them."""
        power = np.abs(np.fft.rfft(_windows(padded, count, self._four))) ** 2
        tone = power[:, self._at]
        between = 0.5 * (power[:, self._at + 2] + power[:, self._at - 2]) + 1e-9
        voiced = np.clip(1 - between / (tone + 1e-9), 0, 1) * tone
        return np.asarray((voiced @ self._zones) / (tone @ self._zones + 1e-9), np.float32)


def _windows(padded: Signal, count: int, window: Signal) -> Signal:
    views = np.lib.stride_tricks.sliding_window_view(padded, len(window))
    return np.asarray(views[np.arange(count) * HOP + EDGE - len(window) // 2] * window)


def symbols(sounds: Sequence[Sound], samples: int, frames: int) -> list[tuple[str, float]] | None:
    """Piper's signs, each with its length in frames; None if one is not among Piper's.

    A blank between words has no length: espeak tells of a word before the word's first sound begins.
    """
    voiced = [sound for sound in sounds if sound.name is not None]
    ends = iter([sound.sample for sound in voiced[1:]] + [samples])
    made: list[list[str | float]] = [[BEGIN, 0.0]]
    owner, number, first = made[0], 0, True
    for sound in sounds:
        if sound.name is None:
            if not first:
                made.append([BLANK, 0.0])
            first = False
            continue
        number += 1
        length = (next(ends) - sound.sample) / SPOKEN_RATE * RATE / HOP
        signs = unicodedata.normalize("NFD", sound.name)
        if not set(signs) <= IDS.keys():
            return None
        if not signs and number > len(voiced) - 2:
            continue  # the silence at the end is the end sign's
        if not signs and length >= SHORTEST_PAUSE:
            signs = PAUSE
        lasting = [sign for sign in signs if sign not in MODIFIERS and not unicodedata.combining(sign)]
        if not lasting:
            owner[1] += length
            continue
        for sign in signs:
            made.append([sign, length / len(lasting) if sign in lasting else 0.0])
            owner = made[-1] if sign in lasting else owner
    made.append([END, max(0.0, frames - sum(length for _, length in made))])
    return [(sign, length) for sign, length in made] if len(made) > 4 else None
