"""Turns made slow on purpose, one each in STT, LLM, TTS and a tool: does the record blame the right one?

    python -m bench.blamed [--rounds 3] [--json]

A real daemon with the embedded engines and a recorded caller. A worker is frozen (SIGSTOP) for a second and a bit while
the caller waits for it; the tool sleeps. What counts is the turn's `slow` in the record: who, and in which words. Exit
code 1 where a slow turn is blamed on somebody else, or is not slow at all.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console
from rich.progress import track

from bench.calls import MODEL_QUESTIONS, RATE, Round, lines
from bench.faults import TRAIL_S, worker_pids
from bench.machine import machine
from voicebridge.config import Config, Listen, Settings, Store
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.daemon import Daemon
from voicebridge.phone import Line, Phone
from voicebridge.tools import tool
from voicebridge.tools.catalogue import Shelf
from voicebridge.trace.render import show_call

FROZEN_S = 1.3
"""Shorter than what the supervisor takes for dead."""
TOOL_S = 2.0
RECORD_S = 10.0
BEGINS_S = {"stt": -0.1, "llm": 0.15, "tts": 0.25}
"""When a worker is frozen, from the caller's last voiced sample: before it has what it needs to be done."""
PLAN = ("stt", "llm", "tts", "tool")
WORKERS = {"stt": "moonshine", "llm": "llama_server", "tts": "espeak"}
AGENT = AgentSpec(name="slow", greeting="Hello.", instructions="Answer in one short sentence.", model_scope="open")


@dataclass(frozen=True)
class Blamed:
    """`actor`, `text`: what the record says; "" where it does not call the turn slow. `gap_s` is the turn's."""

    slowed: str
    actor: str
    text: str
    gap_s: float | None

    @property
    def right(self) -> bool:
        return self.slowed == self.actor


@tool(deadline_s=TOOL_S + 5)
async def look_up() -> str:
    """Looks it up, slowly."""
    await asyncio.sleep(TOOL_S)
    return "I have found it."


RULE = Rule(
    "look_up",
    examples=("how long does a service take", "how long will the basic service take", "when is the service done"),
    action="tool",
    tool="look_up",
)


async def running(folder: Path) -> Daemon:
    agent = replace(AGENT, rules=(RULE,), tools=("look_up",))
    settings = Settings(
        config=Config(
            listen=Listen(audiosocket="127.0.0.1:0", fastagi=""), store=Store(dir=folder), default_agent=agent.name
        ),
        agents={agent.name: agent},
        source="bench.blamed",
    )
    daemon = Daemon(settings, shelf=Shelf(tools={"look_up": look_up}))
    await daemon.start()
    return daemon


def freeze(worker: str) -> None:
    """For FROZEN_S."""
    pid = worker_pids(os.getpid())[worker]
    os.kill(pid, signal.SIGSTOP)
    asyncio.get_running_loop().call_later(FROZEN_S, os.kill, pid, signal.SIGCONT)


async def place(daemon: Daemon) -> Round:
    """One call, whose turns are made slow as PLAN says."""
    kept: asyncio.Queue[Any] = asyncio.Queue()
    daemon.registry.on_record = kept.put_nowait
    asked = chosen()
    slowed = {line.label: kind for line, kind in zip(asked, PLAN, strict=True)}

    def on_event(text: str) -> None:
        label = text.removeprefix("caller: ")
        if (kind := slowed.get(label)) in BEGINS_S:
            line = next(line for line in asked if line.label == label)
            after = len(line.pcm) / 2 / RATE - TRAIL_S + BEGINS_S[kind]
            asyncio.get_running_loop().call_later(after, freeze, WORKERS[kind])

    heard = await Phone("127.0.0.1", daemon.port, on_event=on_event).call(asked)
    return Round(heard, await asyncio.wait_for(kept.get(), RECORD_S))


def chosen() -> list[Line]:
    """Three that the model answers, and one that wants the tool."""
    known = {line.label: line for line in lines(MODEL_QUESTIONS)}
    return [known[name] for name in ("m01", "m02", "m03", "m04")]


def judged(made: Round) -> list[Blamed]:
    found = []
    for slowed, (_, turns) in zip(PLAN, made.turns(), strict=True):
        turn = next((turn for turn in turns if turn["gap_s"] is not None), None)
        slow = (turn["slow"] if turn is not None else None) or {"actor": "", "text": ""}
        found.append(Blamed(slowed, slow["actor"], slow["text"], turn["gap_s"] if turn is not None else None))
    return found


async def measure(rounds: int, console: Console) -> list[Blamed]:
    with tempfile.TemporaryDirectory() as folder:
        daemon = await running(Path(folder))
        try:
            found: list[Blamed] = []
            for _ in track(range(rounds), description="calls", console=console):
                made = await place(daemon)
                found += judged(made)
                if made.record is not None:
                    show_call(console, made.record)
            return found
        finally:
            await daemon.close()


@click.command()
@click.option("--rounds", default=1, show_default=True, help="Calls of four slow turns each.")
@click.option("--json", "as_json", is_flag=True)
def main(rounds: int, as_json: bool) -> None:
    """Make turns slow on purpose, and see who is blamed."""
    found = uvloop.run(measure(rounds, Console(stderr=True)))
    if as_json:
        click.echo(json.dumps({**machine(), "turns": [asdict(each) for each in found]}, indent=2))
    else:
        for each in found:
            click.echo(f"{each.slowed:5} {'right' if each.right else 'WRONG'}  {each.gap_s or 0:.2f} s  {each.text}")
    sys.exit(0 if all(each.right for each in found) else 1)


if __name__ == "__main__":
    main()
