"""What one call tells the bus while it runs: its turns as they grow, and what caller and agent are doing."""

from __future__ import annotations

import json
import time
from typing import Any

from voicebridge.conversation.core import Conversation
from voicebridge.trace.bus import Bus
from voicebridge.trace.timeline import Timeline, TurnTrace

TURN_TICKS = 15
"""Of the media clock: a turn is told three times a second at most: more often costs more than anybody sees."""
LOOKED_AT = 2
"""A turn may still change when the next one has begun: a tool ends, a sentence is heard to its end."""


class News:
    """`stepped` after every step of the core, `tick` with the media clock. Costs nothing while nobody listens.

    `zero`: the call's beginning, by the clock of its timeline.
    """

    def __init__(self, bus: Bus | None, call_id: str, core: Conversation, timeline: Timeline, zero: float) -> None:
        self._bus = bus
        self._call_id = call_id
        self._core = core
        self._timeline = timeline
        self._zero = zero
        self._changed = False
        self._ticks = 0
        self._known = 0
        self._state: tuple[str, str] = ("", "")
        self._told: dict[int, str] = {}
        """The last turns as they were told, by number: as text, for what is in a turn goes on changing."""
        self._settled: dict[int, dict[str, Any]] = {}

    def stepped(self) -> None:
        if self._bus is None or not self._bus.wanted:
            return
        self._changed = self._bus.wants("turn")
        state = (self._core.caller.name.lower(), self._core.state.name.lower())
        if state != self._state:
            self._state = state
            if self._bus.wants("state"):
                self._publish("state", caller=state[0], agent=state[1])

    def tick(self) -> None:
        self._ticks += 1
        if self._changed and self._ticks >= TURN_TICKS:
            self._ticks, self._changed = 0, False
            self._tell_turns()

    def _tell_turns(self) -> None:
        turns = self._timeline.turns
        last = turns[max(0, min(len(turns), self._known) - LOOKED_AT) :]  # the ones of then, and all that came since
        self._known = len(turns)
        for turn in filter(_tells, last):
            now = self._timeline.told(turn, self._zero)
            if (text := json.dumps(now)) != self._told.get(turn.turn):
                self._told[turn.turn] = text
                self._publish("turn", turn=now)
        self._told = {turn.turn: self._told[turn.turn] for turn in last if turn.turn in self._told}

    def live(self, *, turns: bool = True) -> dict[str, Any]:
        """The call as it stands: `seconds`, `state`, and its turns as in the record. A turn that has settled is made
        once: many may ask, and the media clock waits meanwhile."""
        told: dict[str, Any] = {
            "seconds": round(time.monotonic() - self._zero, 3),
            "state": {"caller": self._core.caller.name.lower(), "agent": self._core.state.name.lower()},
        }
        if turns:
            made = self._timeline.turns
            for turn in made[:-LOOKED_AT]:
                if turn.turn not in self._settled and all(tool.ended is not None for tool in turn.tools):
                    self._settled[turn.turn] = self._timeline.told(turn, self._zero)
            told["turns"] = [
                self._settled.get(turn.turn) or self._timeline.told(turn, self._zero) for turn in filter(_tells, made)
            ]
        return told

    def _publish(self, event: str, **told: Any) -> None:
        if self._bus is not None:
            self._bus.publish({"event": event, "call_id": self._call_id, "at": time.time(), **told})


def _tells(turn: TurnTrace) -> bool:
    """Whether there is anything in it that a record would have."""
    return bool(turn.said or turn.caller or turn.moves)
