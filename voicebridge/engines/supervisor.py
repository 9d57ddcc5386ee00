"""Keeps the engines' worker processes alive: starts, watches, restarts and ends them.

A worker that exits is started again: at once the first time, then with growing pauses. A worker that does
not answer its probe (stopped, dead-locked, spinning) is killed, which is what makes the restart happen.
Workers die with us even at SIGKILL (see launch.py). Nothing here knows what a worker computes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

log = logging.getLogger(__name__)

WorkerState = Literal["stopped", "starting", "ready", "pausing"]
Probe = Callable[[], Awaitable[bool]]

BACKOFF_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0)
HEALTHY_S = 60.0
START_POLL_S = 0.03
TERM_GRACE_S = 2.0
MAX_LINE = 400
LAST_WORDS_S = 0.2
LAUNCHER = Path(__file__).with_name("launch.py")

# What a worker inherits of our environment, by prefix. It parses what strangers say, so it gets no passwords.
INHERITED = ("PATH", "HOME", "LANG", "LC_", "TZ", "TMPDIR", "LD_LIBRARY", "PYTHON", "VIRTUAL_ENV", "XDG_") + (
    ("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "OMP_", "SSL_CERT_")
)


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """One worker process.

    `probe` answers whether the worker serves: True when it does; False, an exception or no answer within
    `probe_timeout_s` when not. It is asked often (30 ms) while the worker starts and every
    `probe_every_s` after; `probe_misses` of these in a row get the worker killed. `socket`, if any, is
    unlinked before each start, so that nobody takes the last life's socket for this one's. `env` comes on
    top of the inherited part of our own; `nice` is added to our own niceness.
    """

    name: str
    argv: Sequence[str]
    probe: Probe
    socket: Path | None = None
    nice: int = 10
    env: Mapping[str, str] = field(default_factory=dict)
    start_timeout_s: float = 60.0
    probe_every_s: float = 1.0
    probe_timeout_s: float = 0.7
    probe_misses: int = 3


class Worker:
    """One supervised process. `on_change` callables are called with the worker whenever `state` changed."""

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.state: WorkerState = "stopped"
        self.pid: int | None = None
        self.restarts = 0
        self.last_error = ""
        self._last_line = ""
        self.on_change: list[Callable[[Worker], None]] = []
        self._ready = asyncio.Event()
        self._failures = 0  # in a row; picks the pause before the next start
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self.state == "ready"

    def start(self) -> None:
        """Begin to supervise; returns at once. Does nothing when it runs already."""
        if self._task is None:
            self._task = asyncio.create_task(self._supervise(), name=f"supervise {self.spec.name}")

    async def wait_ready(self, timeout: float) -> bool:  # noqa: ASYNC109 - the answer is a bool, not an exception
        """True as soon as the worker serves; False when `timeout` seconds went by without."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """End the process: SIGTERM, after 2 s SIGKILL. No process and no socket is left when it returns."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._set("stopped")

    def _set(self, state: WorkerState) -> None:
        if state == self.state:
            return
        self.state = state
        if state == "ready":
            self._ready.set()
        else:
            self._ready.clear()
        for callback in self.on_change:
            callback(self)

    async def _supervise(self) -> None:
        while True:
            self._set("starting")
            try:
                self.last_error = await self._life()
            except OSError as error:
                self.last_error = f"cannot be started: {error.strerror}"
            if not self.ready and self._last_line:  # it never served: what it said last is why
                self.last_error += f": {self._last_line}"
            pause = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
            self._failures += 1
            log.warning("worker %s: %s; starting again in %.1f s", self.spec.name, self.last_error, pause)
            self._set("pausing")
            await asyncio.sleep(pause)
            self.restarts += 1

    async def _life(self) -> str:
        """One process from start to end; returns why it ended. Cancellation ends the process too."""
        if self.spec.socket is not None:
            self.spec.socket.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(self.spec.nice)),
            *self.spec.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=worker_environment(self.spec.env),
            start_new_session=True,
        )
        self.pid = process.pid
        assert process.stdout is not None
        output = asyncio.create_task(self._log_output(process.stdout))
        exited = asyncio.create_task(process.wait())
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.wait({exited, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                return watch.result()
            return _exit_reason(exited.result())
        except asyncio.CancelledError:
            _signal_group(process.pid, signal.SIGTERM)
            await asyncio.wait({exited}, timeout=TERM_GRACE_S)
            raise
        finally:
            watch.cancel()
            _signal_group(process.pid, signal.SIGKILL)  # the rest of its group too, if it had children
            await asyncio.wait({exited})
            self.pid = None
            await asyncio.wait({output}, timeout=LAST_WORDS_S)  # why it ended stands there
            output.cancel()
            if self.spec.socket is not None:
                self.spec.socket.unlink(missing_ok=True)

    async def _watch(self) -> str:
        """Probe for ever; returns why the process must be killed."""
        spec, began = self.spec, time.monotonic()
        while not await self._probe():
            if time.monotonic() - began > spec.start_timeout_s:
                return f"not ready after {spec.start_timeout_s:.0f} s"
            await asyncio.sleep(START_POLL_S)
        ready_at = time.monotonic()
        log.info("worker %s: ready after %.2f s, pid %s", spec.name, ready_at - began, self.pid)
        self._set("ready")
        misses = 0
        while misses < spec.probe_misses:
            if misses == 0:  # a miss is followed up without a pause: somebody may be waiting in silence
                await asyncio.sleep(spec.probe_every_s)
            misses = 0 if await self._probe_again(misses) else misses + 1
            if misses == 0 and time.monotonic() - ready_at > HEALTHY_S:
                self._failures = 0
        return f"gave no answer to {misses} probes"

    async def _probe_again(self, misses: int) -> bool:
        """A probe; if one before it missed, it takes its full time to fail: a refusal is quick, a restart is not."""
        began = time.monotonic()
        if await self._probe():
            return True
        if misses:
            await asyncio.sleep(max(0.0, self.spec.probe_timeout_s - (time.monotonic() - began)))
        return False

    async def _probe(self) -> bool:
        try:
            async with asyncio.timeout(self.spec.probe_timeout_s):
                return await self.spec.probe()
        except Exception as error:  # noqa: BLE001 - the boundary: whatever a probe raises means "does not serve"
            if self.ready:
                log.debug("worker %s: probe failed: %r", self.spec.name, error)
            return False

    async def _log_output(self, stream: asyncio.StreamReader) -> None:
        """The process's lines into our log, at the level a line begins with; others are debug."""
        pending, self._last_line = b"", ""
        while chunk := await stream.read(4096):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self._log_line(line)
            pending = pending[-MAX_LINE:]
        self._log_line(pending)

    def _log_line(self, line: bytes) -> None:
        text = line[:MAX_LINE].decode("utf-8", "replace").strip()
        word, _, rest = text.partition(" ")
        level = logging.getLevelNamesMapping().get(word)
        if text:
            self._last_line = shown = text if level is None else rest
            log.log(level or logging.DEBUG, "worker %s: %s", self.spec.name, shown)


class Supervisor:
    """All workers of a daemon."""

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}

    def add(self, spec: WorkerSpec) -> Worker:
        """A new worker, started at once. Names are unique: ValueError when taken."""
        if spec.name in self.workers:
            raise ValueError(f"there is a worker named {spec.name!r} already")
        worker = self.workers[spec.name] = Worker(spec)
        worker.start()
        return worker

    async def remove(self, name: str) -> None:
        """Stop one worker and forget it."""
        await self.workers.pop(name).stop()

    async def stop(self) -> None:
        """Stop all workers, at the same time."""
        workers = list(self.workers.values())
        self.workers.clear()
        await asyncio.gather(*(worker.stop() for worker in workers))


def worker_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The allowed part of our environment, and `extra` on top."""
    env = {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}
    # Prompt log lines, and no OpenMP or BLAS pools as wide as the machine unless the spec asks for them.
    env |= {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return env | dict(extra)


def _exit_reason(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-status).name}"
    return f"killed by signal {-status}"


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)
