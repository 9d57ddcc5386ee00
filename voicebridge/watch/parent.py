"""The parent of the daemon: starts it, listens to its heartbeat, kills it when it is frozen, starts it again.

    python -m voicebridge.watch.parent [--sweep FD] ARGUMENT...      what `voicebridge ARGUMENT...` turns into

A frozen daemon is noticed by nobody else: Asterisk keeps its calls for ever, in silence. Killed, its sockets close and
every dialplan goes on to its fallback. While no daemon is ready, calls that hang in our ARI application are swept to
their fallback by a process of its own (`cli/sweep.py`), so that an ARI that hangs holds up nothing.

Small on purpose: no asyncio, no configuration, nothing that could freeze or fail for the daemon's reasons.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from voicebridge.watch import heart
from voicebridge.watch.notify import Notify
from voicebridge.watch.sweeper import NoSweeper, ProcessSweeper, Sweeper

log = logging.getLogger("voicebridge.watch")

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
LAUNCHER = Path(__file__).parents[1] / "engines" / "launch.py"
UNUSABLE = 2
"""The daemon's exit code where its configuration cannot be used."""
ENDS = (signal.SIGTERM, signal.SIGINT)
PASSED = (*ENDS, signal.SIGHUP)
TRACEBACK = signal.SIGUSR1
"""Has a frozen daemon write where it hangs, if it still can."""
POLL_S = 0.25


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. `spawn`: to the first heartbeat; the others: between two of them in a phase."""

    spawn: float = 60.0
    starting: float = 30.0
    serving: float = 3.0
    ending: float = 20.0
    traceback: float = 0.2
    first_pause: float = 0.1
    longest_pause: float = 10.0
    healthy: float = 60.0
    """Who served so long starts with the shortest pause again."""

    def of(self, phase: bytes) -> float:
        known = {heart.STARTING: self.starting, heart.SERVING: self.serving, heart.ENDING: self.ending}
        return known.get(phase, self.spawn)


class Life:
    """One daemon process from its start to its end, fed by the watcher's loop."""

    def __init__(self, argv: Sequence[str], limits: Limits) -> None:
        self._limits = limits
        self._pipe, theirs = os.pipe()
        os.set_blocking(self._pipe, False)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), "0", *argv],
                stdin=subprocess.DEVNULL,
                env={**os.environ, heart.VARIABLE: str(theirs)},
                pass_fds=(theirs,),
                start_new_session=True,  # a Ctrl-C reaches it through us, once
            )
        except OSError:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)
        self.phase = b""
        self.ready_after: float | None = None
        self.killed_for = ""
        self._began = self._looked = time.monotonic()
        self._missed = 0.0
        self._killed = False

    def fileno(self) -> int:
        return self._pipe

    @property
    def lived(self) -> float:
        return time.monotonic() - self._began

    @property
    def served(self) -> float:
        return 0.0 if self.ready_after is None else self.lived - self.ready_after

    def listen(self) -> bool:
        """Take what the heart wrote. True where the daemon has just become ready."""
        try:
            beats = os.read(self._pipe, 65536)
        except BlockingIOError:
            beats = b""
        was_ready = self.ready_after is not None
        if beats and not self.killed_for:  # who comes back now comes too late
            self._missed = 0.0
            if not was_ready and heart.READY in beats:
                self.ready_after = self.lived
            self.phase = beats.replace(heart.READY, heart.SERVING)[-1:]
        return not was_ready and self.ready_after is not None

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


class Watcher:
    """Runs `argv` until it ends well or is asked to end. `run` returns the exit code."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        sweeper: Sweeper | None = None,
        notify: Notify | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._argv = argv
        self._sweeper = sweeper or NoSweeper()
        self._notify = notify or Notify()
        self._limits = limits or Limits()
        self._signals: deque[int] = deque()
        self._wake, self._wakes = os.pipe()
        self._life: Life | None = None
        self._asked_to_end = 0
        self._ever_ready = False
        self._pause = self._limits.first_pause
        self._fed_at = 0.0
        self._on_terminal = os.isatty(2)

    def run(self) -> int:
        """Blocks; to be called in the main thread, whose signal handlers it takes."""
        self._take_signals()
        try:
            while True:
                self._sweeper.start()
                code = self._live()
                if code is not None:
                    return code
                self._sweeper.start()  # before the pause, which can be longer than callers may wait
                self._rest()
                if self._asked_to_end:
                    return 0
        finally:
            self._notify.tell("STOPPING=1")
            self._sweeper.stop()

    def _take_signals(self) -> None:
        for end in (self._wake, self._wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # only to wake up
        for number in PASSED:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's wish goes before ours
                signal.signal(number, lambda number, frame: self._signals.append(number))

    # ---- one life

    def _live(self) -> int | None:
        """One daemon from start to end. The exit code where that is the end of all, None where another must follow."""
        try:
            self._life = life = Life(self._argv, self._limits)
        except OSError as error:  # no memory, no processes: it may be better in a moment
            log.error("the daemon cannot be started: %s; trying again in %.1f s", error.strerror, self._pause)  # noqa: TRY400
            return None
        while life.process.poll() is None:
            self._wait(life)
            if life.listen():
                self._serves(life)
            life.look()
        life.listen()  # what it wrote last: did it become ready at all?
        self._ever_ready |= life.ready_after is not None
        self._life = None
        return self._judged(life, life.end())

    def _serves(self, life: Life) -> None:
        self._ever_ready = True
        self._sweeper.stop()
        log.info("the daemon is ready after %.1f s, pid %d", life.ready_after, life.process.pid)
        self._notify.tell("READY=1", "STATUS=taking calls")

    def _judged(self, life: Life, why: str) -> int | None:
        code = int(life.process.returncode)
        if self._asked_to_end:
            if code >= 0:
                return code
            return 0 if -code == self._asked_to_end else 128 - code  # 0: it had not yet learnt to obey the signal
        if code == 0 and not life.killed_for and life.phase != heart.SERVING:
            return 0  # one that said it was ending; a plug-in's sys.exit(0) in the middle of calls is a crash
        if code == UNUSABLE and not self._ever_ready:
            self._sweeper.finish()
            return code
        if life.served >= self._limits.healthy:
            self._pause = self._limits.first_pause
        log.error("the daemon ended after %.1f s: %s; starting it again in %.1f s", life.lived, why, self._pause)
        self._notify.tell(f"STATUS=starting again: {why}")
        return None

    def _rest(self) -> None:
        """The pause before the next start; it doubles each time."""
        until = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, self._limits.longest_pause)
        while not self._asked_to_end and (left := until - time.monotonic()) > 0:
            self._wait(None, left)

    # ---- the loop's round

    def _wait(self, life: Life | None, limit_s: float = POLL_S) -> None:
        """Until something happens, a quarter second at the longest; then whatever is not about the heartbeat."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if life is not None:
            poll.register(life, select.POLLIN)
        happened = dict(poll.poll(1000 * min(limit_s, POLL_S)))
        if life is not None and happened.get(life.fileno(), 0) == select.POLLHUP:
            time.sleep(0.02)  # closed though it lives: it is about to end, or its time runs out
        if self._wake in happened:
            os.read(self._wake, 4096)
        while self._signals:
            self._pass_on(self._signals.popleft())
        self._sweeper.look()
        if os.getpid() == 1:
            reap_strangers({life.process.pid if life else 0, self._sweeper.pid})
        self._feed()

    def _pass_on(self, number: int) -> None:
        if number == signal.SIGHUP and self._on_terminal:
            number = signal.SIGTERM  # the terminal was closed
        if number in ENDS:
            self._asked_to_end = number
            self._notify.tell("STOPPING=1", "STATUS=calls may finish")
        if self._life is not None:
            self._life.signal(number)

    def _feed(self) -> None:
        now = time.monotonic()
        if self._notify.watchdog_s and now - self._fed_at >= self._notify.watchdog_s / 3:
            self._fed_at = now
            self._notify.tell("WATCHDOG=1")


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reap_strangers(own: Container[int]) -> None:
    """As process 1 of a container we inherit what a killed daemon leaves behind. Our own are waited for elsewhere."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in own:
            os.waitpid(ended.si_pid, 0)


def main(arguments: Sequence[str]) -> int:
    """`[--sweep FD] ARGUMENT...`, those of a `voicebridge run` whose configuration has been found good.

    From FD comes what the sweeping process is to be told.
    """
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    python = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m"]
    sweeper: Sweeper = NoSweeper()
    if arguments[:1] == ["--sweep"]:
        with open(int(arguments[1]), "rb") as pipe:  # noqa: PTH123 - a descriptor, no path
            sweeper = ProcessSweeper([*python, "voicebridge.cli.sweep"], told=pipe.read())
        arguments = arguments[2:]
    daemon = [*python, "voicebridge", *arguments, "--no-parent"]
    return Watcher(daemon, sweeper=sweeper, notify=Notify.taken()).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
