"""Raw audio: 16-bit little-endian mono PCM as bytes, and the few things done to it everywhere."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

FRAME_S: Final = 0.02
SAMPLE_BYTES: Final = 2
FULL_SCALE: Final = 32768.0

Samples = npt.NDArray[np.int16]


def frame_samples(rate: int) -> int:
    """Samples of a 20 ms frame."""
    return rate // 50


def frame_bytes(rate: int) -> int:
    return frame_samples(rate) * SAMPLE_BYTES


def samples(pcm: bytes | bytearray | memoryview) -> Samples:
    """A read-only view; a trailing odd byte is ignored."""
    return np.frombuffer(pcm, dtype="<i2", count=len(pcm) // SAMPLE_BYTES)


def silence(seconds: float, rate: int) -> bytes:
    return bytes(round(seconds * rate) * SAMPLE_BYTES)


def fade_out(pcm: bytes, rate: int, seconds: float = 0.005) -> bytes:
    """The beginning of `pcm` faded to nothing over `seconds`, then silence: a cut that does not click."""
    data = samples(pcm).astype(np.float32)
    length = min(len(data), max(1, round(seconds * rate)))
    data[:length] *= np.linspace(1.0, 0.0, length, dtype=np.float32)
    data[length:] = 0.0
    return data.astype("<i2").tobytes()
