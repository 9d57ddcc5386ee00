"""The playout ledger: what is to be said, what has been sent, and so what the caller has heard.

Frames that were popped are the truth about what was heard. Pure: somebody else holds the clock and the socket.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from voicebridge.audio.measure import first_voiced
from voicebridge.audio.pcm import SAMPLE_BYTES, fade_out, frame_bytes

REWIND_LIMIT_S: Final = 1.5
"""After a false alarm we go back to the beginning of the word that was cut, but not further than this."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of speech. `pcm`: 16-bit little-endian mono at the ledger's rate; `marks`: (start, end, sample), the word
    text[start:end] begins at `sample`, ascending. Without marks words are taken to be spread by their length."""

    id: int
    turn: int
    kind: str
    text: str
    marks: tuple[tuple[int, int, int], ...]
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Heard:
    """How much of a segment was sent: `text` is a prefix of the segment's, by whole words."""

    segment: int
    turn: int
    kind: str
    text: str
    complete: bool


@dataclass(frozen=True, slots=True)
class SegmentStarted:
    """The first frame was popped; its first voiced sample lies `first_voiced_s` behind the frame's beginning."""

    segment: int
    turn: int
    kind: str
    first_voiced_s: float | None


@dataclass(frozen=True, slots=True)
class SegmentFinished:
    segment: int


@dataclass(frozen=True, slots=True)
class Drained:
    """Nothing is left to be said."""


Played = SegmentStarted | SegmentFinished | Drained


@dataclass
class _Entry:
    segment: Segment
    marks: tuple[tuple[int, int, int], ...]
    at: int = 0  # samples sent, since the last rewind
    furthest: int = 0  # samples sent before a rewind: what was heard stays heard
    started: bool = False

    @property
    def total(self) -> int:
        return len(self.segment.pcm) // SAMPLE_BYTES

    def next(self, size: int) -> bytes:
        """Up to `size` bytes that were not sent yet. Half a sample at the end is left out."""
        begin = self.at * SAMPLE_BYTES
        return self.segment.pcm[begin : min(begin + size, self.total * SAMPLE_BYTES)]

    def heard(self) -> str:
        """The words of which at least half was sent."""
        end, heard = 0, max(self.at, self.furthest)
        for index, (_, char_end, sample) in enumerate(self.marks):
            until = self.marks[index + 1][2] if index + 1 < len(self.marks) else self.total
            if heard < (sample + until) / 2 or heard <= 0:
                break
            end = char_end
        return self.segment.text[:end]


@dataclass
class PlayoutLedger:
    """One call's. `rate` in Hz; every `pop` gives exactly 20 ms."""

    rate: int
    paused: bool = False
    _queue: deque[_Entry] = field(default_factory=deque)
    _events: list[Played] = field(default_factory=list)
    _tail: bytes = b""  # of a voice that was cut: it fades within the next frame

    def __post_init__(self) -> None:
        self._frame = frame_bytes(self.rate)
        self._silence = bytes(self._frame)

    @property
    def playing(self) -> bool:
        return bool(self._queue)

    @property
    def queued_s(self) -> float:
        """Seconds of speech not sent yet."""
        return sum(entry.total - entry.at for entry in self._queue) / self.rate

    def enqueue(self, segment: Segment) -> None:
        """Say this after all that is queued. An empty one is finished as soon as its turn comes."""
        self._queue.append(_Entry(segment, segment.marks or _spread_marks(segment)))

    def pop(self) -> bytes:
        """The next 20 ms: speech, or silence where there is none or we are paused."""
        tail, self._tail = self._tail, b""
        if self.paused or not self._queue:
            return tail.ljust(self._frame, b"\0") if tail else self._silence
        frame = bytearray()
        while self._queue and len(frame) < self._frame:
            frame += self._take(self._frame - len(frame), offset_s=len(frame) / SAMPLE_BYTES / self.rate)
        if not self._queue:
            self._events.append(Drained())
        return bytes(frame.ljust(self._frame, b"\0"))

    def _take(self, size: int, *, offset_s: float) -> bytes:
        entry = self._queue[0]
        if not entry.started:
            entry.started = True
            self._events.append(self._started(entry.segment, offset_s))
        part = entry.next(size)
        entry.at += len(part) // SAMPLE_BYTES
        if entry.at >= entry.total:
            self._queue.popleft()
            self._events.append(SegmentFinished(entry.segment.id))
        return part

    def _started(self, segment: Segment, offset_s: float) -> SegmentStarted:
        voiced = first_voiced(segment.pcm, self.rate)
        after = None if voiced is None else offset_s + voiced / self.rate
        return SegmentStarted(segment.id, segment.turn, segment.kind, after)

    def take_events(self) -> list[Played]:
        """What the frames popped since the last call have meant."""
        events, self._events = self._events, []
        return events

    def pause(self) -> None:
        """Silence from the next frame on (which fades within 5 ms), the place is kept."""
        if not self.paused:
            self._fade()
            self.paused = True

    def _fade(self) -> None:
        if self._queue and self._queue[0].started:
            self._tail = fade_out(self._queue[0].next(self._frame), self.rate)

    def resume(self) -> None:
        """Go on, from the beginning of the word that was cut."""
        if not self.paused:
            return
        self.paused = False
        if self._queue and self._queue[0].started:
            entry = self._queue[0]
            entry.furthest = max(entry.furthest, entry.at)
            begun = [sample for _, _, sample in entry.marks if sample <= entry.at]
            if begun and entry.at - begun[-1] <= REWIND_LIMIT_S * self.rate:
                entry.at = begun[-1]

    def flush(self) -> tuple[Heard, ...]:
        """Forget what was not sent; tells, for what was cut or never begun, how much was heard.

        The voice fades within 5 ms of the next frame.
        """
        cut = tuple(
            Heard(e.segment.id, e.segment.turn, e.segment.kind, e.heard() if e.started else "", complete=False)
            for e in self._queue
        )
        if not self.paused:
            self._fade()
        self._queue.clear()
        self.paused = False
        return cut


def _spread_marks(segment: Segment) -> tuple[tuple[int, int, int], ...]:
    """Words spread over the audio by their share of the letters: for engines that tell no times."""
    text, total = segment.text, len(segment.pcm) // SAMPLE_BYTES
    marks, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        marks.append((start, start + len(word), round(total * start / max(1, len(text)))))
        at = start + len(word)
    return tuple(marks)
