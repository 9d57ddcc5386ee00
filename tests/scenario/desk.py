"""A small agent with its configuration, and how its scenarios are played in a test."""

from __future__ import annotations

import asyncio
from pathlib import Path

from voicebridge.config import Settings, load
from voicebridge.scenario.rehearsal import rehearse
from voicebridge.scenario.suite import Result, Suite, open_suite

AGENT = """
name = "desk"
greeting = "Hello, this is the desk. How can I help you?"
model_scope = "smalltalk"
tools = ["status", "book"]
targets = ["sales", "voicemail"]
human = "sales"
[[rules]]
name = "hours"
examples = ["when are you open", "what are your opening hours"]
say = ["We are open from nine to five, Monday to Friday, and on Saturdays from ten to two."]
[[rules]]
name = "status"
action = "tool"
tool = "status"
arguments = { order = "123", express = true }
examples = ["where is my order", "what about my order"]
done = ["Your order is {state}."]
[[rules]]
name = "human"
action = "handoff"
examples = ["a human please", "let me talk to somebody"]
[[rules]]
name = "bye"
action = "end_call"
say = ["Goodbye."]
examples = ["goodbye", "bye bye"]
[[rules]]
name = "chat"
action = "model"
examples = ["how are you", "tell me a joke"]
[lines]
no_input = ["Are you still there?"]
unknown = ["I don't know that."]
[limits]
misunderstandings = 9
"""
CONFIG = """
config:
  targets:
    sales:
      {queue: sales, hours: "mon-fri 09:00-17:00", timezone: Europe/Berlin, announce: I connect you., next: voicemail}
    voicemail: {extension: "800", context: vm, strategy: blind}
tools:
  status: {data: {state: unknown}}
  book: {say: Booked.}
"""


def written(folder: Path, calls: str, *, agent: str = AGENT, config: str = CONFIG) -> Path:
    """The agent and a scenario file beside it."""
    (folder / "desk.toml").write_text(agent)
    path = folder / "desk.test.yaml"
    path.write_text(f"{config}\nnow: 2026-11-30 10:00:00+01:00\ncalls:\n{calls}")
    return path


def base() -> Settings:
    return load()


def opened(folder: Path, calls: str, **more: str) -> Suite:
    return open_suite(written(folder, calls, **more), base())


def played(folder: Path, calls: str, **more: str) -> list[Result]:
    """The results of all calls, virtually."""

    async def run() -> list[Result]:
        return [result async for result in rehearse([opened(folder, calls, **more)])]

    return asyncio.run(run())
