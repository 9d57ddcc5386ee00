"""Whisper's log-mel features, in numpy.

As `log_mel_spectrogram` of Whisper (Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision",
section 2.2) and `WhisperFeatureExtractor` of transformers define them: 16 kHz; windows of 25 ms (400 samples, periodic
Hann) every 10 ms, centred, with reflected edges, the last one left out; power; 80 triangular filters up to 8 kHz on
Slaney's mel scale, each of the same area; log10, at least 1e-10, at most 8 below the largest; then (x + 4) / 4.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

RATE = 16_000
WINDOW, HOP, MELS = 400, 160, 80
FLOOR, RANGE = 1e-10, 8.0
# Slaney's mel scale (Auditory Toolbox, 1998): linear up to 1 kHz, 200/3 Hz a mel, then 27 mels for a factor of 6.4.
HZ_A_MEL, BREAK_HZ = 200.0 / 3, 1000.0
BREAK_MEL, MELS_A_LOG = BREAK_HZ / HZ_A_MEL, 27 / np.log(6.4)

Floats = npt.NDArray[np.float32]


def log_mel(audio: Floats) -> Floats:
    """[n] samples of 16 kHz, full scale 1.0 -> [80, n // 160]; n is at least 201."""
    edges = np.pad(audio.astype(np.float64), WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(edges, WINDOW)[::HOP][: len(audio) // HOP]
    power = np.abs(np.fft.rfft(windows * _hann(), axis=1)) ** 2
    logs = np.log10(np.maximum(_filters() @ power.T, FLOOR))
    return np.asarray((np.maximum(logs, logs.max() - RANGE) + 4) / 4, np.float32)


@cache
def _hann() -> npt.NDArray[np.float64]:
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW))


@cache
def _filters() -> npt.NDArray[np.float64]:
    """[80, 201]: what each frequency of the spectrum adds to each band."""
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)
    corners = _hertz(np.linspace(_mel(0.0), _mel(RATE / 2), MELS + 2))
    low, middle, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.asarray(np.clip(np.minimum(rising, falling), 0.0, None) * 2 / (high - low))


def _mel(hertz: float) -> float:
    return float(hertz / HZ_A_MEL if hertz < BREAK_HZ else BREAK_MEL + np.log(hertz / BREAK_HZ) * MELS_A_LOG)


def _hertz(mels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(mels < BREAK_MEL, mels * HZ_A_MEL, BREAK_HZ * np.exp((mels - BREAK_MEL) / MELS_A_LOG))
