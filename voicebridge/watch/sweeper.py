"""Has the calls that a dead daemon left in our ARI application sent to their fallback, in a process of its own.

It sweeps every second until it is ended, and runs while no daemon is ready.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

log = logging.getLogger("voicebridge.watch")

LAUNCHER = Path(__file__).parents[1] / "engines" / "launch.py"
AGAIN_S = 2.0
"""Pause before a sweeping process that ended is started again."""
FINISH_S = 5.0


class Sweeper(Protocol):
    """Used by the watcher in its loop: nothing here may block, `finish` apart.

    `on_ari`: whether there is an ARI. Its application belongs to one daemon at a time.
    """

    @property
    def on_ari(self) -> bool: ...
    @property
    def pid(self) -> int:
        """Of its process; 0 without one."""

    def start(self) -> None:
        """No daemon is ready: sweep from now on. Nothing where it is at it already."""

    def stop(self) -> None:
        """A daemon is ready, or everything ends."""

    def look(self) -> None:
        """Called a few times a second."""

    def finish(self) -> None:
        """No daemon will come: have what there is swept (5 s at the longest)."""


class NoSweeper:
    """Where there is no ARI there are no orphans."""

    pid = 0
    on_ari = False

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def look(self) -> None: ...
    def finish(self) -> None: ...


class ProcessSweeper:
    """Runs `argv` while it is wanted, `told` on its standard input; it dies with us, even at SIGKILL."""

    on_ari = True

    def __init__(self, argv: Sequence[str], told: bytes = b"") -> None:
        self._argv, self._told = argv, told
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False
        self._started_at = 0.0

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        self._wanted = True
        if self._process is None:
            self._spawn()

    def stop(self) -> None:
        self._wanted = False
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)

    def look(self) -> None:
        gone = self._process is None or self._process.poll() is not None
        if self._wanted and gone and time.monotonic() - self._started_at >= AGAIN_S:
            self._spawn()

    def finish(self) -> None:
        until = self._started_at + FINISH_S
        while self._process is not None and self._process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        self.stop()

    def _spawn(self) -> None:
        self._started_at = time.monotonic()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), "0", *self._argv],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:  # short: a pipe takes it at once
                pipe.write(self._told)
        except OSError as error:
            log.error("calls left behind cannot be swept: %s", error.strerror)  # noqa: TRY400 - the cause says it all
