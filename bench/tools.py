"""Tools that are slow, fail, hang, or give rubbish: what the caller hears meanwhile, and what he is told.

    python -m bench.tools [--seconds 10] [--json]

A real daemon with the embedded engines; the caller presses keys, each of which runs a tool. Silence is measured from
the frames that arrive: from the key to the last word of the answer, by energy.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import uvloop

from bench.machine import machine
from voicebridge.audio.measure import voiced_spans
from voicebridge.config import Config, Listen, Settings, Store
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.daemon import Daemon
from voicebridge.phone import Line, Phone
from voicebridge.tools import ToolContext, tool
from voicebridge.tools.catalogue import Shelf
from voicebridge.tools.tool import Tool

QUIET_S = 2.0
"""Longer than any pause of ours: the agent has nothing more to say."""
RECORD_S = 5.0
HUGE = 5_000_000
AGENT = AgentSpec(
    name="tools",
    greeting="Hello.",
    model_scope="none",
    rules=(
        Rule("slow", dtmf="1", action="tool", tool="slow"),
        Rule("fails", dtmf="2", action="tool", tool="fails"),
        Rule("hangs", dtmf="3", action="tool", tool="hangs"),
        Rule("garbage", dtmf="4", action="tool", tool="garbage"),
        Rule("huge", dtmf="5", action="tool", tool="huge"),
        Rule("still_here", dtmf="6", say=("Yes, I am still here.",)),
        Rule("flaky", dtmf="7", action="tool", tool="flaky"),
    ),
    tools=("slow", "fails", "hangs", "garbage", "huge", "flaky"),
)


@dataclass
class Weather:
    """Whether the system behind the flaky tool is up."""

    up: bool = True


def faulty(slow_s: float, weather: Weather) -> list[Tool]:
    @tool(deadline_s=slow_s + 10)
    async def slow(ctx: ToolContext) -> str:
        """Takes its time."""
        await asyncio.sleep(slow_s)
        return "I have found it at last."

    @tool
    async def fails() -> str:
        """Raises."""
        raise RuntimeError("the system behind it is down")

    @tool(deadline_s=3)
    async def hangs() -> str:
        """Never ends by itself."""
        await asyncio.sleep(3600)
        return "never"

    @tool
    async def garbage() -> Any:
        """Gives what is no JSON."""
        return {"at": object(), 5: {1, 2}}

    @tool
    async def huge() -> str:
        """Gives five megabytes."""
        return "x" * HUGE

    @tool
    async def flaky() -> str:
        """Works while the weather is good."""
        if not weather.up:
            raise ConnectionError("down")
        return "It works."

    return [slow, fails, hangs, garbage, huge, flaky]


class KeyPhone(Phone):
    """Presses keys, each when the agent has nothing more to say, and waits for the words that follow."""

    def __init__(self, host: str, port: int, keys: str) -> None:
        super().__init__(host, port)
        self._keys = keys
        self.pressed: list[float] = []

    async def _talk(self, lines: Sequence[Line], linger_s: float) -> None:
        await self._until_agent_has_finished(after=0.0)
        for key in self._keys:
            self.pressed.append(self._now())
            assert self._client is not None
            self._client.send_dtmf(key)
            await self._until_all_is_said(self.pressed[-1])

    async def _until_all_is_said(self, since: float) -> None:
        def done() -> bool:
            last = self._last_voiced_at
            return last is not None and last > since and self._now() - last > QUIET_S

        await self._wait_until(done)


@dataclass(frozen=True, slots=True)
class Seen:
    """One key: what ran, how it ended, the words, and the longest silence (seconds) until the last of them."""

    tool: str
    cause: str
    tool_ms: int | None
    silence_s: float
    words: str


async def press(daemon: Daemon, keys: str) -> list[Seen]:
    """One call in which these keys are pressed; what became of each. `daemon` runs in this process."""
    records: list[Any] = []
    recorded = asyncio.Event()

    def keep(record: Any) -> None:
        records.append(record)
        recorded.set()

    daemon.registry.on_record = keep
    phone = KeyPhone("127.0.0.1", daemon.port, keys)
    heard = await phone.call([], linger_s=0.0)
    await asyncio.wait_for(recorded.wait(), RECORD_S)
    turns = [turn for turn in records[0]["turns"] if turn["said"]][1:]  # behind the greeting
    made = []
    spans = [(heard.moment(a), heard.moment(b)) for a, b in voiced_spans(bytes(heard.agent), heard.rate)]
    ends = [*phone.pressed[1:], heard.seconds]
    for turn, begin, end in zip(turns, phone.pressed, ends, strict=True):
        edges = [begin, *(edge for span in spans if begin < span[0] < end for edge in span)]
        silences = [after - before for before, after in zip(edges[0::2], edges[1::2], strict=False)]
        tools = turn["tools"]
        words = " ".join(said["heard"] for said in turn["said"] if said["at"] is not None)
        name, cause = (tools[0]["tool"], tools[0]["cause"]) if tools else ("", "")
        made.append(Seen(name, cause, tools[0]["ms"] if tools else None, round(max(silences, default=0.0), 3), words))
    return made


async def running(folder: Path, slow_s: float, weather: Weather) -> Daemon:
    settings = Settings(
        config=Config(
            listen=Listen(audiosocket="127.0.0.1:0", fastagi=""), store=Store(dir=folder), default_agent=AGENT.name
        ),
        agents={AGENT.name: AGENT},
        source="bench.tools",
    )
    shelf = Shelf(tools={made.name: made for made in faulty(slow_s, weather)})
    daemon = Daemon(settings, shelf=shelf)
    await daemon.start()
    return daemon


async def measure(slow_s: float) -> list[Seen]:
    with tempfile.TemporaryDirectory() as folder:
        daemon = await running(Path(folder), slow_s, Weather())
        try:
            return await press(daemon, "123456")
        finally:
            await daemon.close()


@click.command()
@click.option("--seconds", default=10.0, show_default=True, help="How long the slow tool takes.")
@click.option("--json", "as_json", is_flag=True, help="Print the numbers as JSON.")
def main(seconds: float, as_json: bool) -> None:
    """What callers hear while tools are slow or fail."""
    seen = uvloop.run(measure(seconds))
    if as_json:
        click.echo(json.dumps({**machine(), "seen": [asdict(each) for each in seen]}, indent=2))
        return
    for each in seen:
        took = f"{each.tool_ms / 1000:.1f} s" if each.tool_ms is not None else "-"
        click.echo(f"{each.tool or '(no tool)':10} {each.cause or 'ok':16} {took:>7}  silence {each.silence_s:.2f} s")
        click.echo(f"           {each.words}")
    click.echo(f"longest silence {max(each.silence_s for each in seen):.2f} s   ({machine()['machine']})")


if __name__ == "__main__":
    main()
