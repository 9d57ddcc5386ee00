"""Did the agent do what the scenario expects? Pure: a script and what was observed give the failures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from voicebridge.scenario.format import CallScript, Expect
from voicebridge.scenario.observation import Mark, Observation, Said


@dataclass(frozen=True, slots=True)
class Failure:
    """`step` counts from 0. `what` is the key under `expect` that was not met, or `step` where it never came to it."""

    step: int
    what: str
    expected: str
    got: str


def judge(call: CallScript, seen: Observation) -> list[Failure]:
    """In the order of the steps. After a step that could not be played nothing more is judged."""
    failures: list[Failure] = []
    played = {mark.step for mark in seen.marks}
    for number, step in enumerate(call.steps):
        if step.action != "nothing" and number not in played:
            return [*failures, Failure(number, "step", f"the call goes on with {step.told()}", _why_not(seen))]
        if step.expect is not None:
            failures += _judged(number, step.expect, seen)
    if seen.trouble:
        failures.append(Failure(len(call.steps) - 1, "step", "the agent comes to rest", seen.trouble))
    return failures


def _why_not(seen: Observation) -> str:
    if seen.trouble:
        return seen.trouble
    if seen.ended is not None:
        return f"the agent had ended it: {seen.ended.outcome} ({seen.ended.reason})"
    return f"the call was over ({seen.closed[1]})" if seen.closed is not None else "the call was over"


@dataclass(frozen=True)
class _Turn:
    """What happened while a step was in force."""

    seen: Observation
    mark: Mark
    end: float

    @property
    def said(self) -> list[Said]:
        return self.seen.said_in(self.mark.at, self.end)

    @property
    def text(self) -> str:
        return " ".join(" ".join(said.heard for said in self.said).split())

    def holds(self, at: float) -> bool:
        return self.mark.at <= at and (at < self.end or self.end == self.seen.until)


def _judged(number: int, expect: Expect, seen: Observation) -> Iterator[Failure]:
    turn = _Turn(seen, *seen.window(number))
    for what, check in _CHECKS.items():
        if getattr(expect, what) and (found := check(turn, expect)) is not None:
            yield Failure(number, what, *found)


Found = tuple[str, str] | None
"""What was expected and what came instead, or None where it is as expected."""


def _matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text, re.IGNORECASE) is not None


def _says(turn: _Turn, expect: Expect) -> Found:
    if any(_matches(pattern, turn.text) for pattern in expect.says):
        return None
    return " or ".join(repr(pattern) for pattern in expect.says), repr(turn.text) if turn.text else "nothing was said"


def _says_not(turn: _Turn, expect: Expect) -> Found:
    said = next((pattern for pattern in expect.not_says if _matches(pattern, turn.text)), None)
    return None if said is None else (f"not {said!r}", repr(turn.text))


def _tool(turn: _Turn, expect: Expect) -> Found:
    wanted = expect.tool
    assert wanted is not None
    runs = [run for run in turn.seen.tools if turn.holds(run.at)]
    if any(run.tool == wanted.name and agrees(wanted.arguments, run.arguments) for run in runs):
        return None
    return _call(wanted.name, wanted.arguments), ", ".join(_call(run.tool, run.arguments) for run in runs) or "no tool"


def _not_tool(turn: _Turn, expect: Expect) -> Found:
    runs = [run for run in turn.seen.tools if turn.holds(run.at) and run.tool == expect.not_tool]
    return (f"not {expect.not_tool}", _call(runs[0].tool, runs[0].arguments)) if runs else None


def _hand_off(turn: _Turn, expect: Expect) -> Found:
    targets = [gone.target or "the fallback" for gone in turn.seen.handed if turn.holds(gone.at)]
    return None if expect.hand_off in targets else (expect.hand_off, ", ".join(targets) or "no handoff")


def _ends(turn: _Turn, expect: Expect) -> Found:
    ended = turn.seen.ended
    if ended is None or not turn.holds(ended.at):
        return str(expect.ends), "the agent did not end the call" if ended is None else "it ended at another step"
    return None if ended.outcome == expect.ends else (str(expect.ends), f"{ended.outcome} ({ended.reason})")


def _within(turn: _Turn, expect: Expect) -> Found:
    gap = answer_gap(turn.seen, turn.mark, turn.end)
    if gap is None:
        return f"an answer within {expect.within_ms} ms", "no answer"
    late = round(gap * 1000) > (expect.within_ms or 0)
    return (f"an answer within {expect.within_ms} ms", f"it came after {gap * 1000:.0f} ms") if late else None


def _silence(turn: _Turn, expect: Expect) -> Found:
    longest = turn.seen.silence(turn.mark.done, turn.end)
    if round(longest * 1000) <= (expect.silence_ms or 0):
        return None
    return f"no more than {expect.silence_ms} ms of silence", f"{longest * 1000:.0f} ms"


_CHECKS: dict[str, Callable[[_Turn, Expect], Found]] = {
    "says": _says,
    "not_says": _says_not,
    "tool": _tool,
    "not_tool": _not_tool,
    "hand_off": _hand_off,
    "ends": _ends,
    "within_ms": _within,
    "silence_ms": _silence,
}


def answer_gap(seen: Observation, mark: Mark, end: float) -> float | None:
    """Seconds from the end of the caller's doing to the first sound of the answer's own words; fillers do not count."""
    answers = [said for said in seen.said_in(mark.at, end) if said.kind != "filler" and said.begins >= mark.done]
    return None if not answers else seen.audible_from(answers[0].begins) - mark.done


def agrees(wanted: Any, got: Any) -> bool:
    """Whether `wanted` is a part of `got`: keys may be missing from it, text is compared without regard to case."""
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(key in got and agrees(value, got[key]) for key, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(got, list) and len(wanted) == len(got) and all(map(agrees, wanted, got))
    if isinstance(wanted, bool) or isinstance(got, bool) or wanted is None or got is None:
        return wanted is got
    return str(wanted).casefold() == str(got).casefold()


def _call(tool: str, arguments: Any) -> str:
    return f"{tool}({json.dumps(arguments, ensure_ascii=False) if arguments else ''})"
