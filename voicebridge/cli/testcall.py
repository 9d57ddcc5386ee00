"""What test calls are made of: a daemon to call, the recorded caller, and the record that the daemon writes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from voicebridge.engines.supervisor import LAUNCHER
from voicebridge.load.voices import demo_lines
from voicebridge.phone import Line
from voicebridge.trace.store import CallStore, StoreError

__all__ = ["DaemonFailed", "demo_lines", "recorded_sentence", "running_daemon", "wait_for_record"]

RECORD_WAIT_S = 3.0
READY_WAIT_S = 90.0
STOP_WAIT_S = 10.0


class DaemonFailed(Exception):
    """The daemon did not come up; the text says how it ended, `log` is what it wrote."""

    def __init__(self, text: str, log: str) -> None:
        super().__init__(text)
        self.log = log


def recorded_sentence() -> Line:
    """One question of the demo's caller, for trying things out."""
    return demo_lines()[1]


def wait_for_record(store: CallStore, call_id: str) -> dict[str, Any] | None:
    """The daemon writes it when the call has ended; None where it keeps its store elsewhere."""
    until = time.monotonic() + RECORD_WAIT_S
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError, PermissionError, StoreError):
            return store.read(call_id)
        time.sleep(0.05)
    return None


@contextlib.contextmanager
def running_daemon(config: Path | None = None, options: Sequence[str] = ()) -> Iterator[tuple[int, Path]]:
    """`voicebridge run OPTIONS` as a process on a free port, with a store of its own; yields port and store.

    No parent watches it: a daemon that dies in a test call is to be seen, not replaced. Raises DaemonFailed where it
    does not come up. The process has ended when this returns.
    """
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="voicebridge-test-") as folder:
        store, log = Path(folder) / "store", Path(folder) / "daemon.log"
        argv = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), "0"]  # it ends when we are killed
        argv += [sys.executable, "-m", "voicebridge", "run", "--no-parent"]
        argv += ["--listen", f"127.0.0.1:{port}", "--fastagi", "", "--store", str(store), *options]
        if config is not None:
            argv += ["--config", str(config)]
        with log.open("wb") as sink:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink)
        try:
            _await_port(process, port, log)
            yield port, store
        finally:
            _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + READY_WAIT_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise DaemonFailed(f"the daemon ended with {process.returncode}", log.read_text(errors="replace"))
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2):
            return
        time.sleep(0.05)
    raise DaemonFailed(f"the daemon was not ready within {READY_WAIT_S:.0f} s", log.read_text(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_WAIT_S)
    if process.poll() is None:
        process.kill()
        process.wait()
