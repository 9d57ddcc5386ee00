"""How a run ended, and how a tool's own return value becomes that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from voicebridge.tools.context import ToolReply
from voicebridge.tools.results import BadResult, TooLarge, one_line, shorten, to_json
from voicebridge.tools.tool import Tool

SAY_CHARS = 600


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """As `conversation.events.ToolDone`, whose causes these are, and `cancelled`. `data` is JSON text or "".

    After invalid_arguments `data` tells the model what is wrong with them.
    """

    ok: bool
    say: str = ""
    data: str = ""
    cause: str = ""
    hand_off: str = ""
    hang_up: bool = False
    ms: int = 0
    attempts: int = 0
    tries: tuple[tuple[float, int, str], ...] = field(default=(), compare=False)
    """Each attempt: when it began (monotonic), its ms, and its cause; "" where it worked."""


@dataclass(slots=True)
class ToolStats:
    """Since the daemon started. `ms` is the sum over all runs; `causes` counts the failures.

    `blocked_ms` is the longest time that the tool held the event loop, and with it every call.
    """

    runs: int = 0
    failures: int = 0
    ms: int = 0
    longest_ms: int = 0
    blocked_ms: int = 0
    causes: dict[str, int] = field(default_factory=dict)

    def count(self, outcome: ToolOutcome) -> None:
        self.runs += 1
        self.ms += outcome.ms
        self.longest_ms = max(self.longest_ms, outcome.ms)
        if not outcome.ok:
            self.failures += 1
            self.causes[outcome.cause] = self.causes.get(outcome.cause, 0) + 1


def outcome_of(tool: Tool, value: Any) -> ToolOutcome:
    """Raises BadResult, TooLarge."""
    if isinstance(value, str):
        value = ToolReply(say=value)
    elif not isinstance(value, ToolReply):
        value = ToolReply(data=value)
    for given, kind in ((value.say, str), (value.hand_off, str), (value.hang_up, bool)):
        if not isinstance(given, kind):
            raise BadResult(f"the reply has a {type(given).__name__} where a {kind.__name__} belongs")
    if len(value.say) > tool.max_bytes or len(value.hand_off) > SAY_CHARS:
        raise TooLarge
    data = "" if value.data is None else to_json(value.data, tool.max_bytes)
    if tool.result is not None:
        data = tool.checked(data)
    return ToolOutcome(
        True, one_line(value.say, SAY_CHARS), shorten(data, tool.model_bytes) if data else "",
        hand_off=value.hand_off, hang_up=value.hang_up,
    )  # fmt: skip
