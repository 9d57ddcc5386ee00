"""Plays a scenario's steps: the same order of things in a virtual call and in a real one."""

from __future__ import annotations

from typing import Protocol

from voicebridge.scenario.format import CallScript, Step
from voicebridge.scenario.observation import Mark

INTERRUPT_AFTER_S = 0.8
"""A caller who interrupts begins so long after the agent's first word, where the script does not say."""


class Stuck(Exception):
    """The call cannot be played further; the text says why."""


class LiveError(Exception):
    """Real calls cannot be made, or nothing can be known of them; the text names cause and cure."""


class Line(Protocol):
    """The caller's side of one call. Times are seconds on a clock of its own. The waiting methods raise Stuck."""

    @property
    def over(self) -> bool:
        """The call has ended."""

    def now(self) -> float: ...

    async def rest(self) -> None:
        """Until the agent has done and said all that it will before the caller does something; or the call is over."""

    async def speaks(self, seconds: float) -> None:
        """Until so long after the first word of the agent's answer to what the caller did last."""

    async def wait(self, seconds: float) -> None: ...

    async def say(self, number: int, step: Step) -> float:
        """The caller speaks; gives the moment of his last voice."""

    async def press(self, keys: str) -> None: ...

    async def hang_up(self) -> None: ...


async def play(call: CallScript, line: Line) -> tuple[list[Mark], str]:
    """What was played and when, and why it could not go on ("" where it could)."""
    marks: list[Mark] = []
    try:
        for number, step in enumerate(call.steps):
            if step.action == "nothing":
                continue
            await _before(step, line)
            if line.over:
                return marks, ""
            marks.append(await _act(number, step, line))
        await line.rest()
    except Stuck as stuck:
        return marks, str(stuck)
    return marks, ""


async def _before(step: Step, line: Line) -> None:
    if step.action == "interrupt":
        await line.speaks(step.after or INTERRUPT_AFTER_S)
        return
    if not step.meanwhile:
        await line.rest()
    if step.action != "wait" and not line.over:
        await line.wait(step.after)


async def _act(number: int, step: Step, line: Line) -> Mark:
    at = done = line.now()
    match step.action:
        case "caller" | "interrupt":
            done = await line.say(number, step)
        case "keys":
            await line.press(step.keys)
            done = line.now()
        case "hang_up":
            await line.hang_up()
        case _:
            await line.wait(step.after)
    return Mark(number, at, done)
