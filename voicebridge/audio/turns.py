"""Who spoke when in a recording with each side on a track of its own, and how long the caller waited: the outside view.

Nothing of the daemon's is used: only the sound, by the definition of `audio.measure`. Step by step:

1. Both tracks are cut into 10 ms windows. A stretch of speech is found with the threshold that the loudest window of
   the whole track gives (-40 dB below it, never below -60 dBFS), pauses up to 0.25 s bridged; its edges are then found
   again with the loudest window of that stretch alone, as the definition wants. What has less than 60 ms of voice is a
   click.
2. The agent begins to answer where a stretch of his begins and the caller has spoken since the agent was last heard.
   The gap is the time from the end of the caller's last voiced window before it to the beginning of that stretch.
   Pauses of the caller's in which nobody answered are thereby a part of what he said.
3. A caller who begins while the agent speaks has interrupted him if the agent falls silent within 1.5 s; the time to
   that silence is the stop, and the next stretch of the agent's is the answer. Where the agent speaks on, it was a
   word in between and asks for no answer.
4. An agent who begins while the caller speaks has interrupted him: no gap is measured there.
5. Silence is what is voiced on neither track. Behind the caller's voice it is the agent's turn, behind the agent's the
   caller's; up to the first voice it is the agent's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from voicebridge.audio.measure import BELOW_PEAK_DB, FLOOR_DBFS, voiced_spans
from voicebridge.audio.pcm import FULL_SCALE, samples

JOIN_S = 0.25
EDGE_S = 0.3
CLICK_S = 0.06
YIELD_S = 1.5
"""An agent that goes on for so long has not been interrupted."""
CLIPPED = 32_700
SILENCES = 5
SILENT_DB = -120.0

Span = tuple[float, float]
Side = Literal["caller", "agent"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """The caller spoke and was answered, or not. Seconds of the recording.

    `begins`, `last_voice`: the caller's; `answer`: the agent's first voiced sample, None where none came.
    `stop_s`: how soon the agent fell silent who was interrupted, else None.
    """

    begins: float
    last_voice: float
    answer: float | None
    stop_s: float | None = None

    @property
    def gap_s(self) -> float | None:
        return None if self.answer is None else self.answer - self.last_voice


@dataclass(frozen=True, slots=True)
class Silence:
    """`turn`: whose it was."""

    at: float
    seconds: float
    turn: Side


@dataclass(frozen=True, slots=True)
class Level:
    """`peak_db`: the loudest sample, `voice_db`: the mean of what is voiced, both re full scale. `voiced`: the share
    of the time. `clipped`: samples at the limit."""

    peak_db: float
    voice_db: float
    voiced: float
    clipped: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A whole recording."""

    seconds: float
    caller: tuple[Span, ...]
    agent: tuple[Span, ...]
    exchanges: tuple[Exchange, ...]
    silences: tuple[Silence, ...]
    """The longest ones, longest first."""
    agent_interrupted: int
    """How often the agent began while the caller spoke."""
    words_between: int
    """What the caller said while the agent spoke on."""
    levels: dict[Side, Level]

    @property
    def gaps(self) -> list[float]:
        return [made.gap_s for made in self.exchanges if made.gap_s is not None]


def measure(caller: bytes, agent: bytes, rate: int, *, below_peak_db: float = BELOW_PEAK_DB) -> Measured:
    """Two tracks of one call, 16-bit mono PCM with a common beginning."""
    seconds = max(len(caller), len(agent)) / 2 / rate
    theirs, ours = (spoken(track, rate, below_peak_db=below_peak_db) for track in (caller, agent))
    exchanges, between = _exchanges(theirs, ours)
    over = sum(any(begin < start < end for begin, end in theirs) for start, _ in ours)
    sides: dict[Side, Level] = {"caller": _level(caller, theirs, rate), "agent": _level(agent, ours, rate)}
    return Measured(
        seconds, tuple(theirs), tuple(ours), tuple(exchanges), tuple(_silences(theirs, ours, seconds)), over, between,
        sides,
    )  # fmt: skip


def spoken(pcm: bytes, rate: int, *, below_peak_db: float = BELOW_PEAK_DB) -> list[Span]:
    """Stretches of speech in seconds, each with edges by its own loudest window."""
    total = len(pcm) // 2
    rough = voiced_spans(pcm, rate, join_s=JOIN_S, below_peak_db=below_peak_db, floor_dbfs=FLOOR_DBFS)
    edge = round(EDGE_S * rate) // (rate // 100) * (rate // 100)
    found = []
    for number, (begin, end) in enumerate(rough):
        low = max(0, begin - edge, rough[number - 1][1] if number else 0)
        high = min(total, end + edge, rough[number + 1][0] if number + 1 < len(rough) else total)
        inside = voiced_spans(pcm[2 * low : 2 * high], rate, below_peak_db=below_peak_db, floor_dbfs=FLOOR_DBFS)
        if sum(b - a for a, b in inside) >= CLICK_S * rate:
            found.append(((low + inside[0][0]) / rate, (low + inside[-1][1]) / rate))
    return found


def _exchanges(theirs: Sequence[Span], ours: Sequence[Span]) -> tuple[list[Exchange], int]:
    made: list[Exchange] = []
    between = 0
    open_since: float | None = None  # the caller has spoken and waits
    last, stop = 0.0, None
    events = sorted([(begin, end, "caller") for begin, end in theirs] + [(begin, end, "agent") for begin, end in ours])
    speaking_until = 0.0  # the agent
    for begin, end, side in events:
        if side == "caller":
            if begin < speaking_until:
                if speaking_until - begin > YIELD_S:
                    between += end <= speaking_until
                    if end <= speaking_until:
                        continue
                else:
                    stop = speaking_until - begin
            open_since = begin if open_since is None else open_since
            last = end
        else:
            if open_since is not None and begin >= last:
                made.append(Exchange(open_since, last, begin, stop))
                open_since, stop = None, None
            speaking_until = end
    if open_since is not None:
        made.append(Exchange(open_since, last, None, stop))
    return made, between


def _silences(theirs: Sequence[Span], ours: Sequence[Span], seconds: float) -> list[Silence]:
    found, at = [], 0.0
    turn: Side = "agent"
    voices: list[tuple[float, float, Side]] = [(a, b, "caller") for a, b in theirs]
    voices += [(a, b, "agent") for a, b in ours]
    for begin, end, side in sorted(voices):
        if begin > at:
            found.append(Silence(at, begin - at, turn))
        if end >= at:
            at, turn = end, "agent" if side == "caller" else "caller"
    if seconds > at:
        found.append(Silence(at, seconds - at, turn))
    return sorted(found, key=lambda made: made.seconds, reverse=True)[:SILENCES]


def _level(pcm: bytes, spans: Sequence[Span], rate: int) -> Level:
    data = samples(pcm).astype(np.float64)
    if not len(data):
        return Level(SILENT_DB, SILENT_DB, 0.0, 0)
    parts = [data[round(begin * rate) : round(end * rate)] for begin, end in spans]
    voice = np.concatenate(parts) if parts else np.zeros(1)
    size = np.abs(data)
    return Level(
        _db(float(size.max())), _db(float(np.sqrt(np.mean(voice**2)))), len(voice) / len(data) if parts else 0.0,
        int((size >= CLIPPED).sum()),
    )  # fmt: skip


def _db(value: float) -> float:
    return round(20 * float(np.log10(max(value / FULL_SCALE, 1e-6))), 1)
