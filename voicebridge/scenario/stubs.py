"""Canned tools: what a scenario says they give, one run after the other."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.scenario.format import Stub
from voicebridge.tools.runner import ToolOutcome
from voicebridge.tools.schema import BadArguments
from voicebridge.tools.tool import Tool

ANYTHING = '{"type":"object","properties":{}}'


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


def missing_specs(agent: AgentSpec, canned: Mapping[str, Sequence[Stub]]) -> tuple[ToolSpec, ...]:
    """Tools that the agent may use and that are only canned: they take any arguments."""
    known = {spec.name for spec in agent.toolbox}
    return tuple(
        ToolSpec(name, "", ANYTHING) for name in agent.tools if name in canned and name not in known
    )
