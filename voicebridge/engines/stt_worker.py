"""The worker's side of a recogniser that hears while the caller speaks.

A client sends an utterance's audio as it comes and asks at any time. On top of Wyoming's `transcribe`, `audio-start`,
`audio-chunk`, `audio-stop` -> `transcript`:

- `transcribe`'s `context` may hold `phrases`: what the caller has just been asked for.
- `audio-stop` asks for the utterance's end, `voicebridge-look` for what has been understood so far. Both may bear a
  `context` with `id` and `deadline` (time.monotonic() seconds), and each gets a `transcript` (or `error`) whose
  `context` holds the `id`, `queued_s`, `busy_s` and `words` ([text, start, end, confidence] with seconds from the
  utterance's first sample).
- After `audio-stop` more `audio-chunk`s go on with the same utterance; `transcribe` or `audio-start` begins another.
- A client that sends no `id` gets `transcript-start`, `transcript-chunk` (words that two looks in a row agreed on) and
  `transcript-stop` around the `transcript`, as Wyoming has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from wyoming.asr import TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.engines.base import HeardWord
from voicebridge.engines.scheduler import Job, Scheduler, due

log = logging.getLogger(__name__)

LOOK_EVENT = "voicebridge-look"
BACKGROUND = 1e11
"""A deadline after all that somebody waits for and before those that are speculative: audio of who still speaks."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a recogniser made of an utterance; `words` where it tells."""

    text: str
    words: tuple[HeardWord, ...] = ()


NOTHING = Heard("")


class Listener(Protocol):
    """One utterance. Used from one thread at a time, not always the same."""

    def feed(self, pcm: bytes) -> None:
        """More of it: 16-bit little-endian mono. Only kept; `advance` computes."""

    def advance(self, *, ending: bool) -> bool:
        """Compute some 100 ms of what was fed; False where nothing is left to do. `ending`: for `final`."""

    def look(self) -> Heard:
        """What is understood of all that was advanced through."""

    def final(self) -> Heard:
        """All of it, after `advance(ending=True)` had nothing left to do. What is fed later goes on with it."""


class StreamingModel(Protocol):
    """What the worker's `open` gives, where its `streaming` is true; shared by all threads."""

    def listener(self, rate: int, language: str, phrases: Sequence[str]) -> Listener:
        """ValueError: cannot do that."""


@dataclass(slots=True)
class _Ask:
    context: Mapping[str, Any]
    deadline: float
    ending: bool
    asked: float = field(default_factory=time.monotonic)
    busy_s: float = 0.0
    superseded: bool = False
    """He asked again since, began anew or went: the answer would not be read, and an end would have to be undone."""


@dataclass(slots=True)
class _Begin:
    rate: int
    language: str
    phrases: tuple[str, ...]
    foreign: bool


class Stream:
    """One client's utterances, one after the other: audio, questions and answers in their order."""

    def __init__(self, scheduler: Scheduler[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                 info: Event) -> None:  # fmt: skip
        self._scheduler = scheduler
        self._reader = reader
        self._writer = writer
        self._info = info
        self._asked: Mapping[str, Any] = {}  # the last `transcribe`
        self._begun = False
        self._todo: deque[_Begin | _Ask | bytes] = deque()
        self._wake = asyncio.Event()
        self._job: Job[Any] | None = None
        self._listener: Listener | None = None
        self._refused = ""
        self._told: _Told | None = None

    async def run(self) -> None:
        worker = asyncio.create_task(self._serve())
        worker.add_done_callback(lambda _: self._writer.close())
        try:
            while event := await async_read_event(self._reader):
                await self._handle(event)
        except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("connection closed: %s", type(error).__name__)  # it does not speak Wyoming
        finally:
            self._supersede()
            worker.cancel()
            if self._job is not None:
                self._job.drop()
            self._writer.close()

    # ---- what comes

    async def _handle(self, event: Event) -> None:
        match event.type:
            case "describe":
                await async_write_event(self._info, self._writer)
            case "ping":
                await async_write_event(Event("pong", dict(event.data)), self._writer)
            case "transcribe":
                self._asked, self._begun = event.data, False
            case "audio-start":
                self._begin(int(event.data["rate"]))
            case "audio-chunk":
                if event.data["width"] != 2 or event.data["channels"] != 1:
                    raise TypeError("only 16-bit mono is taken")
                if not self._begun:
                    self._begin(int(event.data["rate"]))
                self._do(event.payload or b"")
            case "audio-stop" | "voicebridge-look":
                if not self._begun:
                    self._begin(8000)
                context = event.data.get("context") or self._asked.get("context") or {}
                self._do(_Ask(context, due(context), event.type == "audio-stop"))

    def _begin(self, rate: int) -> None:
        """What was not answered of the utterance before, nobody waits for any more."""
        context = self._asked.get("context") or {}
        phrases = tuple(str(phrase) for phrase in context.get("phrases") or ())
        language = str(self._asked.get("language") or "")
        self._begun = True
        self._supersede()
        self._todo.clear()
        self._do(_Begin(rate, language, phrases, foreign="id" not in context))

    def _do(self, thing: _Begin | _Ask | bytes) -> None:
        if isinstance(thing, _Ask):
            self._supersede()
        self._todo.append(thing)
        self._wake.set()
        if isinstance(thing, _Ask) and self._job is not None:
            self._scheduler.hasten(self._job, deadline=thing.deadline)

    def _supersede(self) -> None:
        """Nobody waits for what was asked so far: a thread that computes it stops."""
        for earlier in self._todo:
            if isinstance(earlier, _Ask):
                earlier.superseded = True

    # ---- what is done

    async def _serve(self) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while True:
                if not await self._step():
                    self._wake.clear()
                    if not self._todo:
                        await self._wake.wait()

    async def _step(self) -> bool:
        """One thing to do, or a piece of it. False where there is nothing."""
        thing = self._todo[0] if self._todo else None
        if isinstance(thing, _Begin):
            self._todo.popleft()
            await self._open(thing)
            return True
        if isinstance(thing, bytes):
            self._todo.popleft()
            if self._listener is not None:
                self._listener.feed(thing)
            return True
        if isinstance(thing, _Ask) and thing.superseded:
            self._todo.popleft()
            return True
        if self._listener is None:
            if thing is not None:
                self._todo.popleft()
                await self._answer(thing, None, self._refused or "nothing was begun")
            return thing is not None
        return await self._advance(self._listener, thing)

    async def _open(self, begin: _Begin) -> None:
        self._listener, self._refused = None, ""
        self._told = _Told(self._writer) if begin.foreign else None
        try:
            rate = checked_rate(begin.rate)
            self._listener = await self._compute(
                lambda model: model.listener(rate, begin.language, begin.phrases), None
            )
        except ValueError as error:
            self._refused = str(error)
        except Exception as error:  # the boundary: an engine may raise anything
            log.exception("no utterance could be begun")
            self._refused = type(error).__name__

    async def _advance(self, listener: Listener, ask: _Ask | None) -> bool:
        """As much computing as more urgent work allows; the answer where that was all."""
        try:
            heard = await self._compute(self._work(listener, ask), ask)
            if heard is None:
                return True
        except asyncio.CancelledError:
            raise
        except Exception as error:  # the boundary: an engine may raise anything
            log.exception("the engine failed")
            self._listener, self._refused = None, type(error).__name__
            return True
        if ask is None:
            if self._told is not None:
                await self._told.more(heard)
            return False
        if self._todo and self._todo[0] is ask:
            self._todo.popleft()
            await self._answer(ask, heard, "")
        return True

    def _work(self, listener: Listener, ask: _Ask | None) -> Callable[[Any], Heard | None]:
        """For a computing thread: what was asked; None where there is more to do and others are more urgent.

        Between two jobs of a stream the thread takes another's piece: what somebody waits for is done in one go.
        """
        ending = ask is not None and ask.ending
        deadline = ask.deadline if ask is not None else BACKGROUND

        def work(_: Any) -> Heard | None:
            while listener.advance(ending=ending):
                if ask is None or ask.superseded or self._scheduler.has_sooner(deadline):
                    return None
            if ask is not None and ask.superseded:
                return None
            if ending:
                return listener.final()
            return listener.look() if ask is not None or self._told is not None else NOTHING

        return work

    async def _compute(self, work: Callable[[Any], Any], ask: _Ask | None) -> Any:
        deadline = ask.deadline if ask is not None else BACKGROUND + time.monotonic()
        self._job = self._scheduler.submit(work, deadline=deadline)
        later = next((thing for thing in self._todo if isinstance(thing, _Ask)), None)
        if ask is None and later is not None:
            self._scheduler.hasten(self._job, deadline=later.deadline)
        try:
            done = await self._job.future
        finally:
            self._job = None
        if ask is not None:
            ask.busy_s += done.busy_s
        return done.result

    async def _answer(self, ask: _Ask, heard: Heard | None, refused: str) -> None:
        context: dict[str, Any] = {"id": ask.context.get("id")}
        if heard is None:
            data = Error(text=refused, code="refused").event().data | {"context": context}
            await async_write_event(Event("error", data), self._writer)
            return
        context["busy_s"] = ask.busy_s
        context["queued_s"] = max(0.0, time.monotonic() - ask.asked - ask.busy_s)
        context["words"] = [[word.text, word.start, word.end, word.confidence] for word in heard.words]
        log.debug("request %s: queued %.3f s, computed %.3f s", context["id"], context["queued_s"], ask.busy_s)
        answer = Event("transcript", {"text": heard.text, "context": context})
        if self._told is not None and ask.ending:
            await self._told.end(heard, answer)
        else:
            await async_write_event(answer, self._writer)


class _Told:
    """What a foreign client was told of an utterance while it lasted. Nothing can be taken back of that."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._last: list[str] = []
        self._sent: list[str] = []
        self._started = False

    async def more(self, heard: Heard) -> None:
        words = heard.text.split()
        agreed = 0
        while agreed < min(len(words), len(self._last)) and words[agreed] == self._last[agreed]:
            agreed += 1
        self._last = words
        await self._send(words[:agreed])

    async def end(self, heard: Heard, answer: Event) -> None:
        """The rest, and the whole, which alone counts."""
        await self._start()
        await self._send(heard.text.split())
        await async_write_event(answer, self._writer)
        await async_write_event(TranscriptStop().event(), self._writer)
        self._last, self._sent, self._started = [], [], False

    async def _send(self, words: list[str]) -> None:
        new = words[len(self._sent) :] if words[: len(self._sent)] == self._sent else []
        if new:
            await self._start()
            text = " ".join(new) if not self._sent else " " + " ".join(new)
            await async_write_event(TranscriptChunk(text).event(), self._writer)
            self._sent = words

    async def _start(self) -> None:
        if not self._started:
            self._started = True
            await async_write_event(TranscriptStart().event(), self._writer)


def checked_rate(rate: int) -> int:
    """ValueError, which is told to the client: with another connection it would be no other rate."""
    if not 4000 <= rate <= 48_000:
        raise ValueError(f"{rate} Hz is not taken: 4000 to 48000 is")
    return rate
