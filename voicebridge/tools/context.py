"""What a tool is told about the call it works for, and what it may answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from voicebridge.conversation.agent import AgentSpec

SPOKEN = ("confirm", "fillers", "failed", "alternative")
"""Settings that every tool has: what is said around it, in the agent's language."""


@dataclass(frozen=True, slots=True)
class CallInfo:
    """A call as the runner has to know it; the same for all tools of the call.

    `tools` is the allow-list: a model that names another gets unknown_tool. `settings` are per tool, from the agent's
    file (they beat those of voicebridge.toml). `caller` and `dialled` are numbers as the PBX gave them, perhaps empty.
    """

    call_id: str
    agent: str = ""
    language: str = "en"
    caller: str = ""
    dialled: str = ""
    tools: frozenset[str] = frozenset()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, agent: AgentSpec, call_id: str, *, caller: str = "", dialled: str = "") -> CallInfo:
        """`agent` with its toolbox filled (`catalogue.equip`)."""
        allowed = frozenset(tool.name for tool in agent.toolbox)
        return cls(call_id, agent.name, agent.language, caller, dialled, allowed, agent.tool_settings)


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The first parameter of a tool that wants one; not part of its schema.

    `settings`: what voicebridge.toml and the agent's file say for this tool. `key` is the idempotency key: the same for
    every attempt of one run, so that a write that is tried twice happens once. `deadline` is on `time.monotonic`'s
    clock. `progress` tells the caller, in a short sentence, how far it is; it may be called from a thread. `now` gives
    an aware time. `folder` is for what the tool keeps (it may not exist yet).
    """

    tool: str
    call_id: str
    agent: str
    language: str
    caller: str
    dialled: str
    settings: Mapping[str, Any]
    key: str
    deadline: float
    folder: Path
    now: Callable[[], datetime]
    progress: Callable[[str], None]

    def left(self) -> float:
        """Seconds until the run is given up; 0 when it is over."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True, slots=True)
class ToolReply:
    """A result with words for the caller, and what it may want of the call.

    `say`: one or two sentences. `data`: anything JSON can hold (also dataclasses, pydantic models, dates), for the
    model and for a form's `done`. `hand_off`: a configured target's name. `hang_up`: the call ends after `say`.
    """

    say: str = ""
    data: Any = None
    hand_off: str = ""
    hang_up: bool = False


class ToolError(Exception):
    """It did not work, and the tool has words for the caller: "I can't find that order."

    `transient`: the system behind the tool is at fault, so it is tried again where the tool is idempotent, and counts
    for the circuit breaker. Otherwise it is an answer like any other, only not the wished-for one.
    """

    def __init__(self, say: str = "", *, transient: bool = False) -> None:
        super().__init__(say)
        self.say = say
        self.transient = transient


class SetupError(Exception):
    """A tool's settings cannot be used; `create` of a toolbox raises it. The text names the key and the cure."""
