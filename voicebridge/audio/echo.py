"""The echo guard: what comes in while we speak may be ourselves, by way of the caller's loudspeaker and microphone.

`EchoGuard` is told what was sent and what came. Once the echo's delay is known (`echopath`), each frame that came
is compared with what was sent so much earlier: in 16 bands, power with power, by a gain for each band that is learned
while we hear nothing but ourselves. A frame that the echo explains is nobody's; any other passes as it is, so that a
caller who speaks over us is heard. Nothing is held back or altered before an echo was found.

Powers rather than samples: a telephone's own echo canceller, a loudspeaker that clips and two codecs leave of a linear
echo path just enough to find the delay by, and not enough to subtract anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from voicebridge.audio.echopath import BLOCK, HOP, RATE, Floats, PathFinder
from voicebridge.audio.pcm import frame_samples, samples

FRAME: Final = frame_samples(RATE)
MARGIN: Final = 4.0
"""Up to so many times the power expected of our echo is taken to be it."""
UNEXPLAINED: Final = 0.25
"""More of a frame's power than this beyond the echo: somebody speaks."""
SPEAKS_AFTER: Final = 2
"""So many such frames in a row, and it is somebody."""
QUIET_AFTER: Final = 10
"""So many frames in a row that the echo explains, and nobody speaks any more."""
FADES: Final = 0.5
"""What is left of an echo's power in a room after 20 ms: 60 dB in 0.4 s."""
SILENT_RMS: Final = 12.0
"""Below this nothing is looked at."""
RESYNC: Final = 8
"""Frames by which what comes may run ahead of the clock or behind it (jitter) before its place is set anew."""
REPLAY_S: Final = 1.0
"""So far back frames are judged again when the echo has been found."""

_WINDOW: Final = 320
_FFT: Final = 512
_HISTORY: Final = 16_384
_BANDS: Final = 16
QUIETEST: Final = 5e4
"""The power of a band in noise of about SILENT_RMS."""
SPREAD_DB: Final = 4.5
"""A delay is believed where the bands' levels that came follow those that were sent within so much (median deviation):
2 to 4 dB with echoes, 6 dB and more with other voices (`bench.speakerphone`)."""
DECIBELS: Final = 10 / np.log(10)
SELDOM: Final = 5
"""A path that explains what comes is looked for again only every so many blocks."""
_MEMORY: Final = 0.98
"""Of what was learned of the gains, with each frame."""
_Powers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Echo:
    """What is known of the path: `delay_s` from our sending to its coming back, `gain_db` of the whole band."""

    delay_s: float
    gain_db: float


class _Track:
    """The last seconds of a stream, addressed by sample number."""

    def __init__(self) -> None:
        self._data = np.zeros(2 * _HISTORY, np.float32)
        self._first = -_HISTORY  # number of the first sample kept
        self.end = 0

    def add(self, data: Floats) -> None:
        at = self.end - self._first
        if at + len(data) > len(self._data):
            kept = self._data[at - _HISTORY : at].copy()
            self._data[:_HISTORY] = kept
            self._first = self.end - _HISTORY
            at = _HISTORY
        self._data[at : at + len(data)] = data
        self.end += len(data)

    def until(self, end: int, length: int) -> Floats:
        """The `length` samples before number `end`; zeros where there are none (any more, or yet)."""
        begin, stop = end - length - self._first, end - self._first
        limit = self.end - self._first
        if begin >= 0 and stop <= limit:
            return self._data[begin:stop]
        made = np.zeros(length, np.float32)
        low, high = max(begin, 0), min(stop, limit)
        if high > low:
            made[low - begin : high - begin] = self._data[low:high]
        return made


class EchoGuard:
    """One call's, 8 or 16 kHz. Not thread-safe."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._finder = PathFinder()
        self._sent = _Track()
        self._came = _Track()
        self._shift = 0  # number of a sample sent, less that of the sample which came at the same time
        self._window = np.hanning(_WINDOW).astype(np.float32)
        bins = np.fft.rfftfreq(_FFT, 1 / RATE)
        self._edges = np.unique(np.searchsorted(bins, np.geomspace(250, 3_500, _BANDS + 1)))
        self._gain: _Powers | None = None
        self._came_mean = self._sent_mean = np.zeros(len(self._edges) - 1)
        self._loudest = 0.0
        self._noise = np.full(len(self._edges) - 1, QUIETEST)
        self._expected = np.zeros(len(self._edges) - 1)
        self._since_block = 0
        self._speaks = 0
        self._quiet = 0
        self._somebody = False
        self._loud_until = -_HISTORY  # number of the last sample sent that was loud
        self.was_echo: list[bool] = []
        """When the echo has just been found: of the last frames, whether they were it (oldest first)."""

    @property
    def echo(self) -> Echo | None:
        """The path, once it is found."""
        if self._finder.lag is None or self._gain is None:
            return None
        return Echo(self._finder.lag / RATE, float(10 * np.log10(self._gain.mean() + 1e-9)))

    @property
    def somebody(self) -> bool:
        """Whether somebody speaks over us, as far as the last frame tells."""
        return self._somebody

    def played(self, pcm: bytes) -> None:
        """A frame of 20 ms that was sent."""
        data = self._analysed(pcm)
        self._sent.add(data)
        if float(np.abs(data).max(initial=0.0)) > 2 * SILENT_RMS:
            self._loud_until = self._sent.end

    def heard(self, pcm: bytes) -> bool:
        """A frame that came: True when it is a sound, and nothing but our echo. Sets `was_echo`."""
        data = self._analysed(pcm)
        self._came.add(data)
        self._align()
        self.was_echo = []
        if self._sent.end - self._loud_until > _HISTORY // 2:
            self._expected[:] = 0
            self._somebody = False
            return False  # nothing was sent that could come back
        if float(np.sqrt(np.mean(data * data))) < SILENT_RMS:
            self._since_block = min(self._since_block + len(data), SELDOM * HOP)
            if self._finder.lag is not None:
                self._judge(self._came.end, quiet=True)
            return False
        if self._search(len(data)):
            self._replay()
        return self._finder.lag is not None and not self._judge(self._came.end)

    def _analysed(self, pcm: bytes) -> Floats:
        data = samples(pcm).astype(np.float32)
        if self._rate == RATE:
            return data
        return np.asarray((data[: len(data) & ~1 : 2] + data[1::2]) / 2, np.float32)

    def _align(self) -> None:
        """Both streams run at 20 ms a frame; where one of them stopped for a while, their places are set anew."""
        ahead = self._came.end + self._shift - self._sent.end
        if abs(ahead) > RESYNC * FRAME:
            self._shift = self._sent.end - self._came.end
            self._finder.forget()

    # ---- finding the path

    def _search(self, length: int) -> bool:
        self._since_block += length
        known = self._finder.lag is not None and not self._somebody
        if self._since_block < (SELDOM * HOP if known else HOP):
            return False
        self._since_block = 0
        here = self._came.end + self._shift
        sent, came = self._sent.until(here, self._finder.reach()), self._came.until(self._came.end, BLOCK)
        before, lag = self._finder.lag, self._finder.add(sent, came)
        if lag is None:
            return False
        if before is not None and abs(before - lag) <= FRAME // 2:
            self._finder.lag = lag
            return False
        if not self._alike(lag):
            return False
        self._finder.lag = lag
        return True

    def _alike(self, lag: int) -> bool:
        """Whether what came rises and falls like what was sent so much earlier, band by band, over the last second."""
        ends = [end for end in self._ends() if self._rms(end) >= SILENT_RMS]
        came = np.log(np.array([self._powers(self._came, end) for end in ends]) + QUIETEST / 100)
        sent = np.log(np.array([self._ours(end, lag) for end in ends]) + QUIETEST / 100)
        above = came - sent
        above -= np.median(above, axis=0)
        return bool(DECIBELS * np.median(np.abs(above)) <= SPREAD_DB)

    def _rms(self, end: int) -> float:
        data = self._came.until(end, FRAME)
        return float(np.sqrt(np.mean(data * data)))

    def _ends(self) -> list[int]:
        """Where the frames of the last second ended that were judged before this one."""
        return [self._came.end - FRAME * back for back in range(round(REPLAY_S * RATE) // FRAME, 0, -1)]

    def _replay(self) -> None:
        """The path is known: learn its gains from the last second, and judge that again."""
        ends, lag = self._ends(), self._finder.lag or 0
        pairs = [(self._powers(self._came, end), self._ours(end, lag)) for end in ends]
        came, sent = (np.array(rows) for rows in zip(*pairs, strict=True))
        self._loudest = float(sent.sum(axis=1).max())
        loud = sent > 0.05 * sent.max(axis=0)  # in each band the frames that tell something of it
        ratio = np.where(loud, came / (sent + 1.0), np.nan)
        self._gain = np.nanmedian(ratio, axis=0)
        self._sent_mean = sent.mean(axis=0)
        self._came_mean = self._gain * self._sent_mean
        self._expected[:] = 0
        self._somebody, self._speaks, self._quiet = False, 0, QUIET_AFTER
        self.was_echo = [not self._judge(end, learn=False, quiet=self._rms(end) < SILENT_RMS) for end in ends]

    # ---- judging a frame

    def _powers(self, track: _Track, end: int) -> _Powers:
        spectrum = np.fft.rfft(track.until(end, _WINDOW) * self._window, _FFT)
        power = spectrum.real**2 + spectrum.imag**2
        return np.asarray(np.add.reduceat(power, self._edges[:-1])[: len(self._edges) - 1], np.float64)

    def _ours(self, end: int, lag: int) -> _Powers:
        """What was sent, as it would have come at `end`; jitter moves it by up to 10 ms."""
        at = end + self._shift - lag
        return np.maximum(self._powers(self._sent, at - FRAME // 2), self._powers(self._sent, at + FRAME // 2))

    def _judge(self, end: int, *, learn: bool = True, quiet: bool = False) -> bool:
        """Whether somebody speaks in the frame that ends at `end`; nobody does in one that is `quiet`."""
        came, sent = self._powers(self._came, end), self._ours(end, self._finder.lag or 0)
        assert self._gain is not None
        self._expected = np.maximum(self._gain * sent, FADES * self._expected)
        total = float(came.sum())
        beyond = np.maximum(came - MARGIN * self._expected - 3 * self._noise, 0.0)
        explained = quiet or float(beyond.sum()) <= UNEXPLAINED * total
        nothing_of_ours = float(self._expected.sum()) < 0.003 * total
        if nothing_of_ours:
            self._noise = np.maximum(np.minimum(0.7 * self._noise + 0.3 * came, 1.05 * self._noise), QUIETEST / 100)
        if learn and explained and not self._somebody:
            self._learn(came, sent)
        self._count(explained, at_once=nothing_of_ours)
        return self._somebody

    def _learn(self, came: _Powers, sent: _Powers) -> None:
        """The gains, from a frame that is ours alone and loud enough to tell something."""
        total = float(sent.sum())
        self._loudest = max(0.999 * self._loudest, total)
        if total < 0.05 * self._loudest:
            return
        self._came_mean = _MEMORY * self._came_mean + (1 - _MEMORY) * came
        self._sent_mean = _MEMORY * self._sent_mean + (1 - _MEMORY) * sent
        self._gain = self._came_mean / (self._sent_mean + 1.0)

    def _count(self, explained: bool, *, at_once: bool) -> None:
        self._speaks = 0 if explained else self._speaks + 1
        self._quiet = self._quiet + 1 if explained else 0
        if self._speaks >= (1 if at_once else SPEAKS_AFTER):
            self._somebody = True
        elif self._quiet >= QUIET_AFTER:
            self._somebody = False
