"""Broken AudioSocket streams against the real server, registry and calls: `python -m bench.fuzz --count 10000`.

Everything is voicebridge's own but the engines (stubs, so that ten thousand calls need no models). Nothing may crash,
be logged as an error, or be left behind: legs, calls, tasks, sockets, threads, ticks. Good calls run in between and
after. A stream is made from the seed and its number alone, so that a failing one can be run again with `--only`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import logging
import struct
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console
from rich.progress import Progress

from bench.machine import machine
from bench.streams import STUCK_S, make_stream, play
from voicebridge.audio.clock import Ticker
from voicebridge.call.admission import Admission
from voicebridge.call.matching import RuleMatcher
from voicebridge.call.registry import Registry
from voicebridge.call.speech import Mouth
from voicebridge.call.work import Parts
from voicebridge.conversation.agent import AgentSpec, Limits, Rule
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.base import EngineError, Message, Speech, Transcript, Voice
from voicebridge.pbx.asterisk.audiosocket import AudioSocketServer
from voicebridge.pbx.asterisk.client import AudioSocketClient
from voicebridge.trace.store import CallStore

HANDSHAKE_S = 0.4
IDLE_S = 0.6
AT_ONCE = 50
GOOD_CALL_EVERY = 500


# ---- stub engines


class StubStt:
    """Hears the same in everything, and now and then fails. Its own session."""

    name, ready = "stub", True

    def __init__(self) -> None:
        self._asked = 0

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def close(self) -> None: ...
    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None: ...
    def feed(self, pcm: bytes) -> None: ...

    def session(self, *, rate: int, language: str, phrases: Sequence[str] = ()) -> StubStt:
        return StubStt()

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        self._asked += 1
        began = time.monotonic()
        await asyncio.sleep(0.01)
        if self._asked % 7 == 0:
            raise EngineError("stt", self.name, "crashed")
        return Transcript(0, "are you open on Saturdays", 8_000, began, time.monotonic())


class StubLlm:
    name, ready, context_tokens = "stub", True, 2048

    async def start(self) -> None: ...
    async def stop(self) -> None: ...
    async def close(self) -> None: ...
    async def warm(self, messages: Sequence[Message]) -> None: ...
    async def prefill(self, messages: Sequence[Message]) -> None: ...
    def defer(self, deadline: float) -> None: ...

    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> StubLlm:
        return self

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        deadline: float,
        give_up: float,
        grammar: str = "",
        tools: Sequence[ToolSpec] = (),
    ) -> AsyncIterator[str | ToolCall]:
        for word in ("Yes, ", "we ", "are ", "open ", "on ", "Saturdays."):
            await asyncio.sleep(0.005)
            yield word


class StubTts:
    name, ready = "stub", True

    async def start(self) -> None: ...
    async def stop(self) -> None: ...

    async def synthesize(self, text: str, *, voice: Voice, deadline: float, give_up: float) -> Speech:
        await asyncio.sleep(0.005)
        return Speech(text, struct.pack("<hh", 9_000, -9_000) * (400 * len(text)), 22_050)


AGENT = AgentSpec(
    name="fuzz",
    greeting="Hello, what can I do for you?",
    rules=(Rule("one", dtmf="1", say=("You pressed one.",)), Rule("bye", dtmf="9", say=("Bye.",), action="end_call")),
    limits=Limits(no_input_s=0.5, call_s=3.0),
)


# ---- the run


class Faults(logging.Handler):
    """Every error that anybody logged, and everything the event loop was told of."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[1] if record.exc_info else None
        self.seen.append(f"{record.name}: {record.getMessage()} {cause!r}")

    def loop_fault(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.seen.append(f"loop: {context.get('message')} {context.get('exception')!r}")


@dataclass
class Outcome:
    seed: int
    streams: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    ended_by: dict[str, int] = field(default_factory=dict)
    calls: int = 0
    good_calls: int = 0
    failures: list[str] = field(default_factory=list)
    left_behind: dict[str, int] = field(default_factory=dict)
    rss_mb: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return not self.failures and not any(self.left_behind.values())


class World:
    """Server, clock, registry and stub engines in this process."""

    def __init__(self, folder: Path) -> None:
        self.ticker = Ticker()
        self.store = CallStore(folder, keep_days=1)
        self.store.prepare()
        self._mouth = Mouth(StubTts(), AGENT, folder / "cache")
        self._parts = Parts(AGENT, StubStt(), StubLlm(), self._mouth, RuleMatcher(AGENT, None))
        self.registry = Registry(
            lambda leg, ticket: self._parts, self.ticker, self.store,
            admission=Admission([AGENT.name], AGENT.name, max_calls=1000), record_audio=True, event_log=True,
        )
        self.server = AudioSocketServer(
            "127.0.0.1", 0, self.registry.accept, ticker=self.ticker,
            allow=[ipaddress.ip_network("127.0.0.0/8")], handshake_s=HANDSHAKE_S, idle_s=IDLE_S,
        )  # fmt: skip

    async def start(self) -> None:
        await self._mouth.render()
        await self.server.start()
        self.ticker.start()
        await good_call(self.server.port)  # what is made once (thread pools, caches) is no leak
        await _until(lambda: len(self.registry) == 0)

    async def stop(self) -> None:
        await self.registry.drain(limit_s=1.0)
        await self.server.stop()
        self.ticker.stop()

    def held(self) -> dict[str, int]:
        sockets = 0
        for file in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):
                sockets += str(file.readlink()).startswith("socket:")
        return {
            "legs": len(self.server),
            "calls": len(self.registry),
            "tasks": len(asyncio.all_tasks()),
            "sockets": sockets,
            "recording threads": sum(thread.name.startswith("recording") for thread in threading.enumerate()),
            "ticks": len(self.ticker),
        }


async def good_call(port: int) -> bool:
    """A caller who hears the greeting, presses a key and hangs up. False where any of it failed."""
    heard, closed = asyncio.Event(), asyncio.Event()
    client = await AudioSocketClient.connect(
        "127.0.0.1", port, uuid.uuid4(),
        on_audio=lambda pcm, rate: heard.set() if any(pcm) else None,
        on_closed=lambda reason: closed.set(),
    )  # fmt: skip
    try:
        async with asyncio.timeout(STUCK_S):
            while not heard.is_set():
                client.send_audio(bytes(320))
                await asyncio.sleep(0.02)
            client.send_dtmf("1")
            client.hang_up()
            await closed.wait()
    except TimeoutError:
        client.close()
        return False
    return True


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


async def storm(world: World, numbers: Sequence[int], outcome: Outcome, progress: Callable[[], None]) -> None:
    """Play the streams, AT_ONCE at a time."""
    waiting, kinds, endings = iter(numbers), Counter[str](), Counter[str]()

    async def worker() -> None:
        for number in waiting:
            stream = make_stream(outcome.seed, number)
            ended = await play(stream, world.server.port)
            kinds[stream.kind] += 1
            endings[ended] += 1
            outcome.streams += 1
            if ended == "stuck":
                outcome.failures.append(f"stream {number} ({stream.kind}, {stream.ending}) was not ended by the server")
            if outcome.streams % max(1, len(numbers) // 5) == 0:
                outcome.rss_mb.append(round(rss_mb(), 1))
            if outcome.streams % GOOD_CALL_EVERY == 0:
                await note_good_call(world, outcome)
            progress()

    async with asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(numbers))):
            group.create_task(worker())
    outcome.by_kind, outcome.ended_by = dict(kinds), dict(endings)


async def note_good_call(world: World, outcome: Outcome) -> None:
    if await good_call(world.server.port):
        outcome.good_calls += 1
    else:
        outcome.failures.append(f"a good call failed after {outcome.streams} streams")


async def fuzz(numbers: Sequence[int], seed: int, progress: Callable[[], None] = lambda: None) -> Outcome:
    """The whole run in this event loop; what it found."""
    outcome, faults, began = Outcome(seed), Faults(), time.monotonic()
    loggers = [logging.getLogger(name) for name in ("voicebridge", "asyncio")]
    asyncio.get_running_loop().set_exception_handler(faults.loop_fault)
    for logger in loggers:
        logger.addHandler(faults)
    with tempfile.TemporaryDirectory(prefix="voicebridge-fuzz-") as folder:
        world = World(Path(folder))
        world.registry.on_record = lambda record: setattr(outcome, "calls", outcome.calls + 1)
        try:
            await world.start()
            before = world.held()
            await storm(world, numbers, outcome, progress)
            await note_good_call(world, outcome)
            await _until(lambda: not any(more(world.held(), before).values()))
            outcome.left_behind = more(world.held(), before)
            await world.stop()
        finally:
            for logger in loggers:
                logger.removeHandler(faults)
    outcome.failures += faults.seen
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def more(held: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """What has come on top. Fewer is what somebody else had left, and is gone by now."""
    return {name: max(0, count - before[name]) for name, count in held.items()}


async def _until(condition: Callable[[], bool], limit_s: float = 8.0) -> None:
    until = time.monotonic() + limit_s
    while not condition() and time.monotonic() < until:  # noqa: ASYNC110 - no event tells that nothing is held
        await asyncio.sleep(0.05)


@click.command()
@click.option("--count", default=10_000, show_default=True, help="Streams to send.")
@click.option("--seed", default=1, show_default=True)
@click.option("--only", type=int, help="Send the stream of this number alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(count: int, seed: int, only: int | None, as_json: bool) -> None:
    """Send random, truncated and malformed AudioSocket streams to a real server in this process."""
    logging.getLogger("voicebridge").addHandler(logging.NullHandler())
    logging.getLogger("voicebridge").propagate = False
    console = Console(stderr=True)
    numbers = range(count) if only is None else range(only, only + 1)
    with Progress(console=console) as bar:
        task = bar.add_task("streams", total=len(numbers))
        outcome = uvloop.run(fuzz(numbers, seed, lambda: bar.advance(task)))
    if as_json:
        click.echo(json.dumps({**machine(), **asdict(outcome), "clean": outcome.clean}))
    else:
        _show(Console(highlight=False), outcome)
    sys.exit(0 if outcome.clean else 1)


def _show(console: Console, outcome: Outcome) -> None:
    here = machine()
    console.print(f"{here['machine']}, {here['date']}, seed {outcome.seed}")
    console.print(
        f"{outcome.streams} streams in {outcome.seconds} s, {outcome.calls} became calls; "
        f"{outcome.good_calls} good calls in between and after"
    )
    tables = {"kinds": outcome.by_kind, "ended by": outcome.ended_by, "left behind": outcome.left_behind}
    for name, table in tables.items():
        console.print(f"{name}: " + ", ".join(f"{key} {value}" for key, value in sorted(table.items())))
    console.print(f"resident memory, MB, at each fifth: {outcome.rss_mb}")
    for failure, count in Counter(outcome.failures).most_common(20):
        console.print(f"[red]failure[/] x{count}: {failure}", markup=True)
    console.print("clean" if outcome.clean else f"{len(outcome.failures)} failures")


if __name__ == "__main__":
    main()
