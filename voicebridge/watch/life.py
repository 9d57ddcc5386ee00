"""One life of the daemon as its parent sees it: the process, its heartbeat, how long it may be silent."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voicebridge.watch import heart
from voicebridge.watch.sockets import Sockets

log = logging.getLogger("voicebridge.watch")

LAUNCHER = (Path(__file__).parents[1] / "engines" / "launch.py").resolve()
"""That of the version that the parent is of, whichever the daemon is."""
TRACEBACK = signal.SIGUSR1
"""Has a frozen daemon write where it hangs, if it still can."""
POLL_S = 0.25
TOLD = re.compile(rb"<([^>\n]*)\n")
"""What the daemon says of itself in words, among its beats."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. `spawn`: to the first heartbeat; the others: between two of them in a phase.

    `queue`: so long callers wait at sockets that outlive the daemon; then they are sent to their fallback.
    `unserved`: so long systemd's watchdog is fed though no daemon gets ready.
    """

    spawn: float = 60.0
    starting: float = 30.0
    serving: float = 3.0
    ending: float = 20.0
    traceback: float = 0.2
    first_pause: float = 0.1
    longest_pause: float = 10.0
    healthy: float = 60.0
    """Who served so long starts with the shortest pause again."""
    queue: float = 45.0
    unserved: float = 120.0

    def of(self, phase: bytes) -> float:
        known = {
            heart.STARTING: self.starting, heart.SERVING: self.serving, heart.LAME: self.serving,
            heart.ENDING: self.ending,
        }  # fmt: skip
        return known.get(phase, self.spawn)


def resolved(argument: str) -> str:
    """A path below our installation without the symbolic links by which it was reached.

    `/opt/voicebridge/current/bin/python` is `/opt/voicebridge/versions/0.2.0/bin/python` for a daemon's whole life,
    wherever `current` points later: half of one version and half of another would run else.
    """
    prefix = sys.prefix.rstrip("/")
    if not argument.startswith(f"{prefix}/"):
        return argument
    return os.path.realpath(prefix) + argument[len(prefix) :]  # noqa: PTH118 - below it nothing is followed


class Life:
    """One daemon process from its start to its end, fed by the watcher's loop."""

    def __init__(self, argv: Sequence[str], limits: Limits, sockets: Sockets | None = None) -> None:
        self._limits = limits
        sockets = sockets or Sockets()
        self._pipe, theirs = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), "0", *map(resolved, argv)],
                stdin=subprocess.DEVNULL,
                env={**os.environ, heart.VARIABLE: str(theirs), **sockets.environment},
                pass_fds=(theirs, *sockets.numbers),
                start_new_session=True,  # a Ctrl-C reaches it through us, once
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
        self.phase = b""
        self.says = ""
        self.ready_after: float | None = None
        self.killed_for = ""
        self.answered = 0
        """How often it has said that it is ready: once at the start, and after each reload."""
        self._began = self._looked = time.monotonic()
        self._missed = 0.0
        self._killed = False
        self._rest = b""

    def fileno(self) -> int:
        return self._pipe

    @property
    def lived(self) -> float:
        return time.monotonic() - self._began

    @property
    def served(self) -> float:
        return 0.0 if self.ready_after is None else self.lived - self.ready_after

    @property
    def well(self) -> bool:
        """Whether it is heard of, and does not say that it cannot serve."""
        return not self.killed_for and self.phase not in (b"", heart.LAME) and self._missed <= self._limits.serving

    def listen(self) -> bool:
        """Take what the heart wrote. True where the daemon has just become ready."""
        try:
            beats = os.read(self._pipe, 65536)
        except BlockingIOError:
            beats = b""
        was_ready = self.ready_after is not None
        if beats and not self.killed_for:  # who comes back now comes too late
            self._take(self._rest + beats)
        return not was_ready and self.ready_after is not None

    def _take(self, beats: bytes) -> None:
        for told in TOLD.findall(beats):
            self.says = told.decode(errors="replace")
        beats = TOLD.sub(b"", beats)
        whole, cut, begun = beats.partition(b"<")
        self._rest = cut + begun
        self._missed = 0.0
        if ready := whole.count(heart.READY):
            self.answered += ready
            if self.ready_after is None:
                self.ready_after = self.lived
        if whole:
            self.phase = whole.replace(heart.READY, heart.SERVING)[-1:]

    def look(self) -> None:
        """Count the time without a heartbeat, and do what is due.

        Time in which we did not run ourselves (a suspended machine, Ctrl-Z) counts for two rounds at most.
        """
        now = time.monotonic()
        self._missed += min(now - self._looked, 2 * POLL_S)
        self._looked = now
        if self.killed_for:
            if not self._killed and self._missed > self._limit + self._limits.traceback:
                self._killed = True
                self.signal(signal.SIGKILL)
        elif self._missed > self._limit:
            self.killed_for = f"frozen: no heartbeat for {self._missed:.1f} s"
            log.error("the daemon is %s; killing it", self.killed_for)
            self.signal(TRACEBACK)

    @property
    def _limit(self) -> float:
        return self._limits.of(self.phase)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)  # nothing where it has ended

    def end(self) -> str:
        """Why it ended, once it has."""
        os.close(self._pipe)
        code = self.process.returncode
        return self.killed_for or (f"killed by {signal_name(-code)}" if code < 0 else f"exit code {code}")


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
