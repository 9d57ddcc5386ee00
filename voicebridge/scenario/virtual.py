"""A scenario's call against the real core, with a virtual clock: a minute of talk takes some milliseconds.

Real are the core, the rules' matcher, the parser of forms, the tools that are not canned, and the directory of targets.
Hearing is perfect and takes as long as `delays` says; speech lasts as long as its words do. A real tool runs at once,
and its answer comes, on the virtual clock, after the time it really took.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from voicebridge.call.acts import Acts
from voicebridge.call.admission import spec_for
from voicebridge.call.call import WAITS_FOR_CALLER
from voicebridge.call.matching import RuleMatcher
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.core import Conversation
from voicebridge.conversation.state import Agent, Caller, IllegalMove
from voicebridge.handoff.desk import Case, Desk
from voicebridge.handoff.directory import Directory
from voicebridge.handoff.summary import NOTHING
from voicebridge.pbx.attach import AttachRequest
from voicebridge.scenario import conductor
from voicebridge.scenario.clock import Agenda, Entry
from voicebridge.scenario.conductor import Stuck
from voicebridge.scenario.format import CallScript, Step
from voicebridge.scenario.humans import Humans
from voicebridge.scenario.model import Replies, call_of, steps_of_turn
from voicebridge.scenario.observation import Mark, Observation, observe
from voicebridge.scenario.playout import Playout, seconds
from voicebridge.scenario.stubs import Stubs, installed
from voicebridge.tools.catalogue import Shelf
from voicebridge.tools.context import CallInfo
from voicebridge.tools.runner import ToolOutcome, ToolRunner
from voicebridge.trace import eventlog

NOTICED_S = 0.06
"""Voice is noticed so long after it began, and its end so long after it ended."""
SHORTEST_S = 0.45
KEY_EVERY_S = 0.25
MATCH_S = 0.02
PARSE_S = 0.005
LOOK_UP_S = 0.005
REST_LIMIT_S = 300.0
SPEAK_LIMIT_S = 60.0


@dataclass(frozen=True)
class VirtualParts:
    """What all calls of an agent share. `folder` is where tools keep what they keep."""

    matcher: RuleMatcher
    directory: Directory
    shelf: Shelf
    folder: Path


class VirtualCall:
    """One call; a `conductor.Line`."""

    def __init__(
        self, agent: AgentSpec, request: AttachRequest, call: CallScript, parts: VirtualParts
    ) -> None:
        agent = spec_for(agent, request)
        self.agent = agent
        self.core = Conversation(agent, recorded=True)  # as where calls are: what is asked then is rehearsed
        self.steps: list[eventlog.Step] = []
        self._script = call
        self._parts = parts
        self._agenda = Agenda(0.0)
        self._playout = Playout(self._agenda, self._tell)
        self._stubs = Stubs(call.tools, parts.shelf.tools)
        self._runner = ToolRunner(
            installed(parts.shelf), folder=parts.folder, settings=parts.shelf.settings, now=self.clock
        )
        self._info = CallInfo.of(agent, str(uuid.uuid4()), caller=call.caller)
        self._inbox: deque[ev.Event] = deque()
        self._handling = False
        self._timers: dict[str, Entry] = {}
        self._wanted: dict[int, cmd.Synthesize] = {}
        self._fixed = frozenset(agent.fixed_lines())
        self._generations: dict[int, list[Entry]] = {}
        self._runs: dict[int, list[Entry]] = {}
        self._replies = Replies(call.model)
        self._before = ""  # said in this utterance, before the voice that is heard now
        self._burst, self._burst_began, self._burst_s = "", 0.0, 0.0
        self._over = False
        self._now0 = call.now or datetime.now()
        if self._now0.tzinfo is None:
            self._now0 = self._now0.astimezone()
        self._acts = Acts(
            self._info.call_id, agent, request, tools=None, desk=None, outside=None, now=self.clock,
            tell=self._understood, story=lambda reason: NOTHING,
        )  # fmt: skip

    async def start(self) -> None:
        await self._tell(ev.CallStarted())

    # ---- the caller's side

    @property
    def over(self) -> bool:
        return self._over

    def now(self) -> float:
        return self._agenda.now

    async def wait(self, seconds: float) -> None:
        await self._agenda.run(seconds, until=lambda: self._over)

    async def rest(self) -> None:
        if not await self._agenda.run(REST_LIMIT_S, until=lambda: self._over or self._at_rest()):
            raise Stuck(f"the agent has not come to rest for {REST_LIMIT_S:.0f} s: {self.core.state.name.lower()}")

    def _at_rest(self) -> bool:
        ours = self.core.state is not Agent.IDLE or self.core.caller is not Caller.SILENT
        if ours or self._inbox or not self._playout.empty:
            return False
        return all(entry.name in WAITS_FOR_CALLER for entry in self._agenda.pending())

    async def speaks(self, seconds: float) -> None:
        if not await self._agenda.run(SPEAK_LIMIT_S, until=lambda: self._over or self._answers()):
            raise Stuck("the agent did not speak: there was nothing to interrupt")
        silent = await self._agenda.run(seconds, until=lambda: self._over or self._playout.empty)
        if silent and not self._over:
            raise Stuck(f"the agent had finished before {seconds:g} s: there was nothing to interrupt")

    def _answers(self) -> bool:
        playing = self._playout.playing
        return playing is not None and playing.wanted.kind != "filler"

    async def say(self, number: int, step: Step) -> float:
        self._before = f"{self._before} {self._burst}".strip()
        self._burst, self._burst_began = step.words, self.now()
        self._burst_s = max(SHORTEST_S, seconds(step.words))
        await self.wait(NOTICED_S)
        await self._tell(ev.SpeechStarted(ago=NOTICED_S))
        await self.wait(self._burst_s - NOTICED_S)
        done = self.now()
        await self.wait(NOTICED_S)
        await self._tell(ev.SpeechStopped(ago=NOTICED_S, voiced=self._burst_s))
        return done

    async def press(self, keys: str) -> None:
        for number, key in enumerate(keys.upper()):
            if number:
                await self.wait(KEY_EVERY_S)
            await self._tell(ev.Dtmf(key))

    async def hang_up(self) -> None:
        await self._tell(ev.CallClosed("hangup"))
        self._over = True

    # ---- the core

    async def _tell(self, event: ev.Event) -> None:
        """As `call.Call.tell`: one event at a time, its commands in order."""
        if self._over:
            return
        self._inbox.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._inbox and not self._over:
                await self._step(self._inbox.popleft())
        finally:
            self._handling = False

    async def _step(self, event: ev.Event) -> None:
        try:
            wanted = self.core.handle(event, self.now())
        except IllegalMove as error:
            raise Stuck(f"the core failed at {type(event).__name__}: {error}") from error
        self.steps.append(eventlog.Step(self.now(), event, tuple(wanted)))
        for command in wanted:
            await self._carry_out(command)

    async def _carry_out(self, command: cmd.Command) -> None:
        match command:
            case cmd.SetTimer():
                self._set_timer(command)
            case cmd.CancelTimer():
                self._forget_timer(command.name)
            case cmd.Synthesize():
                self._wanted[command.segment] = command
                made_s = 0.0 if command.text in self._fixed else self._script.delays.speech
                self._soon(made_s, ev.SegmentReady(command.segment, seconds(command.text)))
            case cmd.Play():
                self._playout.play(self._wanted[command.segment])
            case cmd.PausePlayout():
                self._playout.pause()
            case cmd.ResumePlayout():
                self._playout.resume()
            case cmd.FlushPlayout():
                self._inbox.appendleft(self._playout.flush())
            case cmd.EndCall():
                self._over = True
            case _:
                await self._work(command)

    async def _work(self, command: cmd.Command) -> None:
        match command:
            case cmd.Listen():
                self._before = ""
            case cmd.Transcribe():
                self._soon(self._script.delays.stt, ev.TranscriptReady(command.request, self._heard()))
            case cmd.Match():
                found = await self._parts.matcher.match(command.text)
                self._soon(MATCH_S, ev.RuleMatched(command.request, found.name, round(found.score, 3), found.sure))
            case cmd.Parse():
                self._acts.parse(command)
            case cmd.Generate():
                self._generate(command)
            case cmd.CancelGeneration():
                _cancel(self._generations.pop(command.generation, []))
            case cmd.RunTool():
                await self._run_tool(command)
            case cmd.CancelTool():
                _cancel(self._runs.pop(command.run, []))
            case cmd.HandOff():
                await self._hand_off(command)
            case _:
                pass  # warming, prefilling, hold music, keys to the other side: seen in the log, and nothing comes back

    # ---- timers and what comes back

    def _soon(self, delay: float, event: ev.Event) -> Entry:
        return self._agenda.later(delay, _told(self._tell, event))

    def _understood(self, event: ev.Event) -> None:
        self._soon(PARSE_S, event)

    def _set_timer(self, wanted: cmd.SetTimer) -> None:
        self._forget_timer(wanted.name)
        delay = wanted.at - self.now()
        act = _told(self._tell, ev.TimerFired(wanted.name))
        self._timers[wanted.name] = self._agenda.later(delay, act, name=wanted.name)

    def _forget_timer(self, name: str) -> None:
        if (entry := self._timers.pop(name, None)) is not None:
            entry.cancelled = True

    def _heard(self) -> str:
        """The words of the utterance up to now."""
        words = self._burst.split()
        share = (self.now() - self._burst_began) / self._burst_s if self._burst_s else 1.0
        return " ".join([self._before, *words[: round(share * len(words))]]).strip()

    def _generate(self, wanted: cmd.Generate) -> None:
        """The turn's canned answer; a draft that is made again gets the same one."""
        reply = self._replies.take((wanted.turn, steps_of_turn(wanted.messages)))
        number = wanted.generation
        said: ev.Event = ev.ModelText(number, reply.text)
        if reply.call:
            call = call_of(reply)
            said = ev.ModelCall(number, call.tool, call.arguments)
        delay = self._script.delays.model
        self._generations[number] = [self._soon(delay, said), self._soon(delay, ev.ModelDone(number))]

    async def _run_tool(self, wanted: cmd.RunTool) -> None:
        progress: list[tuple[float, str]] = []
        if (canned := self._stubs.take(wanted.tool, wanted.arguments)) is not None:
            stub, outcome = canned
            took = stub.takes
            parts = len(stub.progress) + 1
            progress = [(took * number / parts, text) for number, text in enumerate(stub.progress, 1)]
        else:
            began = time.monotonic()
            outcome = await self._runner.run(
                self._info,
                wanted.run,
                wanted.tool,
                wanted.arguments,
                lambda text: progress.append((time.monotonic() - began, text)),
            )
            took = time.monotonic() - began
        coming = [self._soon(after, ev.ToolProgress(wanted.run, text)) for after, text in progress]
        self._runs[wanted.run] = [*coming, self._soon(took, _done(wanted.run, outcome))]


    async def _hand_off(self, wanted: cmd.HandOff) -> None:
        """The real desk; where the script tells of humans, these are called, and answer as it says."""
        desk = Desk(self._parts.directory, clock=self.clock)
        humans = Humans(self._script.humans, self._parts.directory) if self._script.humans else None
        case = Case(self._info.call_id, self._script.caller, self.agent.name)
        after = LOOK_UP_S
        async for update in desk.hand_off(wanted, case, humans):
            if humans is not None:
                after += humans.take_waited()
            self._soon(after, update)

    def clock(self) -> datetime:
        """The date and time in the call."""
        return self._now0 + timedelta(seconds=self.now())


def _told(tell: Callable[[ev.Event], Awaitable[None]], event: ev.Event) -> Callable[[], Awaitable[None]]:
    return lambda: tell(event)


def _cancel(entries: list[Entry]) -> None:
    for entry in entries:
        entry.cancelled = True


def _done(run: int, outcome: ToolOutcome) -> ev.ToolDone:
    return ev.ToolDone(
        run, outcome.ok, outcome.say, outcome.data, outcome.cause, outcome.hand_off, outcome.hang_up
    )


async def run(agent: AgentSpec, request: AttachRequest, call: CallScript, parts: VirtualParts) -> Observation:
    line = VirtualCall(agent, request, call, parts)
    trouble = ""
    marks: list[Mark] = []
    try:
        await line.start()
        marks, trouble = await conductor.play(call, line)
    except Stuck as stuck:
        trouble = str(stuck)
    seen = observe(line.steps)
    seen.marks += marks
    seen.until = line.now()
    seen.trouble = trouble
    return seen
