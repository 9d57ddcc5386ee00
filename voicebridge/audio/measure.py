"""Measuring speech offline, by energy: the project's definition of when somebody speaks.

A 10 ms window is voiced when its RMS lies above -40 dB relative to the loudest window of the same utterance (and above
an absolute floor, so that silence has no voice). The response gap of a turn is the time from the caller's last voiced
sample to the first voiced sample of the answer. Our own voice activity detector has no part in it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from voicebridge.audio.pcm import FULL_SCALE, samples

WINDOW_S = 0.010
BELOW_PEAK_DB = -40.0
FLOOR_DBFS = -60.0


def _voiced_windows(
    pcm: bytes | bytearray | memoryview, rate: int, below_peak_db: float, floor_dbfs: float
) -> tuple[npt.NDArray[np.bool_], int]:
    window = max(1, round(WINDOW_S * rate))
    data = samples(pcm).astype(np.float64) / FULL_SCALE
    count = -(-len(data) // window)
    if count == 0:
        return np.zeros(0, dtype=np.bool_), window
    padded = np.zeros(count * window)
    padded[: len(data)] = data
    rms = np.sqrt(np.mean(padded.reshape(count, window) ** 2, axis=1))
    threshold = max(rms.max() * 10 ** (below_peak_db / 20), 10 ** (floor_dbfs / 20))
    return rms > threshold, window


def voiced_spans(
    pcm: bytes | bytearray | memoryview,
    rate: int,
    *,
    join_s: float = 0.0,
    below_peak_db: float = BELOW_PEAK_DB,
    floor_dbfs: float = FLOOR_DBFS,
) -> list[tuple[int, int]]:
    """Stretches [first, end) in samples that are voiced; those less than `join_s` apart become one."""
    voiced, window = _voiced_windows(pcm, rate, below_peak_db, floor_dbfs)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], voiced, [False])).astype(np.int8)))
    spans: list[tuple[int, int]] = []
    total = len(pcm) // 2
    for first, end in zip(edges[::2] * window, edges[1::2] * window, strict=True):
        if spans and first - spans[-1][1] < join_s * rate:
            spans[-1] = (spans[-1][0], min(int(end), total))
        else:
            spans.append((int(first), min(int(end), total)))
    return spans


def first_voiced(pcm: bytes | bytearray | memoryview, rate: int) -> int | None:
    """The sample with which the voice begins, or None."""
    spans = voiced_spans(pcm, rate)
    return spans[0][0] if spans else None


def last_voiced(pcm: bytes | bytearray | memoryview, rate: int) -> int | None:
    """The last voiced sample of one utterance, or None."""
    spans = voiced_spans(pcm, rate)
    return spans[-1][1] - 1 if spans else None


def longest_silence(pcm: bytes | bytearray | memoryview, rate: int) -> float:
    """Seconds of the longest stretch without voice, the ends included."""
    total = len(pcm) // 2
    edges = [0]
    for first, end in voiced_spans(pcm, rate):
        edges += [first, end]
    edges.append(total)
    return max(edges[i + 1] - edges[i] for i in range(0, len(edges), 2)) / rate
