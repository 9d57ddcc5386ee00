"""The core's stage with a timeline that watches it: its log, its turns and its event log are those of a real call."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.conversation.stage import AGENT, RULED, Engine, Stage
from voicebridge.conversation import events as ev
from voicebridge.trace.eventlog import Step
from voicebridge.trace.timeline import Timeline, TurnTrace

VOICE_AFTER_S = 0.03
"""Every segment on this stage begins with so much silence."""

__all__ = ["AGENT", "RULED", "Engine", "Watched", "VOICE_AFTER_S"]


@dataclass
class Watched(Stage):
    """Its model is quick enough that no first clause is cut in a hurry."""

    llm: Engine = field(default_factory=lambda: Engine(0.04))
    timeline: Timeline = field(default_factory=Timeline)
    steps: list[Step] = field(default_factory=list)

    def _deliver(self, event: ev.Event) -> None:
        if isinstance(event, ev.PlaybackStarted):
            self.timeline.audible(event.segment, self.now + VOICE_AFTER_S)
        self.fed.append((self.now, event))
        wanted = self.core.handle(event, self.now)
        self.timeline.watch(self.now, event, wanted)
        self.steps.append(Step(self.now, event, tuple(wanted)))
        for command in wanted:
            self.log.append((self.now, command))
            self._carry_out(command)

    def turn(self, caller: str) -> TurnTrace:
        """The turn in which these words were understood."""
        (found,) = [turn for turn in self.timeline.turns if turn.caller == caller]
        return found
