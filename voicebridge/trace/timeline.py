"""Turn timelines: who spent which millisecond between the caller's last voiced sample and our first audible one.

Built by watching what goes into the core and what comes out; nothing in the core knows of it. All times are seconds on
the core's clock. The response gap of a turn is `audible - last_voice`: from the caller's last voiced sample (by energy)
to the first voiced sample of the answer's own words; fillers are reported apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.trace.privacy import Privacy
from voicebridge.trace.spans import STAGES
from voicebridge.trace.turn import FROM_DISK, MASK, EngineMove, HandoffStep, Said, ToolTrace, TurnTrace

__all__ = ["FROM_DISK", "MASK", "STAGES", "Timeline", "TurnTrace"]


class Timeline:
    """Watches one call."""

    def __init__(self, privacy: Privacy | None = None) -> None:
        self.privacy = privacy or Privacy()
        self.turns: list[TurnTrace] = []
        self._by_turn: dict[int, TurnTrace] = {}
        self._segments: dict[int, tuple[TurnTrace, Said]] = {}
        self._utterance = 0
        self._last_voice: float | None = None
        self._detected: float | None = None
        self._runs: dict[int, ToolTrace] = {}
        self._secret = False
        self._voice_began: float | None = None
        self._paused: float | None = None

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

    def attempted(self, run: int, tries: tuple[tuple[float, int, str], ...]) -> None:
        """How often a tool was tried; told just before its result."""
        if (tool := self._runs.get(run)) is not None:
            tool.tries = tries

    def told(self, turn: TurnTrace, zero: float) -> dict[str, Any]:
        """A turn as it may be stored and shown; times are seconds since `zero`."""
        return self.privacy.turn(turn, zero)

    def disclosed(self, zero: float) -> dict[str, Any]:
        """Whether the caller heard, to its end, that he speaks to a machine, and when that began."""
        told = [said for turn in self.turns for said in turn.said if said.kind == "disclosure"]
        at = told[0].at if told else None
        return {"said": bool(told) and told[0].complete, "at": None if at is None else round(at - zero, 4)}

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
            case ev.SpeechStarted():
                self._voice_began = now - event.ago - event.late
            case ev.SpeechStopped():
                turn.last_voice = now - event.ago - event.late
                turn.marks = {"detected": now}
            case ev.TimerFired("endpoint"):
                turn.marks["endpoint"] = now
            case ev.TranscriptReady() if event.text:
                turn.marks.setdefault("transcript", now)
                turn.secret = turn.secret or self._secret
                turn.caller, turn.shown = MASK if turn.secret else event.text, None
                self.privacy.understood(self.turns)
            case ev.RuleMatched():
                turn.marks["rule"] = now
                turn.rule = (event.rule or "") + ("" if event.sure or not event.rule else "?")
                if turn.source != "form":
                    turn.source = "rule" if event.rule else "line"
            case ev.Parsed():
                turn.marks["parsed"] = now
                if self._secret and turn.caller:  # it turns out that what he said was one
                    turn.secret, turn.caller, turn.shown = True, MASK, None
            case ev.TurnJudged():
                turn.marks.setdefault("judged", now)
            case ev.ModelText():
                turn.marks.setdefault("first_token", now)
            case ev.ToolDone():
                self._tool_done(now, event)
            case ev.HandoffUpdate():
                turn.handoffs.append(HandoffStep(event.state, event.target, event.cause, now))
            case ev.TranscriptFailed() | ev.ModelFailed() | ev.SegmentFailed():
                turn.troubles.append(f"{type(event).__name__}: {event.cause}")
            case ev.SegmentReady() | ev.PlaybackStarted() | ev.PlaybackFinished():
                self._segment(now, event)
            case ev.PlayoutCut():
                self._cut(now, event.segments)
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
                said.heard, said.complete, said.until = said.text, True, now
            case _:
                pass

    def _cut(self, now: float, segments: Iterable[ev.HeardSegment]) -> None:
        silent = now if self._paused is None else self._paused
        for cut in segments:
            if (found := self._segments.get(cut.segment)) is not None:
                turn, said = found
                said.heard, said.complete = cut.heard, cut.complete
                said.until = silent if said.at is not None else None
                if said.kind != "filler" and turn.cut_at is None and said.at is not None:
                    turn.cut_at, turn.cut_voice = silent, self._voice_began
                turn.cut_off = turn.cut_off or said.kind != "filler"  # the answer itself may cut a filler

    def _command(self, now: float, command: cmd.Command) -> None:
        match command:
            case cmd.Listen():
                self._utterance = command.utterance
                if command.slot is not None:
                    turn = self._turn(command.utterance)
                    turn.asked, turn.slot = command.slot.kind, command.slot.name
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
                if command.kind in ("greeting", "prompt", "trouble", "disclosure", "consent") or not turn.source:
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
            case cmd.PausePlayout():
                self._paused = now
            case cmd.ResumePlayout():
                self._paused = None
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
