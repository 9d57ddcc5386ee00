"""Comparing waveforms."""

from __future__ import annotations

import numpy as np

from voicebridge.audio.pcm import samples

ALIKE = 0.5
"""By pieces: the same prompt has 1.0, on a machine that has no time 0.6; another one of the bench's 0.3 at most."""


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


def likeness_by_pieces(one: bytes, other: bytes, rate: int, *, piece_s: float = 0.4) -> float:
    """The median likeness of the voiced pieces of `other` with any part of `one`: a frame too many or too few, as a
    busy machine brings them into a bridge, costs one piece and not all of it."""
    size = round(piece_s * rate)
    data = samples(other).astype(float)
    pieces = [data[at : at + size] for at in range(0, len(data) - size + 1, size // 2)]
    loudest = max(float(np.sqrt(np.mean(part * part))) for part in pieces)
    voiced = [part for part in pieces if float(np.sqrt(np.mean(part * part))) > 0.25 * loudest]
    return float(np.median([likeness(one, part.astype("<i2").tobytes()) for part in voiced]))
