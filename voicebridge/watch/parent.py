"""The parent of the daemon: starts it, listens to its heartbeat, kills it when it is frozen, starts it again.

    python -m voicebridge.watch.parent [--sweep FD] ARGUMENT...      what `voicebridge ARGUMENT...` turns into

A frozen daemon is noticed by nobody else: Asterisk keeps its calls for ever, in silence. Killed, its sockets close and
every dialplan goes on to its fallback. While no daemon is ready, calls that hang in our ARI application are swept to
their fallback by a process of its own (`cli/sweep.py`), so that an ARI that hangs holds up nothing.

Sockets that systemd opened (`voicebridge.socket`) are passed to each daemon: callers wait in their queues while one
starts. On SIGUSR2 a new daemon is started beside the old one, of the version that `current` points to by then; once it
is ready, the old one is asked to end, which lets its calls finish. Where callers have waited too long, the parent
itself sends them to their fallback.

Small on purpose: no asyncio, no configuration, nothing that could freeze or fail for the daemon's reasons.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Container, Sequence

from voicebridge.logs import TEXT, setup_small
from voicebridge.watch import heart
from voicebridge.watch.life import POLL_S, TRACEBACK, Life, Limits
from voicebridge.watch.notify import Notify, reloading
from voicebridge.watch.sockets import Sockets, StrangeSocket
from voicebridge.watch.sweeper import NoSweeper, ProcessSweeper, Sweeper

__all__ = ["LOG_FORMAT", "TRACEBACK", "Life", "Limits", "Watcher", "main"]

log = logging.getLogger("voicebridge.watch")

LOG_FORMAT = TEXT
UNUSABLE = 2
"""The daemon's exit code where its configuration cannot be used, and ours where what systemd passed cannot."""
ENDS = (signal.SIGTERM, signal.SIGINT)
PASSED = (*ENDS, signal.SIGHUP)
HANDOVER = signal.SIGUSR2
"""A new daemon, perhaps of another version, takes the calls from now on; the old one finishes its own."""
EXTEND_EVERY_S = 10.0
EXTEND_S = 40.0


class Watcher:
    """Runs `argv` until it ends well or is asked to end. `run` returns the exit code."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        sweeper: Sweeper | None = None,
        notify: Notify | None = None,
        limits: Limits | None = None,
        sockets: Sockets | None = None,
    ) -> None:
        self._argv = argv
        self._sweeper = sweeper or NoSweeper()
        self._notify = notify or Notify()
        self._limits = limits or Limits()
        self._sockets = sockets or Sockets()
        self._signals: deque[int] = deque()
        self._wake, self._wakes = os.pipe()
        self._life: Life | None = None
        self._next: Life | None = None
        """One that is to take over, until it is ready."""
        self._leaving: list[Life] = []
        """Those whose place was taken, until their calls are over."""
        self._asked_to_end = 0
        self._handover = False
        self._reloads = 0
        self._ever_ready = False
        self._pause = self._limits.first_pause
        self._fed_at = self._extended_at = 0.0
        self._unserved_since = time.monotonic()
        self._status = ""
        self._on_terminal = os.isatty(2)

    def run(self) -> int:
        """Blocks; to be called in the main thread, whose signal handlers it takes."""
        self._take_signals()
        try:
            while True:
                self._sweeper.start()
                code = self._live()
                if code is not None:
                    self._see_off()
                    return code
                self._sweeper.start()  # before the pause, which can be longer than callers may wait
                self._rest()
                if self._asked_to_end:
                    self._see_off()
                    return 0
        finally:
            self._notify.tell("STOPPING=1")
            self._sweeper.stop()

    def _take_signals(self) -> None:
        for end in (self._wake, self._wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # only to wake up
        for number in (*PASSED, HANDOVER):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's wish goes before ours
                signal.signal(number, lambda number, frame: self._signals.append(number))

    # ---- one life

    def _live(self) -> int | None:
        """One daemon from start to end. The exit code where that is the end of all, None where another must follow."""
        life = self._life = self._next or self._started()
        self._next = None
        if life is None:
            return None
        while life.process.poll() is None:
            self._wait(life)
            if life.listen():
                self._serves(life)
            life.look()
            self._heed(life)
            life = self._relieved(life)
        life.listen()  # what it wrote last: did it become ready at all?
        self._ever_ready |= life.ready_after is not None
        self._life = None
        self._unserved_since = time.monotonic()
        return self._judged(life, life.end())

    def _started(self) -> Life | None:
        try:
            return Life(self._argv, self._limits, self._sockets)
        except OSError as error:  # no memory, no processes: it may be better in a moment
            log.error("the daemon cannot be started: %s; trying again in %.1f s", error.strerror, self._pause)  # noqa: TRY400
            return None

    def _serves(self, life: Life) -> None:
        self._ever_ready = True
        self._sweeper.stop()
        log.info("the daemon is ready after %.1f s, pid %d", life.ready_after, life.process.pid)
        self._notify.tell("READY=1", "STATUS=taking calls")

    def _heed(self, life: Life) -> None:
        """What it says of itself, and whether it has read its agents again."""
        if self._reloads and life.ready_after is not None and life.answered >= self._reloads:
            self._reloads, self._status = 0, ""  # what it says of itself holds again
            self._notify.tell("READY=1")
        if life.says != self._status and not self._asked_to_end:
            self._status = life.says
            self._notify.tell(f"STATUS={life.says}")

    def _judged(self, life: Life, why: str) -> int | None:
        code = int(life.process.returncode)
        if self._asked_to_end:
            if code >= 0:
                return code
            return 0 if -code == self._asked_to_end else 128 - code  # 0: it had not yet learnt to obey the signal
        if code == 0 and not life.killed_for and life.phase not in (heart.SERVING, heart.LAME) and not self._handover:
            return 0  # one that said it was ending; a plug-in's sys.exit(0) in the middle of calls is a crash
        if code == UNUSABLE and not self._ever_ready:
            self._sweeper.finish()
            self._sockets.turn_away()
            return code
        if life.served >= self._limits.healthy or self._handover:
            self._pause = self._limits.first_pause
        if self._handover:
            self._handover = False
            log.info("the old daemon has ended: %s; the new one starts", why)
        else:
            log.error("the daemon ended after %.1f s: %s; starting it again in %.1f s", life.lived, why, self._pause)
        self._notify.tell(f"STATUS=starting again: {why}")
        return None

    def _rest(self) -> None:
        """The pause before the next start; it doubles each time."""
        until = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, self._limits.longest_pause)
        while not self._asked_to_end and (left := until - time.monotonic()) > 0:
            self._wait(None, left)

    # ---- one takes over from another

    def _hand_over(self) -> None:
        """Start another daemon beside the one that serves; without sockets that both may use, one after the other."""
        if self._life is None or self._life.ready_after is None or self._next is not None or self._asked_to_end:
            log.warning("no handover: %s", "one is under way" if self._next else "no daemon serves")
        elif self._sockets.fds and not self._sweeper.on_ari:
            log.info("handover: a new daemon starts; pid %d serves until it is ready", self._life.process.pid)
            self._next = self._started()
        else:
            log.info("handover: the daemon ends its calls, then a new one starts")
            self._handover = True
            self._life.signal(signal.SIGTERM)

    def _relieved(self, life: Life) -> Life:
        """The one that serves from now on."""
        new = self._next
        if new is None:
            return life
        ended = new.process.poll() is not None
        ready = new.listen() and not ended
        new.look()
        if ended:
            self._next = None
            log.error("handover failed: the new daemon ended: %s; the old one goes on", new.end())
            self._notify.tell("STATUS=handover failed, the old daemon goes on: see the log")
            return life
        if not ready or self._asked_to_end:
            return life
        self._next, self._life = None, new
        self._leaving.append(life)
        life.signal(signal.SIGTERM)
        log.info("handover: pid %d takes the calls; pid %d ends its own", new.process.pid, life.process.pid)
        self._serves(new)
        return new

    def _tend(self, old: Life) -> None:
        old.listen()
        old.look()
        if old.process.poll() is not None:
            self._leaving.remove(old)
            log.info("the daemon that was relieved has ended: %s", old.end())

    def _see_off(self) -> None:
        """Wait for whoever still has calls; each of them has its own limit for that."""
        if self._next is not None:
            self._next.signal(signal.SIGKILL)  # it has no calls
            self._leaving.append(self._next)
            self._next = None
        while self._leaving:
            self._wait(self._leaving[0])

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
        for old in list(self._leaving):
            self._tend(old)
        if os.getpid() == 1:
            reap_strangers({each.process.pid for each in self._lives()} | {0, self._sweeper.pid})
        self._keep_promises(time.monotonic())

    def _lives(self) -> list[Life]:
        return [*filter(None, (self._life, self._next)), *self._leaving]

    def _pass_on(self, number: int) -> None:
        if number == HANDOVER:
            self._hand_over()
            return
        if number == signal.SIGHUP and self._on_terminal:
            number = signal.SIGTERM  # the terminal was closed
        if number in ENDS:
            if not self._asked_to_end:
                self._unserved_since = time.monotonic()
            self._asked_to_end = number
            self._notify.tell("STOPPING=1", "STATUS=calls may finish")
        elif self._life is not None:
            self._notify.tell(*reloading())
            self._reloads = self._life.answered + 1
        for life in self._lives() if number in ENDS else filter(None, [self._life]):
            life.signal(number)

    def _keep_promises(self, now: float) -> None:
        """To systemd, that all is well; to callers, that nobody waits for ever."""
        life = self._life
        serves = life is not None and life.ready_after is not None and not self._asked_to_end
        if serves:
            self._unserved_since = now
        elif now - self._unserved_since > self._limits.queue and (turned := self._sockets.turn_away()):
            log.warning("%d callers have waited too long for a daemon: their dialplan goes on to its fallback", turned)
        starts_or_ends = not serves and now - self._unserved_since < self._limits.unserved
        if life is not None and (self._asked_to_end or not serves) and life.phase:
            self._extend(now)
        if (life is not None and life.well) or starts_or_ends:
            self._feed(now)

    def _feed(self, now: float) -> None:
        if self._notify.watchdog_s and now - self._fed_at >= self._notify.watchdog_s / 3:
            self._fed_at = now
            self._notify.tell("WATCHDOG=1")

    def _extend(self, now: float) -> None:
        """Who loads models or lets calls finish, and lives, is given time: more than systemd's limit if need be."""
        if self._notify.address and now - self._extended_at >= EXTEND_EVERY_S:
            self._extended_at = now
            self._notify.tell(f"EXTEND_TIMEOUT_USEC={EXTEND_S * 1e6:.0f}")


def reap_strangers(own: Container[int]) -> None:
    """As process 1 of a container we inherit what a killed daemon leaves behind. Our own are waited for elsewhere."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in own:
            os.waitpid(ended.si_pid, 0)


def main(arguments: Sequence[str]) -> int:
    """`[--sweep FD] ARGUMENT...`, those of a `voicebridge run` whose configuration has been found good.

    From FD comes what the sweeping process is to be told.
    """
    setup_small()
    try:
        sockets = Sockets.taken()
    except StrangeSocket as error:
        log.error("%s", error)  # noqa: TRY400 - the cause says it all
        return UNUSABLE
    python = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m"]
    sweeper: Sweeper = NoSweeper()
    if arguments[:1] == ["--sweep"]:
        with open(int(arguments[1]), "rb") as pipe:  # noqa: PTH123 - a descriptor, no path
            sweeper = ProcessSweeper([*python, "voicebridge.cli.sweep"], told=pipe.read())
        arguments = arguments[2:]
    daemon = [*python, "voicebridge", *arguments, "--no-parent"]
    return Watcher(daemon, sweeper=sweeper, notify=Notify.taken(), sockets=sockets).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
