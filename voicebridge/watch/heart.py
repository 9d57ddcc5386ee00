"""The daemon's heartbeat, and the bytes in which it reaches the parent.

The daemon inherits the writing end of a pipe (VOICEBRIDGE_HEARTBEAT names it) and writes a byte four times a second:

    s  starting: the event loop runs, engines load, nobody is served
    r  ready: written once, when calls are taken
    t  serving: the media clock has ticked within the last second
    e  ending: the media clock was stopped, engines are put away

While the media clock should run and does not, nothing is written: to callers that is the same as a frozen process.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Protocol

from voicebridge.watch.notify import Notify

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop  # not at run time: the parent knows this module, too, and stays small

VARIABLE = "VOICEBRIDGE_HEARTBEAT"
STARTING, READY, SERVING, ENDING = b"s", b"r", b"t", b"e"
EVERY_S = 0.25
STALE_S = 1.0
"""A media clock whose last tick is older has stopped."""


class Clock(Protocol):
    """What is known of the media clock (audio.clock.Ticker)."""

    @property
    def running(self) -> bool: ...
    @property
    def last_tick(self) -> float: ...


class Heart:
    """Beats for the parent, or where there is none for systemd's watchdog; with neither, for nobody."""

    def __init__(self, clock: Clock, fd: int | None = None, notify: Notify | None = None) -> None:
        self._clock, self._fd, self._notify = clock, fd, notify or Notify()
        self._was_ready = False
        self._told_at = 0.0

    @classmethod
    def inherited(cls, clock: Clock) -> Heart:
        """On the pipe of the parent that started us; its processes do not inherit it."""
        text = os.environ.pop(VARIABLE, "")
        notify = Notify.taken()
        if not text.isdigit():
            return cls(clock, notify=notify)
        fd = int(text)
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)
        return cls(clock, fd)

    @property
    def watched(self) -> bool:
        """Whether a parent listens."""
        return self._fd is not None

    def start(self) -> None:
        """Beat for as long as the running event loop does."""
        from asyncio import get_running_loop

        self._beat(get_running_loop())

    def ready(self) -> None:
        """Calls are taken from now on."""
        self._was_ready = True
        self._write(READY)
        self._notify.tell("READY=1", "STATUS=taking calls")

    def ending(self) -> None:
        """All is put away: the exit that follows is wanted."""
        self._write(ENDING)

    def _beat(self, loop: AbstractEventLoop) -> None:
        now = time.monotonic()
        if not self._clock.running:
            self._write(ENDING if self._was_ready else STARTING)
            self._feed(now)
            if self._was_ready:
                self._notify.tell("STOPPING=1")
        elif now - self._clock.last_tick <= STALE_S:
            self._write(SERVING)
            self._feed(now)
        loop.call_later(EVERY_S, self._beat, loop)

    def _feed(self, now: float) -> None:
        if self._notify.watchdog_s and now - self._told_at >= self._notify.watchdog_s / 3:
            self._told_at = now
            self._notify.tell("WATCHDOG=1")

    def _write(self, phase: bytes) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):  # full: the parent sleeps; broken: we shall be killed with it
                os.write(self._fd, phase)
