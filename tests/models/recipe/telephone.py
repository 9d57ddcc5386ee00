"""A telephone between the voice and the ear: band, tilt, room, noise, babble, level and mu-law, all by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.signal import butter, resample_poly, sosfilt

from tests.models.recipe.mfcc import RATE
from tests.models.recipe.speaker import RATE as SPOKEN_RATE
from voicebridge.audio.g711 import MU

Signal = npt.NDArray[np.float64]

BAND, ROOM, DULL_NOISE, BABBLE, MU_LAW = 0.7, 0.3, 0.4, 0.15, 0.8
"""The share of all lines that have it."""
ROUGH_SNR_DB: Final = (5, 10, 15, 20, 25, 30, 40, 60)
GOOD_SNR_DB: Final = (15, 20, 30)
BABBLE_SNR_DB: Final = 12
NO_NOISE_DB: Final = 60
ROUGH_LEVEL_DB, GOOD_LEVEL_DB = (-36, -12), (-28, -16)
STRETCH: Final = (0.82, 1.2)


@dataclass(frozen=True)
class Line:
    """16-bit PCM at 8 kHz, and the speech before the noise (for another line to babble with)."""

    pcm: npt.NDArray[np.int16]
    speech: Signal


def through(spoken: Signal, chance: np.random.Generator, other: Signal | None, *, rough: bool) -> Line:
    """`spoken` (22 050 Hz, full scale 1) on a line by chance: for training a `rough` one, and at another speed.

    Being resampled to another speed, it also has another pitch and throat: more speakers than there are voices.
    """
    stretch = chance.uniform(*STRETCH) if rough else 1.0
    speech = resample_poly(spoken, 160, round(SPOKEN_RATE * 160 / RATE * stretch))
    if chance.random() < BAND:
        edges = [chance.uniform(150, 320), chance.uniform(3_300, 3_900)]
        speech = sosfilt(butter(2, edges, "bandpass", fs=RATE, output="sos"), speech)
    if rough:
        speech = speech + chance.uniform(-0.5, 0.4) * np.concatenate([[0.0], speech[:-1]])
        if chance.random() < ROOM:
            speech = _in_a_room(speech, chance)
    speech = _evened(speech)
    heard = speech + _noise(len(speech), chance, other, rough=rough)
    level = chance.uniform(*(ROUGH_LEVEL_DB if rough else GOOD_LEVEL_DB))
    scaled = np.clip(heard * 10 ** (level / 20), -1, 1) * 32_767
    pcm = np.round(scaled).astype("<i2")
    if chance.random() < MU_LAW:
        pcm = np.frombuffer(MU.decode(MU.encode(pcm.tobytes())), "<i2")
    return Line(pcm, speech)


def _evened(signal: Signal) -> Signal:
    """At a level of 1 (RMS)."""
    return np.asarray(signal / (np.sqrt((signal**2).mean()) + 1e-9))


def _in_a_room(speech: Signal, chance: np.random.Generator) -> Signal:
    length = int(RATE * chance.uniform(0.05, 0.2))
    echo = chance.standard_normal(length) * np.exp(-6 * np.arange(length) / length)
    echo[0] = chance.uniform(3, 8)
    return np.asarray(np.convolve(speech, _evened(echo) / np.sqrt(length))[: len(speech)])


def _noise(length: int, chance: np.random.Generator, other: Signal | None, *, rough: bool) -> Signal:
    snr = int(chance.choice(ROUGH_SNR_DB if rough else GOOD_SNR_DB))
    kind = chance.random()
    noise = chance.standard_normal(length)
    if kind < DULL_NOISE:
        noise = sosfilt(butter(1, chance.uniform(200, 1_500), "lowpass", fs=RATE, output="sos"), noise)
    elif kind < DULL_NOISE + BABBLE and other is not None:
        noise, snr = np.resize(other, length), max(snr, BABBLE_SNR_DB)
    if snr >= NO_NOISE_DB:
        return np.zeros(length)
    return _evened(noise) * 10 ** (-snr / 20)
