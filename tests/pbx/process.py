"""Processes that the bench starts: they die with it, and are gone when it says so."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess

GRACE_S = 5.0


def tied(command: list[str]) -> list[str]:
    """The command run so that the kernel kills it when the process that started it dies, however that comes about."""
    return ["setpriv", "--pdeathsig", "KILL", *command] if shutil.which("setpriv") else command


def end(process: subprocess.Popen[bytes], *, grace_s: float = GRACE_S) -> bool:
    """Terminate, after `grace_s` kill, and wait. False where it had to be killed."""
    process.terminate()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """kill -9 for a process started as the leader of a session, and for all that is in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
