"""Comparing waveforms."""

from __future__ import annotations

import numpy as np

from voicebridge.audio.pcm import samples


def loudest_hz(pcm: bytes, rate: int) -> float:
    """The frequency that holds the most energy."""
    spectrum = np.abs(np.fft.rfft(samples(pcm).astype(float)))
    return float(spectrum.argmax() * rate / (len(pcm) // 2))


def likeness(one: bytes, other: bytes) -> float:
    """The best correlation of `other` with any part of `one`, 1 for the same waveform however loud."""
    a, b = samples(one).astype(float), samples(other).astype(float)
    size = 1 << (len(a) + len(b)).bit_length()
    product = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)[: len(a)]
    at = int(product.argmax())
    piece = a[at : at + len(b)]
    return float(product[at] / (np.linalg.norm(piece) * np.linalg.norm(b[: len(piece)]) + 1e-9))
