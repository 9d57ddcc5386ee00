"""Speech in a virtual call: each word takes its time, and none makes a sound."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.scenario.clock import Agenda, Entry

WORD_S = 0.3
"""A hundred and some words a minute, as text-to-speech engines have it, and callers."""


def seconds(text: str) -> float:
    return WORD_S * max(1, len(text.split()))


@dataclass
class Playing:
    wanted: cmd.Synthesize
    since: float
    left: float
    end: Entry | None = None


class Playout:
    """The ledger's double: plays segments in order, and knows by the word what was heard of a cut one."""

    def __init__(self, agenda: Agenda, tell: Callable[[ev.Event], Awaitable[None]]) -> None:
        self._agenda = agenda
        self._tell = tell
        self._queue: deque[cmd.Synthesize] = deque()
        self._paused = False
        self.playing: Playing | None = None

    @property
    def empty(self) -> bool:
        return self.playing is None and not self._queue

    def play(self, wanted: cmd.Synthesize) -> None:
        self._queue.append(wanted)
        if self.playing is None:
            self._next()

    def _next(self) -> None:
        if not self._queue or self._paused:
            return
        wanted = self._queue.popleft()
        self.playing = Playing(wanted, self._agenda.now, seconds(wanted.text))
        self._agenda.later(0.0, lambda: self._tell(ev.PlaybackStarted(wanted.segment)))
        self._schedule(self.playing)

    def _schedule(self, playing: Playing) -> None:
        playing.since = self._agenda.now
        playing.end = self._agenda.later(playing.left, self._finished)

    async def _finished(self) -> None:
        done, self.playing = self.playing, None
        assert done is not None
        await self._tell(ev.PlaybackFinished(done.wanted.segment))
        if self.playing is None and not self._queue:
            await self._tell(ev.Drained())
        elif self.playing is None:
            self._next()

    def pause(self) -> None:
        self._paused = True
        if (playing := self.playing) is not None and playing.end is not None:
            playing.end.cancelled = True
            playing.end = None
            playing.left -= self._agenda.now - playing.since

    def resume(self) -> None:
        self._paused = False
        if self.playing is not None and self.playing.end is None:
            self._schedule(self.playing)
        elif self.playing is None:
            self._next()

    def flush(self) -> ev.PlayoutCut:
        """Forget it all; gives what was heard."""
        self.pause()
        cut = []
        if (playing := self.playing) is not None:
            words = playing.wanted.text.split()
            played = seconds(playing.wanted.text) - playing.left
            heard = " ".join(words[: math.floor(played / WORD_S + 1e-6)])
            cut.append(ev.HeardSegment(playing.wanted.segment, heard, False))
        cut += [ev.HeardSegment(wanted.segment, "", False) for wanted in self._queue]
        self._queue.clear()
        self.playing, self._paused = None, False
        return ev.PlayoutCut(tuple(cut))
