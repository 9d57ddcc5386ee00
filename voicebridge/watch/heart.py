"""The daemon's heartbeat, and the bytes in which it reaches the parent.

The daemon inherits the writing end of a pipe (VOICEBRIDGE_HEARTBEAT names it) and writes a byte four times a second:

    s  starting: the event loop runs, engines load, nobody is served
    r  ready: written once, when calls are taken
    t  serving: the media clock has ticked within the last second
    l  lame: the media clock ticks, but no engine of a kind that calls need has been ready for `workers_s`
    e  ending: the media clock was stopped, engines are put away

Among them stands what it says of itself in words, for `systemctl status`: "<3 calls\n". While the media clock should
run and does not, nothing is written: to callers that is the same as a frozen process. A new reader skips what it does
not know: a parent may be of an older version than its daemon.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from voicebridge.watch.notify import Notify, reloading

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop  # not at run time: the parent knows this module, too, and stays small

VARIABLE = "VOICEBRIDGE_HEARTBEAT"
STARTING, READY, SERVING, LAME, ENDING = b"s", b"r", b"t", b"l", b"e"
EVERY_S = 0.25
STALE_S = 1.0
"""A media clock whose last tick is older has stopped."""


class Clock(Protocol):
    """What is known of the media clock (audio.clock.Ticker)."""

    @property
    def running(self) -> bool: ...
    @property
    def last_tick(self) -> float: ...


def nothing() -> Sequence[str]:
    """Nothing is lacking."""
    return ()


class Heart:
    """Beats for the parent, or where there is none for systemd's watchdog; with neither, for nobody.

    `lacking` names the kinds of engines that calls need and that none can serve now; after `workers_s` of it we are
    lame. `says` is our state in a few words, without anything of a call.
    """

    def __init__(
        self,
        clock: Clock,
        fd: int | None = None,
        notify: Notify | None = None,
        *,
        lacking: Callable[[], Sequence[str]] = nothing,
        workers_s: float = 60.0,
        says: Callable[[], str] = str,
    ) -> None:
        self._clock, self._fd, self._notify = clock, fd, notify or Notify()
        self._lacking, self._workers_s, self._says = lacking, workers_s, says
        self._lacks: Sequence[str] = ()
        self._lacking_since: float | None = None
        self._was_ready = False
        self._told_at = 0.0
        self._said = ""

    @classmethod
    def inherited(
        cls,
        clock: Clock,
        *,
        lacking: Callable[[], Sequence[str]] = nothing,
        workers_s: float = 60.0,
        says: Callable[[], str] = str,
    ) -> Heart:
        """On the pipe of the parent that started us; its processes do not inherit it."""
        text = os.environ.pop(VARIABLE, "")
        notify, fd = Notify.taken(), None
        if text.isdigit():
            notify, fd = Notify(), int(text)
            os.set_inheritable(fd, False)
            os.set_blocking(fd, False)
        return cls(clock, fd, notify, lacking=lacking, workers_s=workers_s, says=says)

    @property
    def watched(self) -> bool:
        """Whether a parent listens."""
        return self._fd is not None

    def start(self) -> None:
        """Beat for as long as the running event loop does."""
        from asyncio import get_running_loop

        self._beat(get_running_loop())

    def ready(self) -> None:
        """Calls are taken from now on; said again when what was changed has been read (a reload)."""
        self._was_ready = True
        self._write(READY)
        self._notify.tell("READY=1", "STATUS=taking calls")

    def reloading(self) -> None:
        """The agents are being read again; `ready` follows, whatever comes of it."""
        self._notify.tell(*reloading())

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
            lame = self._is_lame(now)
            self._tell()
            self._write(LAME if lame else SERVING)
            if not lame:
                self._feed(now)
        loop.call_later(EVERY_S, self._beat, loop)

    def _is_lame(self, now: float) -> bool:
        self._lacks = self._lacking() if self._was_ready else ()
        if not self._lacks:
            self._lacking_since = None
            return False
        if self._lacking_since is None:
            self._lacking_since = now
        return now - self._lacking_since >= self._workers_s

    def _tell(self) -> None:
        """In words, where they have changed."""
        text = self._says() if self._was_ready else ""
        if self._lacks:
            text = f"no engine is ready for: {', '.join(self._lacks)}" + (f"; {text}" if text else "")
        if text and text != self._said:
            self._said = text
            self._write(f"<{text}\n".encode())
            self._notify.tell(f"STATUS={text}")

    def _feed(self, now: float) -> None:
        if self._notify.watchdog_s and now - self._told_at >= self._notify.watchdog_s / 3:
            self._told_at = now
            self._notify.tell("WATCHDOG=1")

    def _write(self, what: bytes) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError):  # full: the parent sleeps; broken: we shall be killed with it
                os.write(self._fd, what)
