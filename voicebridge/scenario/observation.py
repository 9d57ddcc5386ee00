"""What happened in a call, as a scenario judges it: made from the core's events and commands.

The same for a virtual call (its steps are kept in memory) and a real one (its event log is read from the store). Times
are seconds on the core's clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.trace.eventlog import Step

Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """Step number `step` (from 0; -1 before the first) begins at `at`; response times count from `done`."""

    step: int
    at: float
    done: float


@dataclass(slots=True)
class Said:
    """One segment that was played: what it was to be, and what of it was heard."""

    kind: str
    text: str
    begins: float
    heard: str = ""
    cut: bool = False


@dataclass(slots=True)
class ToolRun:
    tool: str
    arguments: Any
    at: float
    outcome: str = ""
    """`ok`, the cause of its failure, or "" where the call did not wait for it."""


@dataclass(frozen=True, slots=True)
class Handed:
    """The caller is given to a target: by the PBX's dialplan, or connected by us."""

    target: str
    at: float


@dataclass(frozen=True, slots=True)
class Ended:
    """How the agent ended the call."""

    outcome: str
    reason: str
    target: str
    at: float


@dataclass
class Observation:
    said: list[Said] = field(default_factory=list)
    tools: list[ToolRun] = field(default_factory=list)
    handed: list[Handed] = field(default_factory=list)
    transcripts: list[tuple[float, str]] = field(default_factory=list)
    sounds: list[Span] = field(default_factory=list)
    """When something was to be heard of us: speech, or music on hold."""
    ended: Ended | None = None
    closed: tuple[float, str] | None = None
    """When and why the leg was gone before the agent ended the call."""
    marks: list[Mark] = field(default_factory=list)
    trouble: str = ""
    """Why the call could not be played to its end."""
    zero: float = 0.0
    until: float = 0.0
    """The first and the last moment that is known of."""

    def window(self, step: int) -> tuple[Mark, float]:
        """The mark in force at a step, and when the next one begins."""
        last = max((number for number, mark in enumerate(self.marks) if mark.step <= step), default=0)
        end = self.marks[last + 1].at if last + 1 < len(self.marks) else self.until
        return self.marks[last], end

    def said_in(self, begin: float, end: float) -> list[Said]:
        return [said for said in self.said if begin <= said.begins and (said.begins < end or end == self.until)]

    def audible_from(self, moment: float) -> float:
        """The first moment from there on at which something is heard; the moment itself where nothing is."""
        return next((max(moment, begins) for begins, ends in sorted(self.sounds) if ends > moment), moment)

    def silence(self, begin: float, end: float) -> float:
        """The longest stretch without sound from `begin` to the last sound before `end` (to `end` without one).

        What follows the agent's last sound is the caller's turn.
        """
        longest, quiet_since = 0.0, begin
        for begins, ends in sorted(self.sounds):
            if ends > begin and begins < end:
                longest = max(longest, begins - quiet_since)
                quiet_since = max(quiet_since, ends)
        return longest if quiet_since > begin else end - begin


class _Watch:
    def __init__(self) -> None:
        self.seen = Observation()
        self._wanted: dict[int, cmd.Synthesize] = {}
        self._playing: dict[int, Said] = {}
        self._runs: dict[int, ToolRun] = {}
        self._speech_since: float | None = None
        self._speaking = False
        self._music_since: float | None = None

    def event(self, now: float, event: ev.Event) -> None:
        match event:
            case ev.PlaybackStarted() if event.segment in self._wanted:
                wanted = self._wanted[event.segment]
                said = Said(wanted.kind, wanted.text, now)
                self._playing[event.segment] = said
                self.seen.said.append(said)
                self._speaking = True
                self._speech_since = now if self._speech_since is None else self._speech_since
            case ev.PlaybackFinished() if (done := self._playing.pop(event.segment, None)) is not None:
                done.heard = done.text
            case ev.Drained():
                self._quiet(now)
                self._speaking = False
            case ev.PlayoutCut():
                self._cut(now, event)
            case ev.TranscriptReady() if event.text:
                self.seen.transcripts.append((now, event.text))
            case ev.ToolDone() if event.run in self._runs:
                self._runs[event.run].outcome = "ok" if event.ok else event.cause or "error"
            case ev.HandoffUpdate() if event.state in ("go", "connected"):
                self.seen.handed.append(Handed(event.target, now))
            case ev.CallClosed():
                self.seen.closed = (now, event.reason)
            case _:
                pass

    def command(self, now: float, command: cmd.Command) -> None:
        match command:
            case cmd.Synthesize():
                self._wanted[command.segment] = command
            case cmd.PausePlayout():
                self._quiet(now)
            case cmd.ResumePlayout() if self._speaking:
                self._speech_since = now
            case cmd.RunTool():
                self._runs[command.run] = ToolRun(command.tool, _arguments(command.arguments), now)
                self.seen.tools.append(self._runs[command.run])
            case cmd.Hold():
                self._music(now, on=command.on)
            case cmd.EndCall():
                self.seen.ended = Ended(command.outcome, command.reason, command.target, now)
                if command.outcome == "transfer" and command.target not in (gone.target for gone in self.seen.handed):
                    self.seen.handed.append(Handed(command.target, now))
            case _:
                pass

    def _quiet(self, now: float) -> None:
        if self._speech_since is not None:
            self.seen.sounds.append((self._speech_since, now))
            self._speech_since = None

    def _music(self, now: float, *, on: bool) -> None:
        if on and self._music_since is None:
            self._music_since = now
        elif not on and self._music_since is not None:
            self.seen.sounds.append((self._music_since, now))
            self._music_since = None

    def _cut(self, now: float, event: ev.PlayoutCut) -> None:
        self._quiet(now)
        self._speaking = False
        for cut in event.segments:
            if (said := self._playing.pop(cut.segment, None)) is not None:
                said.heard, said.cut = cut.heard, not cut.complete

    def finish(self, now: float) -> Observation:
        self._quiet(now)
        self._music(now, on=False)
        for said in self._playing.values():  # the call ended in the middle of it
            said.heard, said.cut = said.text, True
        self.seen.until = now
        return self.seen


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def observe(steps: Iterable[Step]) -> Observation:
    watch = _Watch()
    first: float | None = None
    now = 0.0
    for step in steps:
        now = step.now
        first = now if first is None else first
        watch.event(now, step.event)
        for command in step.commands:
            watch.command(now, command)
    seen = watch.finish(now)
    seen.zero = first or 0.0
    seen.marks.append(Mark(-1, seen.zero, seen.zero))
    return seen


# ---- told to people


@dataclass(frozen=True, slots=True)
class Told:
    """One line of a conversation: `who` is caller, agent, filler, tool, handoff or end."""

    at: float
    who: str
    text: str
    note: str = ""


def conversation(seen: Observation, words: dict[int, str]) -> list[Told]:
    """What was said and done, in order; `words` tells of each step what the caller did. Times count from its begin."""
    told = [*_callers(seen, words), *_agents(seen)]
    told += [Told(run.at, "tool", run.tool, run.outcome or "not waited for") for run in seen.tools]
    told += [Told(gone.at, "handoff", gone.target or "fallback") for gone in seen.handed]
    if seen.ended is not None:
        told.append(Told(seen.ended.at, "end", f"{seen.ended.outcome} ({seen.ended.reason})"))
    elif seen.closed is not None:
        told.append(Told(seen.closed[0], "end", f"by the caller ({seen.closed[1]})"))
    return sorted((Told(t.at - seen.zero, t.who, t.text, t.note) for t in told), key=lambda line: line.at)


def _callers(seen: Observation, words: dict[int, str]) -> Iterator[Told]:
    for number, mark in enumerate(seen.marks):
        if mark.step not in words:
            continue
        end = seen.marks[number + 1].at if number + 1 < len(seen.marks) else seen.until
        heard = [text for at, text in seen.transcripts if mark.at <= at <= end]
        note = f"heard as: {heard[-1]}" if heard and heard[-1] != words[mark.step] else ""
        yield Told(mark.at, "caller", words[mark.step], note)


def _agents(seen: Observation) -> Iterator[Told]:
    for said in seen.said:
        who = "filler" if said.kind == "filler" else "agent"
        note = f"cut; not heard: {said.text[len(said.heard) :].strip()}" if said.cut else ""
        yield Told(said.begins, who, said.heard.strip() or said.text, note)
