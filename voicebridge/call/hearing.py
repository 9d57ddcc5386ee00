"""The ear of one call: voice activity on everything, the recogniser on what belongs to the utterance.

Keeps a short stretch of the past, so that an utterance begins a little before the voice was noticed. The pre-roll is
short on purpose: half a second of leading silence makes small recognisers hear words that nobody said.
"""

from __future__ import annotations

from collections.abc import Sequence

from voicebridge.audio.pcm import FRAME_S, silence
from voicebridge.audio.vad import SpeechStarted as VoiceBegan
from voicebridge.audio.vad import SpeechStopped as VoiceEnded
from voicebridge.audio.vad import VoiceActivityDetector
from voicebridge.conversation import events as ev
from voicebridge.engines.base import SttSession, Transcript

PREROLL_S = 0.16
KEEP_S = 2.0
TAIL_S = 0.20
"""This much after the last voice still goes to the recogniser; the rest of a pause does not."""
MUTE_TICKS = 12
"""Ticks of 20 ms without a frame, in the middle of a voice, after which the line is taken to be silent (hold, DTX)."""
STREAM_S = 0.1
"""While he speaks, the recogniser gets so much at a time: one that streams has little left to do at the end."""
HOLD_S = 0.4
"""For so long a voice is kept back: it may be a new utterance, which the core has not opened yet."""
BYTES_PER_SAMPLE = 2


class Hearing:
    def __init__(self, stt: SttSession, rate: int) -> None:
        self._stt = stt
        self._rate = rate
        self._vad = VoiceActivityDetector(rate)
        self._past = bytearray()
        self._past_from = 0  # sample position of the first byte kept
        self._heard = 0  # samples received so far
        self._fed = 0  # samples up to here are with the recogniser, or will not go there
        self._feeding = False
        self._hold = 0  # samples heard before what he says now may go to the recogniser unasked
        self._began = 0
        self._mute = 0  # ticks since the last frame came
        self._due = 0  # samples up to here belong to the recogniser, while nobody speaks

    def hear(self, pcm: bytes) -> list[ev.SpeechStarted | ev.SpeechStopped]:
        """Take the caller's audio; returns what the core should know, in order."""
        self._mute = 0
        return self._take(pcm)

    def tick(self) -> list[ev.SpeechStarted | ev.SpeechStopped]:
        """Every 20 ms. Some peers send nothing while the caller is silent: a voice must not last for ever by that."""
        self._mute += 1
        if not self._feeding or self._mute < MUTE_TICKS:
            return []
        missing = MUTE_TICKS if self._mute == MUTE_TICKS else 1
        return self._take(silence(missing * FRAME_S, self._rate))

    def _take(self, pcm: bytes) -> list[ev.SpeechStarted | ev.SpeechStopped]:
        self._stream()
        self._past += pcm
        self._heard += len(pcm) // BYTES_PER_SAMPLE
        told: list[ev.SpeechStarted | ev.SpeechStopped] = []
        for change in self._vad.feed(pcm):
            match change:
                case VoiceBegan(at_sample):
                    self.flush()  # the voice before a short pause, which nobody may have asked for yet
                    self._began = at_sample
                    self._fed = max(self._fed, at_sample - int(PREROLL_S * self._rate))
                    self._feeding = True
                    self._hold = at_sample + int(HOLD_S * self._rate)
                    told.append(ev.SpeechStarted(ago=self._ago(at_sample)))
                case VoiceEnded(last_voice_sample):
                    self._due = last_voice_sample + int(TAIL_S * self._rate)
                    voiced = max(0, last_voice_sample - self._began) / self._rate
                    told.append(ev.SpeechStopped(ago=self._ago(last_voice_sample), voiced=voiced))
                    self._feeding = False
        self._forget()
        return told

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None:
        """The core opened an utterance: it starts with the pre-roll of the voice that was just noticed."""
        self._stt.begin(utterance, phrases)
        self._hold = 0

    def flush(self) -> None:
        """Give the recogniser what it should have by now: up to the present while he speaks, else a short tail."""
        until = self._heard if self._feeding else min(self._heard, self._due)
        first = max(self._fed, self._past_from)
        if until > first:
            offset = (first - self._past_from) * BYTES_PER_SAMPLE
            end = (until - self._past_from) * BYTES_PER_SAMPLE
            self._stt.feed(bytes(self._past[offset:end]))
            self._fed = until

    def _stream(self) -> None:
        """Before the next frame is heard, so that the core has had its say about those before. Not what follows the
        last voice: the recogniser may have been asked for the end by then, and would have to begin anew."""
        if self._feeding and self._heard >= max(self._hold, self._fed + int(STREAM_S * self._rate)):
            self.flush()

    def _ago(self, sample: int) -> float:
        return max(0, self._heard - sample) / self._rate

    def _forget(self) -> None:
        """Drop the past beyond what a pre-roll can ask for; what an utterance still needs goes to the recogniser."""
        if len(self._past) <= KEEP_S * 2 * self._rate * BYTES_PER_SAMPLE:
            return
        self.flush()
        excess = len(self._past) - int(KEEP_S * self._rate) * BYTES_PER_SAMPLE
        del self._past[:excess]
        self._past_from += excess // BYTES_PER_SAMPLE

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        """All of the utterance so far; see SttSession. Raises EngineError."""
        self.flush()
        return await self._stt.transcribe(deadline=deadline, give_up=give_up, final=final)

    async def close(self) -> None:
        await self._stt.close()
