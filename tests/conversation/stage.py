"""A stage for the core: a virtual clock, and engines and playout that answer when a test says so."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field

from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec, Limits, Lines, Rule
from voicebridge.conversation.core import Conversation
from voicebridge.conversation.form import Understood
from voicebridge.conversation.toolspec import ToolCall

WORD_S = 0.25

AGENT = AgentSpec(
    name="test",
    greeting="Hello and welcome.",
    instructions="Be brief.",
    lines=Lines(("One moment.",), no_input=("Still there?",), no_input_end="Goodbye then.", unknown=("No idea.",)),
    limits=Limits(no_input_s=5.0, call_s=300.0),
)
RULED = AgentSpec(
    name="ruled",
    greeting="Hello and welcome.",
    rules=(
        Rule("hours", ("when are you open",), ("We are open from nine to five.",)),
        Rule("bye", ("goodbye",), ("Goodbye.",), action="end_call"),
        Rule("menu", dtmf="1", say=("You pressed one.",)),
        Rule("chat", ("hello",), action="model"),
    ),
    model_scope="smalltalk",
    lines=AGENT.lines,
    limits=AGENT.limits,
)


@dataclass
class Engine:
    """How a fake engine behaves: its delay, or that it fails with a cause, or is silent for ever."""

    delay: float = 0.05
    fails: str = ""
    dead: bool = False


@dataclass
class Playing:
    wanted: cmd.Synthesize
    begins: float
    ends: float


@dataclass
class Stage:
    """Runs a Conversation against a virtual clock, like `call.Call` does against the real one."""

    agent: AgentSpec = field(default_factory=lambda: AGENT)
    stt: Engine = field(default_factory=lambda: Engine(0.10))
    llm: Engine = field(default_factory=lambda: Engine(0.10))
    tts: Engine = field(default_factory=lambda: Engine(0.02))
    sure: bool = True
    answer: Callable[[cmd.Generate], list[str | ToolCall]] = lambda _: [
        "Sure, ", "we can do that for you.", " Anything else?"
    ]
    tool: Callable[[cmd.RunTool], list[tuple[float, ev.Event]]] = lambda wanted: [(0.1, ev.ToolDone(wanted.run, True))]
    """What a tool does: events, each so many seconds after it was begun."""
    human: Callable[[cmd.HandOff], list[tuple[float, ev.Event]]] = lambda wanted: [
        (0.0, ev.HandoffUpdate(wanted.handoff, "go", wanted.target))
    ]
    parse: Callable[[cmd.Parse], Understood] = lambda _: Understood()
    score: float = 0.7
    finished: float | None = None
    """How probable it is, by the sound, that the caller has finished; None where nobody judges that."""
    judge: Engine = field(default_factory=lambda: Engine(0.06))

    def __post_init__(self) -> None:
        self.core = Conversation(self.agent, judged=self.finished is not None)
        self.now = 100.0
        self.log: list[tuple[float, cmd.Command]] = []
        self.fed: list[tuple[float, ev.Event]] = []
        self._agenda: list[tuple[float, int, ev.Event, Callable[[], bool]]] = []
        self._order = itertools.count()
        self._timers: dict[str, int] = {}
        self._cancelled: set[int] = set()
        self._stopped: set[int] = set()
        self._made: dict[int, cmd.Synthesize] = {}
        self._queue: list[cmd.Synthesize] = []
        self.playing: Playing | None = None
        self._paused_at: float | None = None
        self.said: list[tuple[float, str, str]] = []
        self.words = ""

    # ---- what a test does

    def start(self) -> Stage:
        self.tell(ev.CallStarted())
        return self

    def run(self, seconds: float) -> Stage:
        """Let time pass."""
        until = self.now + seconds
        while self._agenda and self._agenda[0][0] <= until:
            at, _, event, valid = heapq.heappop(self._agenda)
            self.now = max(self.now, at)
            if valid():
                self._deliver(event)
        self.now = until
        return self

    def caller(self, words: str, *, seconds: float | None = None) -> Stage:
        """The caller says something and stops; 60 ms pass before either is noticed."""
        self.begins(words)
        self.run(seconds if seconds is not None else WORD_S * max(1, len(words.split())))
        return self.stops()

    def begins(self, words: str) -> Stage:
        self.words = words
        self.tell(ev.SpeechStarted(ago=0.06))
        return self

    def stops(self, voiced: float = 0.8) -> Stage:
        return self.tell(ev.SpeechStopped(ago=0.05, voiced=voiced))

    def tell(self, event: ev.Event) -> Stage:
        self._deliver(event)
        return self

    # ---- what a test sees

    def commands(self, kind: type[cmd.Command]) -> list[cmd.Command]:
        return [command for _, command in self.log if isinstance(command, kind)]

    def spoken(self) -> list[str]:
        return [text for _, _, text in self.said]

    def silence_since(self, moment: float) -> float:
        """The longest stretch without speech of ours from `moment` to now."""
        edges = [moment]
        longest = 0.0
        for begins, ends in self.sound:
            if ends <= moment:
                continue
            longest = max(longest, begins - max(edges))
            edges.append(ends)
        return max(longest, self.now - max(edges))

    @property
    def sound(self) -> list[tuple[float, float]]:
        return sorted(self._sound)

    # ---- how it works

    def _deliver(self, event: ev.Event) -> None:
        self.fed.append((self.now, event))
        for command in self.core.handle(event, self.now):
            self.log.append((self.now, command))
            self._carry_out(command)

    def _later(self, delay: float, event: ev.Event, valid: Callable[[], bool] = lambda: True) -> None:
        heapq.heappush(self._agenda, (self.now + delay, next(self._order), event, valid))

    def _carry_out(self, command: cmd.Command) -> None:
        match command:
            case cmd.SetTimer():
                token = next(self._order)
                self._timers[command.name] = token
                name = command.name
                self._later(
                    max(0.0, command.at - self.now), ev.TimerFired(name), lambda: self._timers.get(name) == token
                )
            case cmd.CancelTimer():
                self._timers.pop(command.name, None)
            case cmd.Transcribe():
                self._answer(self.stt, ev.TranscriptReady(command.request, self.words),
                             ev.TranscriptFailed(command.request, self.stt.fails))
            case cmd.JudgeTurn():
                if not (self.judge.dead or self.judge.fails) and self.finished is not None:
                    self._later(self.judge.delay, ev.TurnJudged(command.request, self.finished))
            case cmd.Match():
                known = {example: rule.name for rule in self.agent.rules for example in rule.examples}
                self._later(0.01, ev.RuleMatched(command.request, known.get(command.text.lower().strip(" .?!")),
                                                self.score, sure=self.sure))
            case cmd.Parse():
                self._later(0.01, ev.Parsed(command.request, self.parse(command)))
            case cmd.RunTool():
                for delay, event in self.tool(command):
                    self._later(delay, event, lambda: command.run not in self._stopped)
            case cmd.CancelTool():
                self._stopped.add(command.run)
            case cmd.HandOff():
                for delay, event in self.human(command):
                    self._later(delay, event)
            case cmd.Generate():
                self._generate(command)
            case cmd.CancelGeneration():
                self._cancelled.add(command.generation)
            case cmd.Synthesize():
                self._made[command.segment] = command
                self._answer(self.tts, ev.SegmentReady(command.segment, WORD_S * len(command.text.split())),
                             ev.SegmentFailed(command.segment, self.tts.fails))
            case cmd.Play():
                self._queue.append(self._made[command.segment])
                self._next()
            case cmd.PausePlayout():
                self._pause()
            case cmd.ResumePlayout():
                self._resume()
            case cmd.FlushPlayout():
                self._flush()
            case _:
                pass

    def _answer(self, engine: Engine, good: ev.Event, bad: ev.Event) -> None:
        if not engine.dead:
            self._later(engine.delay, bad if engine.fails else good)

    def _generate(self, wanted: cmd.Generate) -> None:
        if self.llm.dead:
            return
        number = wanted.generation
        valid = lambda: number not in self._cancelled  # noqa: E731
        if self.llm.fails:
            self._later(self.llm.delay, ev.ModelFailed(number, self.llm.fails), valid)
            return
        for index, made in enumerate(self.answer(wanted), 1):
            called = isinstance(made, ToolCall)
            told = ev.ModelCall(number, made.tool, made.arguments) if called else ev.ModelText(number, made)
            self._later(self.llm.delay * index, told, valid)
        self._later(self.llm.delay * (index + 1), ev.ModelDone(number), valid)

    _sound: list[tuple[float, float]] = field(default_factory=list)

    def _next(self) -> None:
        if self.playing is not None or not self._queue:
            return
        wanted = self._queue.pop(0)
        begins, seconds = self.now, WORD_S * len(wanted.text.split())
        self.playing = Playing(wanted, begins, begins + seconds)
        self.said.append((begins, wanted.kind, wanted.text))
        self._later(0.0, ev.PlaybackStarted(wanted.segment))
        self._schedule_end()

    def _schedule_end(self) -> None:
        playing = self.playing
        assert playing is not None
        self._later(playing.ends - self.now, _Finished(playing), lambda: self._finish(playing))  # type: ignore[arg-type]

    def _finish(self, playing: Playing) -> bool:
        if self.playing is playing and self._paused_at is None:
            self._sound.append((playing.begins, self.now))
            self.playing = None
            self._deliver(ev.PlaybackFinished(playing.wanted.segment))
            if self.playing is None and not self._queue:
                self._deliver(ev.Drained())
            self._next()
        return False

    def _pause(self) -> None:
        self._paused_at = self.now
        if self.playing is not None:
            self._sound.append((self.playing.begins, self.now))

    def _resume(self) -> None:
        paused, self._paused_at = self._paused_at, None
        if self.playing is not None and paused is not None:
            left = self.playing.ends - paused
            self.playing = Playing(self.playing.wanted, self.now, self.now + left)
            self._schedule_end()

    def _flush(self) -> None:
        cut = []
        at = self._paused_at if self._paused_at is not None else self.now
        if self.playing is not None:
            words = self.playing.wanted.text.split()
            whole = len(words) * WORD_S
            played = whole - (self.playing.ends - at)
            heard = " ".join(words[: max(0, math.floor(played / WORD_S + 1e-6))])
            cut.append(ev.HeardSegment(self.playing.wanted.segment, heard, False))
            if self._paused_at is None:
                self._sound.append((self.playing.begins, self.now))
        cut += [ev.HeardSegment(wanted.segment, "", False) for wanted in self._queue]
        self.playing, self._queue, self._paused_at = None, [], None
        self._deliver(ev.PlayoutCut(tuple(cut)))


@dataclass(frozen=True)
class _Finished:
    playing: Playing
