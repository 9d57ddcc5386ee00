"""Speech-to-text by a Wyoming server, our own worker or anybody's."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event

from voicebridge.engines.base import EngineError, SttSession, Transcript
from voicebridge.engines.guard import whole
from voicebridge.engines.local import Host, Hosted, RemoteHost
from voicebridge.engines.stt_stream import StreamingSttSession
from voicebridge.engines.wyoming_link import MAX_TEXT, Address, Links, request_context

MAX_UTTERANCE_S = 60
CHUNK_BYTES = 32_000


class WyomingStt(Hosted):
    """An SttEngine. `host` says where the server is and keeps it running where it is ours.

    `streaming`: it is a worker that hears while the caller speaks (stt_worker.py).
    """

    def __init__(self, name: str, host: Host, *, streaming: bool = False) -> None:
        super().__init__(name, host)
        self.streaming = streaming
        self._sessions = itertools.count(1)

    def session(self, *, rate: int, language: str, phrases: Sequence[str] = ()) -> SttSession:
        number = next(self._sessions)
        if self.streaming:
            return StreamingSttSession(self.name, self.host.address, number, rate, language, phrases)
        return WyomingSttSession(self.name, self.host.address, number, rate, language)


class WyomingSttSession:
    """One call's utterances. Keeps an utterance's last 60 s, so that it can be sent again."""

    def __init__(self, name: str, address: Address, number: int, rate: int, language: str) -> None:
        self._name = name
        self._links = Links("stt", name, address)
        self._number = number
        self._requests = itertools.count(1)
        self._rate = rate
        self._language = language
        self._utterance = 0
        self._pcm = bytearray()
        self._fed = 0  # bytes since begin()
        self._pending: asyncio.Task[Transcript] | None = None

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None:
        self._utterance = utterance
        self._pcm.clear()
        self._fed = 0

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm
        self._fed += len(pcm)
        if (excess := len(self._pcm) - 2 * self._rate * MAX_UTTERANCE_S) > 0:
            del self._pcm[: excess + excess % 2]

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        """See SttSession. An earlier call that this one supersedes raises EngineError `refused`."""
        if self._pending is not None:
            self._pending.cancel()
        task = asyncio.create_task(self._transcribe(deadline, give_up))
        self._pending = task
        try:
            await asyncio.wait({task})
        finally:  # cancelled ourselves: so is the request
            if self._pending is task:
                self._pending = None
            task.cancel()
        if task.cancelled():
            raise EngineError("stt", self._name, "refused", "superseded")
        return task.result()

    async def close(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
        self._links.close()

    async def _transcribe(self, deadline: float, give_up: float) -> Transcript:
        started, utterance, fed = time.monotonic(), self._utterance, self._fed
        identifier = f"{self._number}.{next(self._requests)}"
        context = request_context(self._links.address, identifier, deadline)
        answer = (await self._links.ask(self._request(context), "transcript", give_up=give_up, deadline=deadline))[-1]
        text, told = answer.data.get("text"), answer.data.get("context")
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            raise EngineError("stt", self._name, "garbage", "a transcript without text, or with far too much")
        busy = told.get("busy_s") if isinstance(told, dict) else None
        return Transcript(
            utterance=utterance,
            text=whole(text).strip(),
            samples=fed // 2,
            started=started,
            finished=time.monotonic(),
            busy_s=busy if isinstance(busy, float) else None,
            engine=self._name,
        )

    def _request(self, context: dict[str, Any]) -> list[Event]:
        rate, pcm = self._rate, bytes(self._pcm[: len(self._pcm) & ~1])
        pieces = [pcm[at : at + CHUNK_BYTES] for at in range(0, len(pcm), CHUNK_BYTES)]
        return [
            Transcribe(language=self._language or None, context=context).event(),
            AudioStart(rate=rate, width=2, channels=1).event(),
            *(AudioChunk(rate=rate, width=2, channels=1, audio=piece).event() for piece in pieces),
            AudioStop().event(),
        ]


class RemoteSttPlugin:
    """Any Wyoming speech-to-text server: `stt = "tcp://host:10300"`, or the option `uri`.

    Wyoming has neither keys nor encryption: see wyoming_tts.RemoteTtsPlugin.
    """

    name = "wyoming"
    kind: Literal["stt"] = "stt"

    def create(self, options: Mapping[str, Any]) -> WyomingStt:
        """Options: `uri`. ValueError when it is not one."""
        return WyomingStt(self.name, RemoteHost(str(options["uri"]), "stt"))


ENGINE = RemoteSttPlugin()
