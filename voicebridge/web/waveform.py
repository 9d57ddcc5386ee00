"""How loud both sides of a recording are, for the picture behind the player: two paths, caller above, agent below."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

POINTS = 600
CHUNK_FRAMES = 1 << 20
CURVE = 0.6
"""Quiet speech is to be seen beside loud: amplitudes to this power."""


@dataclass(frozen=True, slots=True)
class Waveform:
    """`caller`, `agent`: peaks of equal parts of the call, 0 to 1."""

    seconds: float
    caller: tuple[float, ...]
    agent: tuple[float, ...]


def read(path: Path) -> Waveform | None:
    """Of a stereo 16-bit WAV; None where it is none, or empty. Blocking, a second for an hour of call."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, frames, rate = file.getnchannels(), file.getnframes(), file.getframerate()
            if channels != 2 or file.getsampwidth() != 2 or not frames:
                return None
            size = max(1, -(-frames // POINTS))
            per_chunk = max(1, CHUNK_FRAMES // size) * size
            peaks = [_peaks(data, size) for data in iter(lambda: file.readframes(per_chunk), b"")]
    except (OSError, EOFError, wave.Error):
        return None
    both = np.concatenate(peaks) / 32768.0
    curved = np.round(np.clip(both, 0.0, 1.0) ** CURVE, 3)
    return Waveform(frames / rate, tuple(curved[:, 0].tolist()), tuple(curved[:, 1].tolist()))


def _peaks(data: bytes, size: int) -> NDArray[np.float64]:
    whole = len(data) // 4 * 4
    samples = np.abs(np.frombuffer(data[:whole], dtype="<i2").reshape(-1, 2).astype(np.int32))
    starts = np.arange(0, len(samples), size)
    found: NDArray[np.float64] = np.maximum.reduceat(samples, starts, axis=0).astype(np.float64)
    return found


def path(peaks: tuple[float, ...], middle: float, height: float, width: float = 1000.0) -> str:
    """The `d` of a filled outline, mirrored on its middle line."""
    if not peaks:
        return ""
    step = width / len(peaks)
    upper = [f"{n * step:.1f} {middle - max(p * height, 0.6):.1f}" for n, p in enumerate(peaks)]
    lower = [f"{n * step:.1f} {middle + max(p * height, 0.6):.1f}" for n, p in reversed(list(enumerate(peaks)))]
    return f"M{' L'.join(upper + lower)}Z"
