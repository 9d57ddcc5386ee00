"""Canned tools: what a scenario says they give, one run after the other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from voicebridge.conversation.agent import AgentSpec
from voicebridge.scenario.format import Stub
from voicebridge.tools.catalogue import Shelf
from voicebridge.tools.runner import ToolOutcome
from voicebridge.tools.schema import BadArguments, Parameter
from voicebridge.tools.tool import Tool


class Stubs:
    """One call's. Runs take turns; the last canned one stands for all that follow."""

    def __init__(self, canned: Mapping[str, Sequence[Stub]], tools: Mapping[str, Tool]) -> None:
        self._canned = canned
        self._tools = tools
        self._runs: Counter[str] = Counter()

    def take(self, name: str, arguments: str) -> tuple[Stub, ToolOutcome] | None:
        """The next run of a canned tool, and what comes of it; None for a real one.

        Where the real tool is installed, the arguments must fit it as they would have to in earnest.
        """
        canned = self._canned.get(name)
        if canned is None:
            return None
        if (real := self._tools.get(name)) is not None:
            try:
                real.parse(arguments)
            except BadArguments as error:
                return Stub(takes=0), ToolOutcome(False, data=error.told(), cause="invalid_arguments")
        stub = canned[min(self._runs[name], len(canned) - 1)]
        self._runs[name] += 1
        return stub, outcome(stub)


def outcome(stub: Stub) -> ToolOutcome:
    data = "" if stub.data is None else json.dumps(stub.data, ensure_ascii=False, default=str)
    ok = stub.fails is None
    return ToolOutcome(ok, stub.say, data if ok else "", stub.fails or "", stub.hand_off, stub.hang_up)


def stock(shelf: Shelf, agent: AgentSpec, canned: Iterable[str]) -> None:
    """Put onto the shelf what the agent uses and only the scenario has: it takes what the agent gives it."""
    for name in canned:
        if name in agent.tools and name not in shelf.tools:
            parameters = [Parameter(argument, Any, None) for argument in _arguments(agent, name)]
            shelf.tools[name] = Tool.of(_never, parameters, name=name)


def installed(shelf: Shelf) -> list[Tool]:
    """The tools that can be run in earnest."""
    return [tool for tool in shelf.tools.values() if tool.function is not _never]


def _arguments(agent: AgentSpec, tool: str) -> Iterator[str]:
    """What the agent's rules and forms give to a tool."""
    names: list[str] = []
    for rule in agent.rules:
        names += rule.arguments if rule.tool == tool else ()
    for form in agent.forms:
        if form.tool == tool:
            names += [*(slot.name for slot in form.slots), *(name for name, _ in form.fixed)]
    yield from dict.fromkeys(names)


async def _never() -> None:
    """Canned tools are not run."""
