"""The media plane under load: CPU of the server process and the gaps between the frames that callers receive.

    python -m bench.media                                  1,000 paced calls, ours against plain streams
    python -m bench.media --calls 1 --seconds 60 --only ours   one call for a minute
    python -m bench.media --calls 1 --seconds 60 --to 127.0.0.1:9092   the same of a daemon that runs

Each caller sends a frame of 8 kHz audio every 20 ms and gets one back at the server's own pace. Both servers echo what
came, so that only the way of moving frames differs. `ours` is voicebridge's server: asyncio's Protocol, one ticker
for all calls, uvloop. `streams` is what one writes first: asyncio.start_server, two tasks a call, a sleep after each
frame. Server and callers are processes of their own; the callers' own lateness is measured, too: it is part of every
gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import time
import uuid
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Final

import click
import numpy as np
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.echo import RATE, SERVERS, SIZE, raise_file_limit, server_process
from bench.machine import machine
from voicebridge.audio.pcm import FRAME_S
from voicebridge.config import split_address
from voicebridge.protocol import audiosocket as wire

SENT: Final = wire.audio_frame(b"\x20\x03" * (SIZE // 2), RATE)
WARM_S: Final = 2.0
PHASES: Final = 10
"""The callers send in so many groups, spread over a frame: they don't speak in time with each other."""
CONNECT_AT_ONCE: Final = 50
SPARE_FILES: Final = 100
LIMIT_MS: Final = 60.0


class Caller(asyncio.Protocol):
    """Counts frames by their bytes: every one that it gets is as long as those that it sends."""

    def __init__(self, gaps: array[float]) -> None:
        self._gaps = gaps
        self._over = 0
        self._last = 0.0
        self.measuring = False
        self.frames = 0
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.write(wire.uuid_frame(uuid.uuid4()))

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        count, self._over = divmod(self._over + len(data), len(SENT))
        if not count:
            return
        if self.measuring:
            self.frames += count
            self._gaps.append(now - self._last)
            self._gaps.extend([0.0] * (count - 1))
        self._last = now

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None


def callers_process(address: tuple[str, int], calls: int, seconds: float, pipe: Connection) -> None:
    """Tells ("connected", n), then "begin", ("second", n) and "end" of the measured time, and last its findings.

    Raises RuntimeError where nothing comes back.
    """
    raise_file_limit()
    uvloop.run(_call_and_measure(address, calls, seconds, pipe))


async def _call_and_measure(address: tuple[str, int], calls: int, seconds: float, pipe: Connection) -> None:
    loop, gaps, late = asyncio.get_running_loop(), array("d"), array("d")
    callers: list[Caller] = []
    for first in range(0, calls, CONNECT_AT_ONCE):
        count = min(CONNECT_AT_ONCE, calls - first)
        made = [loop.create_connection(lambda: Caller(gaps), *address) for _ in range(count)]
        callers += [protocol for _, protocol in await asyncio.gather(*made)]
        pipe.send(("connected", len(callers)))
    stopped = asyncio.Event()
    for phase in range(PHASES):
        _send_for_ever(loop, callers[phase::PHASES], phase, late, stopped)
    await asyncio.sleep(WARM_S)
    for caller in callers:
        caller.measuring = True
    del late[:]
    pipe.send("begin")
    began, cpu = time.monotonic(), time.process_time()
    while (done := time.monotonic() - began) < seconds:
        await asyncio.sleep(min(1.0, seconds - done))
        pipe.send(("second", done))
    for caller in callers:
        caller.measuring = False
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    pipe.send("end")
    stopped.set()
    pipe.send(_findings(callers, gaps, late, took, cpu))
    for caller in callers:
        if caller.transport is not None:
            caller.transport.abort()


def _send_for_ever(
    loop: asyncio.AbstractEventLoop, callers: list[Caller], phase: int, late: array[float], stopped: asyncio.Event
) -> None:
    due = time.monotonic() + FRAME_S * (1 + phase / PHASES)

    def send() -> None:
        nonlocal due
        late.append(max(0.0, time.monotonic() - due))
        for caller in callers:
            if caller.transport is not None:
                caller.transport.write(SENT)
        due += FRAME_S
        if not stopped.is_set():
            loop.call_at(due, send)

    loop.call_at(due, send)


def _findings(
    callers: list[Caller], gaps: array[float], late: array[float], took: float, cpu: float
) -> dict[str, float]:
    if not gaps:
        raise RuntimeError("not one frame came back")
    ms = np.array(gaps) * 1000
    p50, p99, p999 = np.quantile(ms, (0.5, 0.99, 0.999)).tolist()
    return {
        "seconds": took,
        "frames_share": sum(caller.frames for caller in callers) / (len(callers) * took / FRAME_S),
        "calls_lost": sum(caller.transport is None for caller in callers),
        "gap_p50_ms": p50,
        "gap_p99_ms": p99,
        "gap_p999_ms": p999,
        "gap_max_ms": float(ms.max()),
        "callers_late_p99_ms": float(np.quantile(np.array(late), 0.99) * 1000),
        "callers_cpu_per_s": cpu / took,
    }


# ---- the run


@dataclass(frozen=True)
class Finding:
    """One server's. CPU in seconds a second (None for a server that is not ours to ask); gaps in milliseconds."""

    server: str
    calls: int
    cpu_per_s: float | None
    seconds: float
    frames_share: float
    calls_lost: int
    gap_p50_ms: float
    gap_p99_ms: float
    gap_p999_ms: float
    gap_max_ms: float
    callers_late_p99_ms: float
    callers_cpu_per_s: float


@contextlib.contextmanager
def child(target: Callable[..., None], *args: object) -> Iterator[Connection]:
    """A process that has the other end of a pipe; it is gone afterwards."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*args, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()


def measure(name: str, calls: int, seconds: float, bar: Progress) -> Finding:
    """Serve and call. Raises EOFError where one of the two processes has died."""
    with child(server_process, name) as server:
        port = server.recv()

        def cpu() -> float:
            server.send("cpu")
            return float(server.recv())

        finding = _measure_at(name, ("127.0.0.1", port), calls, seconds, bar, cpu)
        server.send("stop")
        return finding


def _measure_at(
    name: str, address: tuple[str, int], calls: int, seconds: float, bar: Progress, cpu: Callable[[], float] | None
) -> Finding:
    task = bar.add_task(f"{name}: connecting", total=calls + seconds)
    cpu_at: list[float] = []
    with child(callers_process, address, calls, seconds) as callers:
        while not isinstance(told := callers.recv(), dict):
            match told:
                case ("connected", count):
                    bar.update(task, completed=count)
                case ("second", done):
                    bar.update(task, completed=calls + done)
                case _ if cpu is not None:
                    cpu_at.append(cpu())
                    bar.update(task, description=f"{name}: measuring")
        bar.update(task, completed=calls + seconds, description=name)
        used = (cpu_at[1] - cpu_at[0]) / told["seconds"] if cpu_at else None
        return Finding(server=name, calls=calls, cpu_per_s=used, **told)


@click.command()
@click.option("--calls", default=1000, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(1.0))
@click.option("--only", type=click.Choice(list(SERVERS)), help="One of the two servers alone.")
@click.option("--to", metavar="HOST:PORT", help="Call a daemon that runs already, instead.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(calls: int, seconds: float, only: str | None, to: str | None, as_json: bool) -> None:
    """CPU and frame gaps of paced calls on loopback: our server against plain asyncio streams."""
    if calls + SPARE_FILES > raise_file_limit():
        raise click.UsageError(f"{calls} calls need {calls + SPARE_FILES} open files: raise the limit (ulimit -Hn)")
    with Progress(console=Console(stderr=True)) as bar:
        try:
            if to is not None:
                found = [_measure_at(to, split_address(to), calls, seconds, bar, None)]
            else:
                found = [measure(name, calls, seconds, bar) for name in SERVERS if only in (None, name)]
        except EOFError:
            raise click.ClickException("a process of the benchmark has died; what it said stands above") from None
    if as_json:
        click.echo(json.dumps({**machine(), "servers": [asdict(one) for one in found]}))
    else:
        _show(found)


def _show(found: list[Finding]) -> None:
    console, here = Console(highlight=False), machine()
    console.print(f"{here['machine']}, {here['date']}; {found[0].calls} calls, {found[0].seconds:.0f} s each")
    table = Table("", *(one.server for one in found))
    rows: dict[str, Callable[[Finding], str]] = {
        "CPU of the server, s/s": lambda one: "-" if one.cpu_per_s is None else f"{one.cpu_per_s:.3f}",
        "frame gap p50, ms": lambda one: f"{one.gap_p50_ms:.1f}",
        "frame gap p99, ms": lambda one: f"{one.gap_p99_ms:.1f}",
        "frame gap p99.9, ms": lambda one: f"{one.gap_p999_ms:.1f}",
        "frame gap max, ms": lambda one: f"{one.gap_max_ms:.1f}",
        "frames received of those due": lambda one: f"{one.frames_share:.1%}",
        "calls lost": lambda one: str(one.calls_lost),
        "callers' sending late p99, ms": lambda one: f"{one.callers_late_p99_ms:.1f}",
        "CPU of the callers, s/s": lambda one: f"{one.callers_cpu_per_s:.3f}",
    }
    for name, text in rows.items():
        table.add_row(name, *(text(one) for one in found))
    console.print(table)
    for one in found:
        verdict = "within" if one.gap_p999_ms <= LIMIT_MS else "over"
        console.print(f"{one.server}: p99.9 is {verdict} the {LIMIT_MS:.0f} ms that a call may have")


if __name__ == "__main__":
    main()
