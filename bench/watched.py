"""What it costs the media clock that people watch: `python -m bench.watched [CALLS] [WATCHERS] [SECONDS]`.

The media clock, a bus and a control socket in this process; calls that tell what real ones do (a turn or a state about
seven times a second each); watchers that stream it, in a process of their own. The same run without and with them.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

import uvloop

from voicebridge.audio.clock import Lateness, Ticker
from voicebridge.control.client import Control
from voicebridge.control.server import ControlServer
from voicebridge.trace.bus import Bus

EVERY_TICKS = 7


class House:
    """Answers nothing but the stream."""

    def status(self) -> dict[str, Any]:
        return {}

    def live_calls(self) -> tuple[str, ...]:
        return ()

    def live_call(self, call_id: str, *, turns: bool = True) -> dict[str, Any] | None:
        return None

    def end_call(self, call_id: str, outcome: Literal["fallback", "hangup"]) -> bool:
        return False

    def drain(self, on: bool) -> None: ...

    async def reload(self) -> dict[str, Any]:
        return {}

    def metrics(self) -> Iterator[bytes]:
        yield b""


class Telling:
    """A call's news: every seventh tick a turn of some two kilobytes, while anybody listens."""

    def __init__(self, bus: Bus, number: int) -> None:
        self._bus, self._number, self._ticks = bus, number, number
        said = [{"kind": "answer", "text": "word " * 20, "heard": "word " * 20, "complete": True, "at": 1.0}] * 4
        spans = [{"name": "model's first token", "actor": "llm", "from": 1.0, "to": 1.2}] * 8
        self._turn = {"turn": 3, "caller": "What does it cost?", "said": said, "spans": spans, "marks": {}}

    def tick(self, now: float) -> None:
        self._ticks += 1
        if self._ticks % EVERY_TICKS == 0 and self._bus.wants("turn"):
            told = {"event": "turn", "call_id": f"call-{self._number}", "at": now, "turn": self._turn}
            self._bus.publish(told)


def watchers(path: Path, count: int) -> None:
    async def watch() -> None:
        async with aclosing(Control(path).events()) as events:
            async for _ in events:
                pass

    async def all_of_them() -> None:
        await asyncio.gather(*(watch() for _ in range(count)), return_exceptions=True)

    asyncio.run(all_of_them())


async def measured(ticker: Ticker, seconds: float) -> dict[str, float]:
    ticker.lateness = Lateness()
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    await asyncio.sleep(seconds)
    after, took = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    late = ticker.lateness
    return {
        "cpu_percent": round(100 * cpu / took, 2), "late_p50_ms": late.quantile_ms(0.5),
        "late_p99_ms": late.quantile_ms(0.99), "late_max_ms": round(late.worst_s * 1000, 1),
    }  # fmt: skip


async def main(calls: int, count: int, seconds: float) -> None:
    bus, ticker = Bus(), Ticker()
    path = Path(tempfile.mkdtemp(prefix="vb-")) / "control.sock"
    server = ControlServer(path, House(), bus)
    await server.start()
    for number in range(calls):
        ticker.add(Telling(bus, number).tick)
    ticker.start()
    found = {"unwatched": await measured(ticker, seconds)}
    process = multiprocessing.get_context("spawn").Process(target=watchers, args=(path, count), daemon=True)
    await asyncio.to_thread(process.start)
    async with asyncio.timeout(60):
        while len(server.feed) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)
    found["watched"] = await measured(ticker, seconds)
    process.terminate()
    async with asyncio.timeout(20):
        while len(server.feed):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    found["lost"] = {"lines": server.feed.lost}
    ticker.stop()
    await server.stop()
    print(json.dumps({"calls": calls, "watchers": count, **found}, indent=1))


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    uvloop.run(main(*(given + [50, 50, 10][len(given) :])))
