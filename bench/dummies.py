"""Stand-ins around a real call: what a caller says is known exactly, the agent's voice is silence, there is no line."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

from voicebridge.call.call import Call
from voicebridge.call.speech import Rendered
from voicebridge.conversation import events as ev
from voicebridge.engines.base import Transcript

RATE = 8_000
QUIET, LOUD = bytes(320), b"\x00\x40" * 160
FRAME_S, PACE_S = 0.02, 0.004
"""A frame is so long, and the next one comes so much later: five times as fast as a caller."""


class Ears:
    """Hears what was said last, whatever was fed."""

    name, words = "ears", ""

    def session(self, **_: object) -> Ears:
        return self

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None: ...
    def feed(self, pcm: bytes) -> None: ...
    async def close(self) -> None: ...
    async def transcribe(self, **_: object) -> Transcript:
        return Transcript(1, self.words, samples=0, started=0.0, finished=0.0)


class Voice:
    engine_name = "voice"

    def cached(self, text: str, rate: int) -> Rendered:
        return Rendered(text, QUIET * 2, rate, ())


class Leg:
    rate, peer = RATE, "a test"

    def __init__(self, call_id: uuid.UUID) -> None:
        self.call_id = call_id

    def send_audio(self, frame: bytes) -> None: ...
    def hang_up(self) -> None: ...


async def listen(call: Call, seconds: float, sound: bytes = QUIET) -> None:
    """So much of the call's own time passes, with this sound from the caller."""
    for _ in range(round(seconds / FRAME_S)):
        call.on_audio(sound, RATE)
        call.tick(0.0)
        await asyncio.sleep(PACE_S)


async def say(call: Call, ears: Ears, words: str) -> None:
    """The caller says it, and waits for an answer."""
    ears.words = words
    call.tell(ev.SpeechStarted(0.0))
    await listen(call, 0.1, LOUD)
    call.tell(ev.SpeechStopped(0.0, 0.8))
    await listen(call, 0.8)
