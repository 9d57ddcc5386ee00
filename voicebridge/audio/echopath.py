"""Finding our own voice in what a call brings back: how late it comes, whatever was done to it on the way.

What came in during the last 128 ms is correlated with all that we sent during the last second, block by block, the
spectra whitened by their own power (the smoothed coherence transform, Carter, Nuttall and Cable 1973, "The smoothed
coherence transform"): a loud vowel counts no more than a quiet consonant, and a filter, a gain and a handful of
reflections leave one sharp peak at the delay. Blocks are added up before the peak is looked for: what two voices have
in common by chance lies elsewhere in every block.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

RATE: Final = 8_000
"""All analysis of echoes is done at this rate."""
LONGEST_S: Final = 0.8
"""Delays are looked for up to here."""
SURE: Final = 13.0
"""The peak over the root mean square of all lags; other voices reached 11 at most (`bench.speakerphone`)."""
AGAIN: Final = 11.0
"""Enough for a path that is known already."""
BLOCK: Final = 1_024
HOP: Final = 480

_SIZE: Final = 8_192
_KEEP: Final = 0.88
"""Of a block's weight when the next one comes, 60 ms later: half a second of memory."""
_LEAST: Final = 4
_SAME: Final = 16
"""Lags that differ by no more (2 ms) are the same."""

Floats = npt.NDArray[np.float32]


class PathFinder:
    """One call's. `lag` is the delay in samples at RATE; whoever uses it sets it, once he believes a candidate."""

    def __init__(self) -> None:
        self.lag: int | None = None
        self.peak = 0.0
        """How far the highest peak of the last block stood out."""
        self._window = np.hanning(BLOCK).astype(np.float32)
        frequencies = np.fft.rfftfreq(_SIZE, 1 / RATE)
        self._band = ((frequencies > 250) & (frequencies < 3_500)).astype(np.float32)
        self.forget()

    def forget(self) -> None:
        """What was added up belongs to a line that is no more."""
        bins = _SIZE // 2 + 1
        self._cross = np.zeros(bins, np.complex128)
        self._ours = np.zeros(bins)
        self._theirs = np.zeros(bins)
        self._blocks = 0
        self._last = -1

    def add(self, sent: Floats, came: Floats) -> int | None:
        """A block: the last BLOCK samples that came and the `reach` samples sent up to the same moment.

        Gives the lag that stands out by now, for two blocks in a row or where it was before; None where none does.
        """
        ours = np.fft.rfft(sent, _SIZE)
        padded = np.zeros(_SIZE, np.float32)
        padded[-BLOCK:] = came * self._window
        theirs = np.fft.rfft(padded)
        self._cross = _KEEP * self._cross + np.conj(ours) * theirs
        self._ours = _KEEP * self._ours + ours.real**2 + ours.imag**2
        self._theirs = _KEEP * self._theirs + theirs.real**2 + theirs.imag**2
        self._blocks += 1
        return self._look() if self._blocks >= _LEAST else None

    @staticmethod
    def reach() -> int:
        return _SIZE

    def _look(self) -> int | None:
        white = self._cross * (self._band / np.sqrt(self._ours * self._theirs + 1e-9))
        lags = np.abs(np.fft.irfft(white)[: round(LONGEST_S * RATE)])
        at = int(lags.argmax())
        self.peak = float(lags[at] / np.sqrt(np.mean(lags * lags)))
        near = self._last >= 0 and abs(at - self._last) <= _SAME
        known = self.lag is not None and abs(at - self.lag) <= _SAME
        self._last = at
        return at if (near and self.peak >= SURE) or (known and self.peak >= AGAIN) else None
