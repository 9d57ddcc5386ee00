"""Turn timelines: who spent which millisecond between the caller's last voiced sample and our first audible one.

Built by watching what goes into the core and what comes out; nothing in the core knows of it. All times are seconds on
the core's clock. The response gap of a turn is `audible - last_voice`: from the caller's last voiced sample (by energy)
to the first voiced sample of the answer's own words; fillers are reported apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev

# The marks of a turn, in the order in which they usually come; each is optional but the last.
STAGES = {
    "detected": "end of voice noticed",
    "transcript": "transcript ready",
    "rule": "rules matched",
    "parsed": "the form's answer understood",
    "tool": "tool begun",
    "tool_done": "tool's result",
    "judged": "the sound of the end judged",
    "first_token": "model's first token",
    "first_clause": "first clause complete",
    "speech_ready": "first speech ready",
    "endpoint": "endpoint: the turn is ours",
    "sent": "first frame sent",
    "audible": "first audible sample sent",
}


MASK = "***"
ENGINE_KINDS = ("stt", "llm", "tts")
FROM_DISK = "disk"


@dataclass
class Said:
    """One segment of ours: what it was to be, and what of it was heard."""

    segment: int
    kind: str
    text: str
    heard: str = ""
    complete: bool = False
    at: float | None = None


@dataclass
class ToolTrace:
    """One run of a tool: from when to when, and what came of it (never its arguments or its result)."""

    run: int
    tool: str
    began: float
    ended: float | None = None
    ok: bool = False
    cause: str = ""

    def as_dict(self, zero: float) -> dict[str, Any]:
        ms = None if self.ended is None else round((self.ended - self.began) * 1000)
        return {"tool": self.tool, "at": round(self.began - zero, 4), "ms": ms, "ok": self.ok, "cause": self.cause}


@dataclass(frozen=True)
class EngineMove:
    """The call went on with another engine of its kind, and why."""

    kind: str
    old: str
    new: str
    cause: str
    at: float

    def as_dict(self, zero: float) -> dict[str, Any]:
        return {
            "kind": self.kind, "from": self.old, "to": self.new, "cause": self.cause, "at": round(self.at - zero, 4)
        }  # fmt: skip


@dataclass
class TurnTrace:
    """One turn: the caller's words, ours, and when each stage was reached."""

    turn: int
    caller: str = ""
    source: str = ""
    rule: str = ""
    last_voice: float | None = None
    marks: dict[str, float] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    cut_off: bool = False
    troubles: list[str] = field(default_factory=list)
    tools: list[ToolTrace] = field(default_factory=list)
    handoffs: list[str] = field(default_factory=list)
    moves: list[EngineMove] = field(default_factory=list)
    engines: dict[str, str] = field(default_factory=lambda: dict.fromkeys(ENGINE_KINDS, ""))
    """Who served it, by kind; `disk`: only lines that were rendered before."""
    secret: bool = False

    @property
    def gap(self) -> float | None:
        """The response gap in seconds, where the caller spoke and the answer was heard."""
        if self.last_voice is None or "audible" not in self.marks:
            return None
        return self.marks["audible"] - self.last_voice

    @property
    def heard(self) -> str:
        """All that the caller heard of ours in this turn."""
        return " ".join(said.heard for said in self.said if said.heard and said.kind != "filler")

    def spans(self) -> list[tuple[str, float, float]]:
        """(stage, from, to), contiguous from the last voiced sample to the first audible one, in order of time."""
        if self.last_voice is None:
            return []
        reached = sorted((at, name) for name, at in self.marks.items() if at <= self.marks.get("audible", at))
        spans, begin = [], self.last_voice
        for at, name in reached:
            end = max(at, begin)
            spans.append((name, begin, end))
            begin = end
        return spans

    def as_dict(self, zero: float) -> dict[str, Any]:
        """For the record: times as seconds since the call began."""

        def since(at: float | None) -> float | None:
            return None if at is None else round(at - zero, 4)

        return {
            "turn": self.turn,
            "caller": self.caller,
            "source": self.source,
            "rule": self.rule,
            "gap_s": None if self.gap is None else round(self.gap, 4),
            "last_voice": since(self.last_voice),
            "marks": {name: since(at) for name, at in self.marks.items()},
            "said": [
                {"kind": s.kind, "text": s.text, "heard": s.heard, "complete": s.complete, "at": since(s.at)}
                for s in self.said
            ],
            "cut_off": self.cut_off,
            "troubles": self.troubles,
            "tools": [tool.as_dict(zero) for tool in self.tools],
            "handoffs": self.handoffs,
            "moves": [move.as_dict(zero) for move in self.moves],
            "engines": self.engines,
        }


class Timeline:
    """Watches one call."""

    def __init__(self) -> None:
        self.turns: list[TurnTrace] = []
        self._by_turn: dict[int, TurnTrace] = {}
        self._segments: dict[int, tuple[TurnTrace, Said]] = {}
        self._utterance = 0
        self._last_voice: float | None = None
        self._detected: float | None = None
        self._runs: dict[int, ToolTrace] = {}
        self._secret = False

    def watch(self, now: float, event: ev.Event, wanted: Sequence[cmd.Command], *, secret: bool = False) -> None:
        """One step of the core. `secret`: what the caller says now must not be written down."""
        self._secret = secret
        self._event(now, event)
        for command in wanted:
            self._command(now, command)

    def audible(self, segment: int, at: float) -> None:
        """The first voiced sample of a segment leaves at `at` (known by the playout ledger)."""
        found = self._segments.get(segment)
        if found is None:
            return
        turn, said = found
        said.at = at
        if said.kind != "filler":
            turn.marks.setdefault("audible", at)

    def moved(self, now: float, kind: str, old: str, new: str, cause: str) -> None:
        """An engine failed and another serves."""
        self._turn(self._utterance).moves.append(EngineMove(kind, old, new, cause, now))

    def served(self, turn: int, kind: str, name: str) -> None:
        """An engine has done its part of a turn."""
        engines = self._turn(turn).engines
        if name != FROM_DISK or not engines[kind]:
            engines[kind] = name

    def gaps(self) -> list[float]:
        return [turn.gap for turn in self.turns if turn.gap is not None]

    def _turn(self, number: int) -> TurnTrace:
        if number not in self._by_turn:
            made = TurnTrace(number)
            self._by_turn[number] = made
            self.turns.append(made)
        return self._by_turn[number]

    def _event(self, now: float, event: ev.Event) -> None:
        turn = self._turn(self._utterance)
        match event:
            case ev.SpeechStopped():
                turn.last_voice = now - event.ago
                turn.marks = {"detected": now}
            case ev.TimerFired("endpoint"):
                turn.marks["endpoint"] = now
            case ev.TranscriptReady() if event.text:
                turn.marks.setdefault("transcript", now)
                turn.secret = turn.secret or self._secret
                turn.caller = MASK if turn.secret else event.text
            case ev.RuleMatched():
                turn.marks["rule"] = now
                turn.rule = (event.rule or "") + ("" if event.sure or not event.rule else "?")
                if turn.source != "form":
                    turn.source = "rule" if event.rule else "line"
            case ev.Parsed():
                turn.marks["parsed"] = now
                if self._secret and turn.caller:  # it turns out that what he said was one
                    turn.secret, turn.caller = True, MASK
            case ev.TurnJudged():
                turn.marks.setdefault("judged", now)
            case ev.ModelText():
                turn.marks.setdefault("first_token", now)
            case ev.ToolDone():
                self._tool_done(now, event)
            case ev.HandoffUpdate():
                turn.handoffs.append(" ".join(part for part in (event.state, event.target, event.cause) if part))
            case ev.TranscriptFailed() | ev.ModelFailed() | ev.SegmentFailed():
                turn.troubles.append(f"{type(event).__name__}: {event.cause}")
            case ev.SegmentReady() | ev.PlaybackStarted() | ev.PlaybackFinished():
                self._segment(now, event)
            case ev.PlayoutCut():
                self._cut(event.segments)
            case _:
                pass

    def _segment(self, now: float, event: ev.SegmentReady | ev.PlaybackStarted | ev.PlaybackFinished) -> None:
        found = self._segments.get(event.segment)
        if found is None:
            return
        turn, said = found
        match event:
            case ev.SegmentReady() if said.kind != "filler":
                turn.marks.setdefault("speech_ready", now)
            case ev.PlaybackStarted():
                said.at = said.at or now
                if said.kind != "filler":
                    turn.marks.setdefault("sent", now)
            case ev.PlaybackFinished():
                said.heard, said.complete = said.text, True
            case _:
                pass

    def _cut(self, segments: Iterable[ev.HeardSegment]) -> None:
        for cut in segments:
            if (found := self._segments.get(cut.segment)) is not None:
                turn, said = found
                said.heard, said.complete = cut.heard, cut.complete
                turn.cut_off = turn.cut_off or said.kind != "filler"  # the answer itself may cut a filler

    def _command(self, now: float, command: cmd.Command) -> None:
        match command:
            case cmd.Listen():
                self._utterance = command.utterance
                self._turn(command.utterance)
            case cmd.Transcribe() if command.purpose != "partial":
                self._turn(command.utterance).marks.pop("transcript", None)
            case cmd.Generate():
                self._turn(command.turn).source = "model"
            case cmd.Synthesize():
                turn = self._turn(command.turn)
                said = Said(command.segment, command.kind, command.text)
                turn.said.append(said)
                self._segments[command.segment] = (turn, said)
                if command.kind not in ("filler",):
                    turn.marks.setdefault("first_clause", now)
                if command.kind in ("greeting", "prompt", "trouble") or not turn.source:
                    turn.source = turn.source or "line"
            case cmd.RunTool():
                tool = ToolTrace(command.run, command.tool, now)
                self._runs[command.run] = tool
                turn = self._turn(command.turn)
                turn.tools.append(tool)
                turn.marks["tool"] = now
                turn.source = turn.source or "tool"
            case cmd.Parse():
                turn = self._turn(self._utterance)
                turn.source = "form"
            case cmd.DropSegments():
                self._drop(set(command.segments))
            case _:
                pass

    def _tool_done(self, now: float, event: ev.ToolDone) -> None:
        if (tool := self._runs.pop(event.run, None)) is not None:
            tool.ended, tool.ok, tool.cause = now, event.ok, event.cause
            for turn in self.turns:
                if tool in turn.tools:
                    turn.marks["tool_done"] = now

    def _drop(self, segments: set[int]) -> None:
        """A draft that was thrown away leaves no trace but the time it took."""
        for number in segments:
            found = self._segments.pop(number, None)
            if found is not None and found[1].at is None:
                turn, said = found
                turn.said.remove(said)
                for name in ("first_token", "first_clause", "speech_ready", "rule", "parsed"):
                    turn.marks.pop(name, None)
                if all(said.kind == "filler" for said in turn.said):
                    turn.engines.update(llm="", tts="")
