"""The people at warm targets, as a scenario has them: they take the call, or not, after so many seconds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from voicebridge.handoff.desk import WarmState
from voicebridge.handoff.directory import Directory
from voicebridge.scenario.format import Human

NOBODY = Human(state="no_answer", after=20.0)
"""Who is not in the script."""


class Humans:
    """A `handoff.desk.Warm` that waits for nothing: how long it took is asked for afterwards."""

    def __init__(self, humans: Mapping[str, Human], directory: Directory) -> None:
        self._by_dial = {}
        for name, human in humans.items():
            if (there := directory.destination(name)) is not None:
                self._by_dial[there.target.dial] = human
        self._waited = 0.0

    async def call(
        self, endpoint: str, *, briefing: str, line: str, ring_s: float
    ) -> AsyncGenerator[WarmState, None]:
        human = self._by_dial.get(endpoint, NOBODY)
        yield "calling"
        ringing = human.state == "no_answer" and human.after > ring_s
        self._waited += ring_s if ringing else human.after
        yield human.state

    def take_waited(self) -> float:
        """Seconds since this was asked last."""
        waited, self._waited = self._waited, 0.0
        return waited
