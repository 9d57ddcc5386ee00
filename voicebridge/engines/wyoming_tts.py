"""Text-to-speech by a Wyoming server, our own worker or anybody's."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from wyoming.event import Event
from wyoming.tts import Synthesize, SynthesizeVoice

from voicebridge.engines.base import EngineError, Speech, Voice, WordMark
from voicebridge.engines.guard import whole
from voicebridge.engines.local import Host, Hosted, RemoteHost
from voicebridge.engines.tts_worker import MARKS_EVENT
from voicebridge.engines.wyoming_link import Links, request_context

log = logging.getLogger(__name__)

IDLE_CONNECTIONS = 8
NO_SPEECH_RATE = 8000
WORD = re.compile(r"\S+")


class WyomingTts(Hosted):
    """A TtsEngine. `host` says where the server is and keeps it running where it is ours."""

    def __init__(self, name: str, host: Host, *, identity: str = "") -> None:
        super().__init__(name, host)
        self.identity = identity or f"{name} {host.address.uri if isinstance(host, RemoteHost) else ''}".strip()
        self._links = Links("tts", name, host.address, idle=IDLE_CONNECTIONS)
        self._requests = itertools.count(1)
        self._lacking: set[str] = set()

    async def stop(self) -> None:
        self._links.close()
        await super().stop()

    async def synthesize(self, text: str, *, voice: Voice, deadline: float, give_up: float) -> Speech:
        """See TtsEngine. `speed` is kept by our own workers only: Wyoming has no word for it."""
        if not text.strip():
            return Speech(text, b"", NO_SPEECH_RATE)
        context = request_context(self._links.address, str(next(self._requests)), deadline)
        context |= {"speed": voice.speed, "language": voice.language}
        request = Synthesize(text=whole(text), voice=self._asked(voice), context=context).event()
        answer = await self._links.ask([request], "audio-stop", give_up=give_up, deadline=deadline)
        try:
            return _speech(text, answer)
        except Unplayable as error:
            raise EngineError("tts", self.name, "garbage", str(error)) from error
        except (KeyError, TypeError, ValueError) as error:
            raise EngineError("tts", self.name, "garbage", type(error).__name__) from error

    def _asked(self, voice: Voice) -> SynthesizeVoice:
        """By name (`name#speaker`) where the server has it, else by language: it refuses voices that it lacks."""
        known = self.host.voices
        name, _, speaker = voice.name.partition("#")
        if not voice.name or not known or voice.name in known:
            return SynthesizeVoice(name=voice.name or None, language=voice.language)
        if name in known:
            return SynthesizeVoice(name=name, speaker=speaker)
        if voice.name not in self._lacking:
            self._lacking.add(voice.name)
            log.warning("tts %s has no voice %r: it speaks with its own", self.name, voice.name)
        return SynthesizeVoice(language=voice.language)


class Unplayable(Exception):
    """Audio, but none that we can play; the text says what it is."""


def _speech(text: str, events: Sequence[Event]) -> Speech:
    """What a server's events say. Unplayable; KeyError, TypeError or ValueError when they are no speech at all."""
    rate, pcm, marks, estimated = 0, bytearray(), None, False
    for event in events:
        if event.type in ("audio-start", "audio-chunk"):
            rate = int(event.data["rate"])
            width, channels = int(event.data["width"]), int(event.data["channels"])
            if width != 2 or channels != 1 or not 4000 <= rate <= 48000:
                raise Unplayable(
                    f"{8 * width} bits, {channels} channels, {rate} Hz: 16-bit mono at 4 to 48 kHz is what we play"
                )
            pcm += event.payload or b""
        elif event.type == MARKS_EVENT:
            marks = tuple(WordMark(int(a), int(b), int(sample)) for a, b, sample in event.data["marks"])
            estimated = bool(event.data.get("estimated"))
    del pcm[len(pcm) & ~1 :]
    if rate == 0:
        raise Unplayable("no audio")
    if marks:
        return Speech(text, bytes(pcm), rate, marks, estimated)
    return Speech(text, bytes(pcm), rate, spread_marks(text, len(pcm) // 2), estimated=True)


def spread_marks(text: str, samples: int) -> tuple[WordMark, ...]:
    """A mark for each word, as if every character took the same time."""
    words = list(WORD.finditer(text))
    if not words:
        return ()
    first, length = words[0].start(), words[-1].end() - words[0].start()
    return tuple(
        WordMark(word.start(), word.end(), (word.start() - first) * samples // length) for word in words
    )


class RemoteTtsPlugin:
    """Any Wyoming text-to-speech server: `tts = "tcp://host:10200"`, or the option `uri`.

    Wyoming has neither keys nor encryption: who reaches the port can use the engine, and who is on the way hears
    callers. Keep it to loopback or a network of your own, or go through WireGuard, an SSH tunnel or stunnel.
    """

    name = "wyoming"
    kind: Literal["tts"] = "tts"

    def create(self, options: Mapping[str, Any]) -> WyomingTts:
        """Options: `uri`. ValueError when it is not one."""
        return WyomingTts(self.name, RemoteHost(str(options["uri"]), "tts"))


ENGINE = RemoteTtsPlugin()
