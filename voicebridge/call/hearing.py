"""The ear of one call: voice activity on everything, the recogniser on what belongs to the utterance.

Keeps a short stretch of the past, so that an utterance begins a little before the voice was noticed. The pre-roll is
short on purpose: half a second of leading silence makes small recognisers hear words that nobody said.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from voicebridge.audio.echo import EchoGuard
from voicebridge.audio.pcm import FRAME_S, frame_bytes, silence
from voicebridge.audio.vad import SpeechStarted as VoiceBegan
from voicebridge.audio.vad import SpeechStopped as VoiceEnded
from voicebridge.audio.vad import VoiceActivityDetector
from voicebridge.call.lag import Lag
from voicebridge.conversation import events as ev
from voicebridge.engines.base import SttSession, Transcript

PREROLL_S = 0.16
KEEP_S = 2.0
JUDGED_S = 8.0
"""Of an utterance, what a judge of turns hears at most."""
TAIL_S = 0.20
"""This much after the last voice still goes to the recogniser; the rest of a pause does not."""
MUTE_TICKS = 12
"""Ticks of 20 ms without a frame, in the middle of a voice, after which the line is taken to be silent (hold, DTX)."""
STREAM_S = 0.1
"""While he speaks, the recogniser gets so much at a time: one that streams has little left to do at the end."""
HOLD_S = 0.4
"""For so long a voice is kept back: it may be a new utterance, which the core has not opened yet."""
BYTES_PER_SAMPLE = 2
REGRETTED = 4
"""Frames taken for our echo that are heard after all when somebody turns out to speak in the next one."""


class Hearing:
    """`guard`: what tells our own voice, coming back, from the caller's; None where nothing of us can come back.

    `keep_s` of the past are kept at least.
    """

    def __init__(
        self, stt: SttSession, rate: int, guard: EchoGuard | None = None, *, keep_s: float = KEEP_S
    ) -> None:
        self._keep_s = keep_s
        self._stt = stt
        self._rate = rate
        self._guard = guard
        self._muted: deque[tuple[int, bytes]] = deque(maxlen=REGRETTED)  # the frames before this one that were echo
        self._utterance: tuple[int, Sequence[str]] = (0, ())
        self._opened = 0  # from this sample on the recogniser has what belongs to the utterance
        self._silenced = False  # what he seemed to say was us, and nothing came since
        self._vad = VoiceActivityDetector(rate)
        self._past = bytearray()
        self._past_from = 0  # sample position of the first byte kept
        self._heard = 0  # samples received so far
        self._lag = Lag(rate)
        self._fed = 0  # samples up to here are with the recogniser, or will not go there
        self._feeding = False
        self._hold = 0  # samples heard before what he says now may go to the recogniser unasked
        self._began = 0
        self._mute = 0  # ticks since the last frame came
        self._due = 0  # samples up to here belong to the recogniser, while nobody speaks

    def played(self, pcm: bytes) -> None:
        """A frame of 20 ms went to the caller: it may come back."""
        if self._guard is not None:
            self._guard.played(pcm)

    def hear(self, pcm: bytes) -> list[ev.SpeechStarted | ev.SpeechStopped]:
        """Take the caller's audio; returns what the core should know, in order."""
        self._mute = 0
        guard, size = self._guard, frame_bytes(self._rate)
        if guard is None:
            return self._take(pcm)
        parts = (pcm[at : at + size] for at in range(0, len(pcm), size))
        return [told for part in parts for told in self._take(self._without_echo(part, guard))]

    def _without_echo(self, pcm: bytes, guard: EchoGuard) -> bytes:
        """The frame, or silence where it is nothing but ourselves."""
        echo = guard.heard(pcm)
        if guard.was_echo:
            self._unhear(guard.was_echo)
        if echo:
            self._muted.append((self._heard, pcm))
            return bytes(len(pcm))
        for at, frame in self._muted if guard.somebody else ():
            self._write(at, frame)  # a voice began in these, too softly to be told from the echo
        self._muted.clear()
        return pcm

    def _unhear(self, echo: Sequence[bool]) -> None:
        """An echo was noticed only now: what it left here is silenced, and taken from the recogniser."""
        size = frame_bytes(self._rate)
        first = self._heard - len(echo) * size // BYTES_PER_SAMPLE
        for index, was in enumerate(echo):
            if was:
                self._write(first + index * size // BYTES_PER_SAMPLE, bytes(size))
        self._began = self._heard  # so that no voice is reckoned
        if self._opened < first:
            return  # what the recogniser has is older
        if self._fed > self._opened:
            self._stt.begin(*self._utterance)
            self._fed = self._opened
        self._silenced = True

    def _write(self, at: int, pcm: bytes) -> None:
        """Put audio where other audio was. What has been forgotten or fed stays as it is."""
        offset = (at - self._past_from) * BYTES_PER_SAMPLE
        if at >= self._past_from and offset + len(pcm) <= len(self._past):
            self._past[offset : offset + len(pcm)] = pcm

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
        late = self._lag.heard(self._heard, time.monotonic())
        told: list[ev.SpeechStarted | ev.SpeechStopped] = []
        for change in self._vad.feed(pcm):
            match change:
                case VoiceBegan(at_sample):
                    self.flush()  # the voice before a short pause, which nobody may have asked for yet
                    self._began = at_sample
                    self._fed = max(self._fed, at_sample - int(PREROLL_S * self._rate))
                    self._feeding = True
                    self._hold = at_sample + int(HOLD_S * self._rate)
                    told.append(ev.SpeechStarted(ago=self._ago(at_sample), late=late))
                case VoiceEnded(last_voice_sample):
                    self._due = last_voice_sample + int(TAIL_S * self._rate)
                    voiced = max(0, last_voice_sample - self._began) / self._rate
                    told.append(ev.SpeechStopped(self._ago(last_voice_sample), voiced, late))
                    self._feeding = False
        self._forget()
        return told

    def begin(self, utterance: int, phrases: Sequence[str] = ()) -> None:
        """The core opened an utterance: it starts with the pre-roll of the voice that was just noticed."""
        self._stt.begin(utterance, phrases)
        self._hold = 0
        self._utterance, self._opened, self._silenced = (utterance, phrases), self._fed, False

    def flush(self) -> None:
        """Give the recogniser what it should have by now: up to the present while he speaks, else a short tail."""
        until = self._heard if self._feeding else min(self._heard, self._due)
        first = max(self._fed, self._past_from)
        if until > first:
            offset = (first - self._past_from) * BYTES_PER_SAMPLE
            end = (until - self._past_from) * BYTES_PER_SAMPLE
            piece = bytes(self._past[offset:end])
            self._stt.feed(piece)
            self._silenced = self._silenced and not any(piece)
            self._fed = until

    def said(self, seconds: float) -> bytes:
        """The last so many seconds of the utterance, up to now; 16-bit mono, what was echo is silence."""
        first = max(self._opened, self._past_from, self._heard - int(seconds * self._rate))
        return bytes(self._past[(first - self._past_from) * BYTES_PER_SAMPLE :])

    def _stream(self) -> None:
        """Before the next frame is heard, so that the core has had its say about those before. Not what follows the
        last voice: the recogniser may have been asked for the end by then, and would have to begin anew."""
        if self._feeding and self._heard >= max(self._hold, self._fed + int(STREAM_S * self._rate)):
            self.flush()

    def _ago(self, sample: int) -> float:
        return max(0, self._heard - sample) / self._rate

    def _forget(self) -> None:
        """Drop the past beyond what a pre-roll can ask for; what an utterance still needs goes to the recogniser."""
        if len(self._past) <= self._keep_s * 2 * self._rate * BYTES_PER_SAMPLE:
            return
        self.flush()
        excess = len(self._past) - int(self._keep_s * self._rate) * BYTES_PER_SAMPLE
        del self._past[:excess]
        self._past_from += excess // BYTES_PER_SAMPLE

    async def transcribe(self, *, deadline: float, give_up: float, final: bool = True) -> Transcript:
        """All of the utterance so far; see SttSession. Raises EngineError."""
        self.flush()
        if self._silenced:  # small recognisers hear words in silence
            now = time.monotonic()
            return Transcript(self._utterance[0], "", self._fed - self._opened, now, now)
        return await self._stt.transcribe(deadline=deadline, give_up=give_up, final=final)

    async def close(self) -> None:
        await self._stt.close()
