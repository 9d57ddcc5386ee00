"""The worker's side of a voice: text comes whole or in pieces, speech goes out sentence by sentence.

Each sentence is a request of its own to the scheduler, whose deadline is the moment at which the speech before it will
have been played. `synthesize` gets `audio-start`, `audio-chunk`s, `voicebridge-marks` and `audio-stop`. Between
`synthesize-start` and `synthesize-stop` the text comes in `synthesize-chunk`s, and the answer ends with
`synthesize-stopped`; a `synthesize` in between is for servers that don't know these, and is passed over (as Wyoming's
own servers do). A client's next request replaces one that is not done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.tts import SynthesizeStopped

from voicebridge.engines.base import Voice
from voicebridge.engines.scheduler import Done, Job, Scheduler, due
from voicebridge.engines.spoken import Spoken, Synthesiser, pieces

log = logging.getLogger(__name__)

CHUNK_BYTES = 32_000
MARKS_EVENT = "voicebridge-marks"


class Speaking:
    """One client and what it wants said."""

    def __init__(
        self,
        scheduler: Scheduler[Synthesiser],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        info: Event,
    ) -> None:
        self._scheduler = scheduler
        self._reader = reader
        self._writer = writer
        self._info = info
        self._text: _Text | None = None  # of a stream that has not ended
        self._answer: asyncio.Task[None] | None = None

    async def run(self) -> None:
        try:
            while event := await async_read_event(self._reader):
                await self._handle(event)
        except (OSError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
            log.warning("connection closed: %s", type(error).__name__)  # it does not speak Wyoming
        finally:
            if self._answer is not None:
                self._answer.cancel()
            self._writer.close()

    async def _handle(self, event: Event) -> None:
        match event.type:
            case "describe":
                await self._write(self._info)
            case "ping":
                await self._write(Event("pong", dict(event.data)))
            case "synthesize" if self._text is None:
                text = _Text()
                text.add(str(event.data["text"]))
                text.end()
                self._begin(event.data, text, streamed=False)
            case "synthesize-start":
                self._text = _Text()
                self._begin(event.data, self._text, streamed=True)
            case "synthesize-chunk" if self._text is not None:
                self._text.add(str(event.data["text"]))
            case "synthesize-stop" if self._text is not None:
                self._text.end()
                self._text = None

    def _begin(self, asked: Mapping[str, Any], text: _Text, *, streamed: bool) -> None:
        if self._answer is not None:
            self._answer.cancel()
        context = asked.get("context") or {}
        deadline = due(context)
        self._answer = asyncio.create_task(self._say(text, _voice(asked), deadline, context, streamed))

    async def _say(
        self, text: _Text, voice: Voice, deadline: float, context: Mapping[str, Any], streamed: bool
    ) -> None:
        try:
            speech = _Speech(context)
            async for start, piece in text.pieces():
                done = await self._spoken(piece, voice, deadline + speech.seconds)
                for event in speech.add(start, done):
                    await self._write(event)
            for event in speech.end():
                await self._write(event)
        except ValueError as error:
            await self._write(Error(text=str(error), code="refused").event())
        except OSError:
            return  # the client is gone
        except Exception as error:  # the boundary: an engine may raise anything
            log.exception("the engine failed")
            await self._write(Error(text=type(error).__name__, code="failed").event())
        if streamed:
            await self._write(SynthesizeStopped().event())

    async def _spoken(self, piece: str, voice: Voice, deadline: float) -> Done:
        job: Job[Synthesiser] = self._scheduler.submit(lambda synthesise: synthesise(piece, voice), deadline=deadline)
        try:
            return await job.future
        finally:
            job.drop()

    async def _write(self, event: Event) -> None:
        with contextlib.suppress(ConnectionError):
            await async_write_event(event, self._writer)


class _Text:
    """What comes in, given out a piece at a time as soon as it is certain where one ends."""

    def __init__(self) -> None:
        self._text = ""
        self._ended = False
        self._more = asyncio.Event()

    def add(self, text: str) -> None:
        self._text += text
        self._more.set()

    def end(self) -> None:
        self._ended = True
        self._more.set()

    async def pieces(self) -> AsyncIterator[tuple[int, str]]:
        """(where it begins, text)."""
        begun = 0
        while True:
            self._more.clear()
            rest, ended = self._text[begun:], self._ended
            found = pieces(rest)
            for start, end in found if ended else found[:-1]:
                yield begun + start, rest[start:end]
            if ended:
                return
            begun += found[-1][0]
            await self._more.wait()


class _Speech:
    """The events that tell of speech, a piece at a time."""

    def __init__(self, context: Mapping[str, Any]) -> None:
        self._context = context
        self._rate = 0
        self._samples = 0
        self._marks: list[list[int]] = []
        self._estimated = False
        self._queued_s: float | None = None
        self._busy_s = 0.0

    @property
    def seconds(self) -> float:
        return self._samples / self._rate if self._rate else 0.0

    def add(self, start: int, done: Done) -> list[Event]:
        """`start`: where the piece begins in the whole text."""
        spoken: Spoken = done.result
        self._queued_s = done.queued_s if self._queued_s is None else self._queued_s
        self._busy_s += done.busy_s
        self._estimated |= spoken.estimated
        events = []
        if not self._rate:
            self._rate = spoken.rate
            events.append(AudioStart(rate=spoken.rate, width=2, channels=1).event())
        for at in range(0, len(spoken.pcm), CHUNK_BYTES):
            piece = spoken.pcm[at : at + CHUNK_BYTES]
            events.append(AudioChunk(rate=spoken.rate, width=2, channels=1, audio=piece).event())
        self._marks += [[m.start + start, m.end + start, m.sample + self._samples] for m in spoken.marks]
        self._samples += len(spoken.pcm) // 2
        return events

    def end(self) -> list[Event]:
        told = {"id": self._context.get("id"), "queued_s": self._queued_s or 0.0, "busy_s": self._busy_s}
        log.debug("request %s: queued %.3f s, computed %.3f s", told["id"], told["queued_s"], told["busy_s"])
        marks = {"marks": self._marks, "estimated": self._estimated, "context": told}
        return [Event(MARKS_EVENT, marks), AudioStop().event()]


def _voice(asked: Mapping[str, Any]) -> Voice:
    """Wyoming's speaker goes behind the name, as our agents write it: `name#speaker`."""
    voice, context = asked.get("voice") or {}, asked.get("context") or {}
    language = context.get("language") or voice.get("language") or "en"
    name = str(voice.get("name") or "")
    if voice.get("speaker") is not None:
        name += f"#{voice['speaker']}"
    return Voice(name, str(language), float(context.get("speed") or 1.0))
