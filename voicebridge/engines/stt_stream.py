"""Our side of a worker that hears while the caller speaks (stt_worker.py): one connection a call, kept for its length.

Audio goes out as it is fed. When the connection or the worker is lost in the middle, all of the utterance goes to the
next one, and what was asked is asked again: no word is lost by it.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart
from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.engines.base import EngineError, HeardWord, Transcript
from voicebridge.engines.guard import whole
from voicebridge.engines.stt_worker import LOOK_EVENT
from voicebridge.engines.wyoming_link import CONNECT_TIMEOUT_S, MAX_TEXT, RETRY_S, Address, LinkLost, request_context

log = logging.getLogger(__name__)

MAX_UTTERANCE_S = 60
BLOCK_S = 0.1
REPLAY_S = 1.0
"""The size of the pieces in which much audio goes out at once."""


@dataclass(eq=False)
class _Ask:
    """A question: after so many bytes of the utterance, what was said."""

    identifier: str
    utterance: int
    at: int
    deadline: float
    final: bool
    started: float = field(default_factory=time.monotonic)
    sent: bool = False
    answer: asyncio.Future[Event] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(eq=False)
class _Wire:
    """One connection, and what the worker at its end has been told of the current utterance."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    utterance: int = -1  # by `_opened`
    sent: int = 0  # bytes of it


class StreamingSttSession:
    """One call's utterances. Keeps an utterance's last 60 s, so that it can be told again."""

    def __init__(
        self, name: str, address: Address, number: int, rate: int, language: str, phrases: Sequence[str] = ()
    ) -> None:
        self._name = name
        self._address = address
        self._number = number
        self._requests = itertools.count(1)
        self._rate = rate
        self._language = language
        self._agents_phrases = tuple(whole(phrase) for phrase in phrases)
        self._phrases: tuple[str, ...] = self._agents_phrases
        self._utterance = 0
        self._opened = 0  # counts begin()
        self._pcm = bytearray()
        self._from = 0  # bytes of the utterance that are not kept any more
        self._ask: _Ask | None = None
        self._settled = True  # nothing was fed since the last answer
        self._lost = LinkLost("timeout")
        self._wire: _Wire | None = None
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._running = False
        self._losses = 0  # since the last answer

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None:
        told = tuple(whole(phrase) for phrase in phrases)
        self._utterance, self._phrases = utterance, told or self._agents_phrases
        self._opened += 1
        self._pcm.clear()
        self._from = 0
        self._settled = True
        self._supersede()

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm
        self._settled = False
        if (excess := len(self._pcm) - 2 * self._rate * MAX_UTTERANCE_S) > 0:
            excess += excess % 2
            del self._pcm[:excess]
            self._from += excess
        self._go()

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        """See SttSession. An earlier call that this one supersedes raises EngineError `refused`."""
        self._supersede()
        identifier = f"{self._number}.{next(self._requests)}"
        ask = self._ask = _Ask(identifier, self._utterance, self._end, deadline, final)
        self._lost = LinkLost("timeout")
        self._go()
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + give_up - time.monotonic()):
                event = await ask.answer
        except TimeoutError:
            raise EngineError("stt", self._name, self._lost.cause, self._lost.detail) from None
        finally:
            if self._ask is ask:
                self._ask = None
        return self._transcript(ask, event)

    async def close(self) -> None:
        self._supersede()
        for task in list(self._tasks):
            task.cancel()
        self._drop()

    def _supersede(self) -> None:
        ask, self._ask = self._ask, None
        if ask is not None and not ask.answer.done():
            ask.answer.set_exception(EngineError("stt", self._name, "refused", "superseded"))

    # ---- the connection

    @property
    def _end(self) -> int:
        return self._from + len(self._pcm) // 2 * 2

    def _go(self) -> None:
        if not self._running:
            self._running = True
            self._start(self._pump(), f"stt {self._number}")
        self._wake.set()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _drop(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.writer.close()

    async def _pump(self) -> None:
        """Sends what is to be sent, over new connections where one is lost."""
        while True:
            self._wake.clear()
            if self._settled and self._ask is None:
                await self._wake.wait()
                continue
            try:
                if self._wire is None:
                    if self._losses:
                        await asyncio.sleep(RETRY_S[min(self._losses, len(RETRY_S)) - 1])
                    self._wire = await self._connect()
                await self._send(self._wire)
            except OSError as error:
                self._gone(LinkLost("crashed", type(error).__name__))
            except LinkLost as error:
                self._gone(error)
            except Exception as error:  # noqa: BLE001 - the boundary: logged; what can be sent may follow
                self._cannot(error)
            else:
                await self._wake.wait()

    def _cannot(self, error: Exception) -> None:
        """What was asked fails at once; the next thing that comes is tried on a new connection."""
        if not self._losses:
            log.error("stt %s: an utterance cannot be sent: %r", self._name, error, exc_info=error)
        ask, self._ask, self._settled = self._ask, None, True
        if ask is not None and not ask.answer.done():
            ask.answer.set_exception(EngineError("stt", self._name, "garbage", type(error).__name__))
        self._gone(LinkLost("garbage", type(error).__name__))

    def _gone(self, lost: LinkLost) -> None:
        self._drop()
        self._losses += 1
        self._lost = lost
        if self._ask is not None:
            self._ask.sent = False
        self._wake.set()

    async def _connect(self) -> _Wire:
        try:
            wire = _Wire(*await self._address.connect(CONNECT_TIMEOUT_S))
        except (OSError, TimeoutError) as error:
            raise LinkLost("unreachable", type(error).__name__) from error
        self._start(self._listen(wire), f"stt {self._number} answers")
        return wire

    async def _send(self, wire: _Wire) -> None:
        """What the worker lacks, in the order in which it came."""
        if wire.utterance != self._opened:
            wire.utterance, wire.sent = self._opened, self._from
            context = {"id": f"{self._number}.{self._opened}", "phrases": list(self._phrases)}
            await async_write_event(Transcribe(language=self._language or None, context=context).event(), wire.writer)
            await async_write_event(AudioStart(rate=self._rate, width=2, channels=1).event(), wire.writer)
        while wire is self._wire and wire.utterance == self._opened:
            ask = self._ask if self._ask is not None and not self._ask.sent else None
            wire.sent = max(wire.sent, self._from)
            until = ask.at if ask is not None else self._end
            if wire.sent < until and (ask is not None or until - wire.sent >= BLOCK_S * self._rate * 2):
                await self._send_audio(wire, until)
            elif ask is not None:
                await self._send_ask(wire, ask)
            else:
                return
        self._wake.set()

    async def _send_audio(self, wire: _Wire, until: int) -> None:
        until = min(until, wire.sent + round(REPLAY_S * self._rate) * 2)
        piece = bytes(self._pcm[wire.sent - self._from : until - self._from])
        wire.sent = until
        chunk = AudioChunk(rate=self._rate, width=2, channels=1, audio=piece)
        await async_write_event(chunk.event(), wire.writer)

    async def _send_ask(self, wire: _Wire, ask: _Ask) -> None:
        ask.sent = True
        context = request_context(self._address, ask.identifier, ask.deadline)
        kind = "audio-stop" if ask.final else LOOK_EVENT
        await async_write_event(Event(kind, {"context": context}), wire.writer)

    async def _listen(self, wire: _Wire) -> None:
        """Takes the worker's answers until the connection ends."""
        lost = LinkLost("crashed")
        try:
            while event := await async_read_event(wire.reader):
                self._answered(event)
            if not wire.reader.at_eof():
                lost = LinkLost("garbage")
        except (OSError, EOFError) as error:
            lost = LinkLost("crashed", type(error).__name__)
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # JSON, but no Wyoming event
            lost = LinkLost("garbage", type(error).__name__)
        finally:
            wire.writer.close()
        if self._wire is wire:
            self._gone(lost)

    def _answered(self, event: Event) -> None:
        context = event.data.get("context")
        ask = self._ask
        if ask is None or not isinstance(context, dict) or context.get("id") != ask.identifier or ask.answer.done():
            return
        if event.type == "error":
            told = str(event.data.get("text", ""))[:200]
            ask.answer.set_exception(EngineError("stt", self._name, "refused", told))
        elif event.type == "transcript":
            self._losses = 0
            if ask.final and ask.at == self._end:
                self._settled = True
            ask.answer.set_result(event)

    def _transcript(self, ask: _Ask, event: Event) -> Transcript:
        text, context = event.data.get("text"), event.data["context"]
        try:
            words = tuple(
                HeardWord(str(word), float(start), float(end), float(confidence))
                for word, start, end, confidence in context.get("words") or ()
            )
        except (TypeError, ValueError):
            raise EngineError("stt", self._name, "garbage", "words that are none") from None
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise EngineError("stt", self._name, "garbage", "a transcript without text, or with far too much")
        busy = context.get("busy_s")
        return Transcript(
            utterance=ask.utterance,
            text=whole(text).strip(),
            samples=ask.at // 2,
            started=ask.started,
            finished=time.monotonic(),
            busy_s=busy if isinstance(busy, float) else None,
            words=words,
            engine=self._name,
        )
