"""The work of one call that takes time: recognising, matching, generating, synthesizing.

Each piece is a task that ends in an event for the core; what is not wanted any more is cancelled by its number.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from voicebridge import slots
from voicebridge.call.acts import Outside
from voicebridge.call.hearing import JUDGED_S, Hearing
from voicebridge.call.matching import RuleMatcher
from voicebridge.call.speech import Mouth, Rendered
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.owntools import for_model
from voicebridge.conversation.toolspec import ToolCall
from voicebridge.engines.base import EngineError, EngineKind, LlmEngine, LlmSession, SttEngine, TurnJudge
from voicebridge.engines.failover.health import WATCH, Move, Watch
from voicebridge.handoff.desk import Desk
from voicebridge.tools.runner import ToolRunner
from voicebridge.trace.turn import FROM_DISK

log = logging.getLogger(__name__)

IN_ORDER = 0.0
"""A deadline that has passed, the same for all."""


def local_now() -> datetime:
    return datetime.now().astimezone()


@dataclass(frozen=True)
class Parts:
    """What every call of an agent shares."""

    agent: AgentSpec
    stt: SttEngine
    llm: LlmEngine | None
    mouth: Mouth
    matcher: RuleMatcher
    tools: ToolRunner | None = None
    desk: Desk | None = None
    outside: Outside | None = None
    judge: TurnJudge | None = None
    now: Callable[[], datetime] = local_now
    """The date and time in calls, aware: another one where calls are tests."""
    deadlines: bool = True
    """Whose caller would hear silence first is served first; otherwise who came first."""
    hold_music: bytes = b""
    """16-bit mono PCM at 8 kHz, played in a loop to who waits for a human; empty: our own."""


class Work:
    """One call's. `tell` takes the events that come of it."""

    def __init__(
        self,
        call_id: str,
        parts: Parts,
        tell: Callable[[ev.Event], None],
        *,
        hearing: Hearing,
        rate: int,
        moved: Callable[[Move], None] = lambda move: None,
        served: Callable[[int, EngineKind, str], None] = lambda turn, kind, name: None,
    ) -> None:
        """`moved` is told when the call goes on with another engine; `served` which one did a turn's work."""
        self._id = call_id
        self._parts = parts
        self._tell = tell
        self._hearing = hearing
        self._rate = rate
        self._llm: LlmSession | None = None
        if parts.llm is not None:
            self._llm = parts.llm.session(agent=parts.agent.name, tools=for_model(parts.agent))
        self._context = contextvars.copy_context()
        self._served = served
        self._watch = Watch(moved)
        self._context.run(WATCH.set, self._watch)
        self._tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self._speech: dict[int, tuple[cmd.Synthesize, Rendered]] = {}

    def start(self, command: cmd.Command) -> None:
        """Carry out a command that takes time."""
        match command:
            case cmd.Transcribe():
                for kind, number in list(self._tasks):
                    if kind == "transcribe":
                        self._cancel(kind, number)
                self._start("transcribe", command.request, self._transcribe(command))
            case cmd.JudgeTurn():
                for kind, number in list(self._tasks):
                    if kind == "judge":
                        self._cancel(kind, number)
                self._start("judge", command.request, self._judge(command))
            case cmd.Match():
                self._start("match", command.request, self._match(command))
            case cmd.Generate():
                self._cancel("prefill", 0)
                self._start("generate", command.generation, self._generate(command))
            case cmd.Synthesize():
                self._synthesize(command)
            case cmd.WarmModel():
                if self._llm is not None:
                    self._start("warm", 0, self._llm.warm(command.messages))
            case cmd.Prefill():
                if self._llm is not None:
                    self._cancel("prefill", 0)
                    self._start("prefill", 0, self._llm.prefill(command.messages))
            case _:
                raise TypeError(f"no way to carry out {command!r}")

    def listen(self, command: cmd.Listen) -> None:
        """A new utterance; the recogniser is told what the caller was asked for."""
        expected = slots.phrases(command.slot, self._parts.agent.language) if command.slot is not None else ()
        self._hearing.begin(command.utterance, expected)

    def cancel_generation(self, generation: int) -> None:
        self._cancel("generate", generation)

    def drop_segments(self, segments: tuple[int, ...]) -> None:
        for segment in segments:
            self._cancel("synthesize", segment)
            self._speech.pop(segment, None)

    def take_speech(self, segment: int) -> tuple[cmd.Synthesize, Rendered]:
        """The speech of a segment that was told to be ready. Once only."""
        return self._speech.pop(segment)

    def defer(self, deadline: float) -> None:
        """Speech is queued until then (the core's clock): the model may take its time."""
        if self._llm is not None and self._parts.deadlines:
            self._llm.defer(deadline)

    def stop(self) -> None:
        for task in list(self._tasks.values()):
            task.cancel()

    async def close(self) -> None:
        """Free what the engines hold for the call."""
        await self._hearing.close()
        if self._llm is not None:
            await self._llm.close()

    # ---- tasks

    def _due(self, deadline: float) -> float:
        """With deadlines off all requests are equally urgent, and engines serve them in the order of their coming."""
        return deadline if self._parts.deadlines else IN_ORDER

    def _start(self, kind: str, number: int, work: Coroutine[Any, Any, None]) -> None:
        key = (kind, number)
        task = asyncio.get_running_loop().create_task(
            work, name=f"{self._id} {kind} {number}", context=self._context.copy()
        )
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: tuple[str, int], task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call=%s %s failed: %r", self._id, key[0], error, exc_info=error)

    def _cancel(self, kind: str, number: int) -> None:
        if (task := self._tasks.pop((kind, number), None)) is not None:
            task.cancel()

    async def _transcribe(self, wanted: cmd.Transcribe) -> None:
        try:
            heard = await self._hearing.transcribe(
                deadline=self._due(wanted.deadline), give_up=wanted.give_up, final=wanted.purpose != "partial"
            )
        except EngineError as error:
            log.warning("call=%s turn=%d %s", self._id, wanted.utterance, error)
            self._tell(ev.TranscriptFailed(wanted.request, error.cause))
        else:
            if heard.text:
                self._served(wanted.utterance, "stt", heard.engine or self._parts.stt.name)
            self._tell(ev.TranscriptReady(wanted.request, heard.text))

    async def _judge(self, wanted: cmd.JudgeTurn) -> None:
        """Best effort: without a judgement in time the words alone decide."""
        if (judge := self._parts.judge) is None or not judge.ready:
            return
        try:
            probability = await judge.judge(
                self._hearing.said(JUDGED_S), rate=self._rate, deadline=self._due(wanted.deadline),
                give_up=wanted.deadline,
            )  # fmt: skip
        except EngineError as error:
            log.info("call=%s turn=%d %s", self._id, wanted.utterance, error)
        else:
            self._tell(ev.TurnJudged(wanted.request, round(probability, 3)))

    async def _match(self, wanted: cmd.Match) -> None:
        found = await self._parts.matcher.match(wanted.text)
        self._tell(ev.RuleMatched(wanted.request, found.name, round(found.score, 3), found.sure))

    async def _generate(self, wanted: cmd.Generate) -> None:
        if self._llm is None:
            self._tell(ev.ModelFailed(wanted.generation, "none"))
            return
        pieces = self._llm.generate(
            wanted.messages,
            max_tokens=wanted.max_tokens,
            deadline=self._due(wanted.deadline),
            give_up=wanted.give_up,
            tools=wanted.tools,
        )
        try:
            async for piece in pieces:
                self._served(wanted.turn, "llm", self._model_name)
                if isinstance(piece, ToolCall):
                    self._tell(ev.ModelCall(wanted.generation, piece.tool, piece.arguments))
                else:
                    self._tell(ev.ModelText(wanted.generation, piece))
        except EngineError as error:
            log.warning("call=%s turn=%d %s", self._id, wanted.turn, error)
            self._tell(ev.ModelFailed(wanted.generation, error.cause))
        else:
            self._tell(ev.ModelDone(wanted.generation))

    @property
    def _model_name(self) -> str:
        """Who answers; of several the one that the call is at."""
        return self._watch.stays.get("llm", self._parts.llm.name if self._parts.llm is not None else "")

    def _synthesize(self, wanted: cmd.Synthesize) -> None:
        made = self._parts.mouth.cached(wanted.text, self._rate)
        if made is not None:
            self._served(wanted.turn, "tts", FROM_DISK)
            self._speech_ready(wanted, made)
        else:
            self._start("synthesize", wanted.segment, self._make_speech(wanted))

    async def _make_speech(self, wanted: cmd.Synthesize) -> None:
        try:
            made = await self._parts.mouth.say(
                wanted.text, self._rate, deadline=self._due(wanted.deadline), give_up=wanted.give_up
            )
        except EngineError as error:
            log.warning("call=%s turn=%d %s", self._id, wanted.turn, error)
            self._tell(ev.SegmentFailed(wanted.segment, error.cause))
        else:
            self._served(wanted.turn, "tts", made.engine or self._parts.mouth.engine_name)
            self._speech_ready(wanted, made)

    def _speech_ready(self, wanted: cmd.Synthesize, made: Rendered) -> None:
        self._speech[wanted.segment] = (wanted, made)
        self._tell(ev.SegmentReady(wanted.segment, made.seconds))
