"""Kaldi's MFCC, as mfcc.conf asks for them: 30 coefficients of 8 kHz speech each 10 ms, without dither and energy.

Constants and order of steps: Kaldi's feature-window, mel-computations and feature-mfcc (compute-mfcc-feats).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

RATE: Final = 8_000
WINDOW: Final = 200
HOP: Final = 80
FFT: Final = 256
BINS: Final = 30
COEFFICIENTS: Final = 30
LOW_HZ, HIGH_HZ = 60.0, 3_800.0
PREEMPHASIS: Final = 0.97
LIFTER: Final = 22
SMALLEST: Final = 1.1920929e-07
CONF: Final = f"""\
--sample-frequency={RATE}
--use-energy=false
--num-mel-bins={BINS}
--num-ceps={COEFFICIENTS}
--low-freq={LOW_HZ:.0f}
--high-freq={HIGH_HZ:.0f}
--dither=0
--allow-upsample=true
--allow-downsample=true
"""

Matrix = npt.NDArray[np.float64]


def mel(hertz: npt.ArrayLike) -> Matrix:
    return np.asarray(1127 * np.log(1 + np.asarray(hertz) / 700))


def _filters() -> Matrix:
    step = (mel(HIGH_HZ) - mel(LOW_HZ)) / (BINS + 1)
    at = mel(np.arange(FFT // 2) * RATE / FFT)
    left = mel(LOW_HZ) + np.arange(BINS)[:, None] * step
    rising, falling = (at - left) / step, (left + 2 * step - at) / step
    return np.maximum(0, np.minimum(rising, falling))


def _cosines() -> Matrix:
    made = np.cos(np.pi / BINS * (np.arange(BINS) + 0.5) * np.arange(COEFFICIENTS)[:, None])
    made *= np.sqrt(2 / BINS)
    made[0] = np.sqrt(1 / BINS)
    return np.asarray(made)


_POVEY: Final = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / (WINDOW - 1))) ** 0.85
_FILTERS: Final = _filters()
_COSINES: Final = _cosines() * (1 + LIFTER / 2 * np.sin(np.pi * np.arange(COEFFICIENTS) / LIFTER))[:, None]


def mfcc(pcm: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """A row for each 10 ms; the last starts a window's length before the end."""
    frames = np.lib.stride_tricks.sliding_window_view(pcm.astype(np.float64), WINDOW)[::HOP]
    frames = frames - frames.mean(1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], 1)
    power = np.abs(np.fft.rfft((frames - PREEMPHASIS * before) * _POVEY, FFT))[:, : FFT // 2] ** 2
    return np.asarray(np.log(np.maximum(power @ _FILTERS.T, SMALLEST)) @ _COSINES.T, np.float32)
