"""One utterance in Vosk: decoded while it is spoken, ended and gone on with, with what was asked for in mind.

`FinalResult` ends Vosk's recogniser, maybe inside a word: he had only paused. What he says then is decoded by a new
one, which first hears again what the old one heard. Long utterances are cut between two words for that.

With phrases two recognisers hear the utterance: one knows nothing but the phrases, the other all words. Vosk's own way
to reject what is none of the phrases, [unk], does not do: asked for yes or no, "I want to speak to a person" became "I
what a repeat a person" with the confidence 1.0 (larger models do the same: alphacep/vosk-api issues 1017, 1339). What
tells is how much better all words fit the sound than the phrases do, as the recognisers' own scores have it. With the
tests' model, in nats a second of speech, over phrases and questions in a synthetic voice: answers that had been asked
for 8.3 at most, others 10.5 and more in 95 of 100 (MARGIN lies between).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import soxr

from voicebridge.engines.base import HeardWord
from voicebridge.engines.stt_worker import Heard

UNKNOWN = "[unk]"
MARGIN = 9.0
ALTERNATIVES = 4
STEP_S = 0.1
GAP_S = 0.25
"""A pause between words that an utterance may be cut in."""
SEAL_S = 8.0
"""So much is heard again when he goes on; of more, what lies before a pause is settled."""
LONGEST_S = 30.0
"""What is not ended by then is cut between two words."""
IDLE_S = 4.0
"""In so much audio no word more was understood: cut. Over silence or noise Vosk's decoder takes ever longer, with the
square of the length (20 s of zeros took 42 s)."""
CHECK_S = 1.0
OVERLAP_S = 1.0
"""So much before such a cut is heard again: a word may have begun in it."""
BREATH_S = 0.12
"""An [unk] at the edge that is no longer than this is none of his words."""
LEAST_SPEECH_S = 0.3


class Recogniser(Protocol):
    """Vosk's KaldiRecognizer."""

    def AcceptWaveform(self, data: bytes) -> int: ...  # noqa: N802 - Vosk's names
    def PartialResult(self) -> str: ...  # noqa: N802
    def FinalResult(self) -> str: ...  # noqa: N802


class Maker(Protocol):
    def __call__(self, phrases: Sequence[str], alternatives: int) -> Recogniser:
        """A new recogniser at the model's rate that tells words and their times; of all words where there are no
        phrases. `alternatives`: 0 or how many, with scores instead of the words' confidence."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A recogniser's last word. `score`: the log likelihood of it all, comparable over the same audio."""

    words: tuple[HeardWord, ...]
    score: float = 0.0

    @property
    def speech_s(self) -> float:
        return self.words[-1].end - self.words[0].start if self.words else 0.0


class Run:
    """One recogniser over the utterance's audio from byte `start` on. `at`: what it was given, up to there."""

    def __init__(self, recogniser: Recogniser, start: int, rate: int, model_rate: int) -> None:
        self.at = start
        self.ended: Ended | None = None
        self._recogniser = recogniser
        self._offset_s = start / 2 / rate
        self._resampler = None
        if rate != model_rate:
            self._resampler = soxr.ResampleStream(rate, model_rate, 1, dtype="int16", quality="MQ")

    def hear(self, pcm: bytes) -> None:
        self.at += len(pcm)
        self._accept(pcm, last=False)

    def _accept(self, pcm: bytes, *, last: bool) -> None:
        if self._resampler is not None:
            pcm = self._resampler.resample_chunk(np.frombuffer(pcm, "<i2"), last=last).tobytes()
        if pcm:
            # Its answer tells of pauses, which are ours to judge.
            self._recogniser.AcceptWaveform(pcm)

    def look(self) -> str:
        if self.ended is not None:
            return " ".join(word.text for word in self.ended.words)
        return str(json.loads(self._recogniser.PartialResult()).get("partial", ""))

    def end(self) -> Ended:
        """Nothing can be heard by it after."""
        if self.ended is None:
            if self._resampler is not None:
                self._accept(b"", last=True)
            said: dict[str, Any] = json.loads(self._recogniser.FinalResult())
            if "alternatives" in said:
                self.ended = _best(said["alternatives"], self._offset_s)
            else:
                self.ended = Ended(tuple(_word(each, each["conf"], self._offset_s) for each in said.get("result", ())))
        return self.ended


class VoskListener:
    """See stt_worker.Listener. All positions are bytes from the utterance's first sample on."""

    def __init__(
        self, make: Maker, phrases: Sequence[str], rate: int, model_rate: int, margin: float = MARGIN
    ) -> None:
        self._make = make
        self._phrases = tuple(phrases)
        self._rate = rate
        self._model_rate = model_rate
        self._margin = margin
        self._step = round(STEP_S * rate) * 2
        self._pcm = bytearray()  # from `_from` on
        self._from = 0
        self._settled: tuple[HeardWord, ...] = ()
        self._runs: list[Run] = []  # the last one knows all words
        self._known, self._new_at, self._checked = "", 0, 0
        self._restart()

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm

    def advance(self, *, ending: bool) -> bool:
        behind = min(self._runs, key=lambda run: run.at)
        going = next((run for run in self._runs if run.ended is None), None)
        idle = self._is_idle(behind.at)
        if idle or behind.at - self._from > self._bytes(LONGEST_S):
            if going is not None:
                going.end()
            elif idle:
                self._pass_over()
            else:
                self._seal(self._words(), forced=True)
        elif behind.at < self._end:
            if behind.ended is not None:
                self._go_on()
            else:
                self._hear(behind)
        elif going is not None and ending:
            going.end()
        else:
            return False
        return True

    def _hear(self, run: Run) -> None:
        """A step more, and no further than another has come: they end at the same place."""
        until = min(run.at + self._step, self._end)
        if (furthest := max(each.at for each in self._runs)) > run.at:
            until = min(until, furthest)
        run.hear(bytes(self._pcm[run.at - self._from : until - self._from]))

    def _is_idle(self, at: int) -> bool:
        """No word has been added for long. Looked at now and then: it takes time."""
        run = self._runs[-1]
        if run.ended is None and at - self._checked >= self._bytes(CHECK_S):
            self._checked = at
            if (known := run.look()) != self._known:
                self._known, self._new_at = known, at
        return at - self._new_at >= self._bytes(IDLE_S)

    def look(self) -> Heard:
        known = (word for word in self._runs[-1].look().split() if word != UNKNOWN)
        return Heard(" ".join([*(word.text for word in self._settled), *known]))

    def final(self) -> Heard:
        words = (*self._settled, *self._words())
        return Heard(" ".join(word.text for word in words), words)

    # ---- pieces

    @property
    def _end(self) -> int:
        return self._from + len(self._pcm) // 2 * 2

    def _bytes(self, seconds: float) -> int:
        return round(seconds * self._rate) * 2

    def _restart(self) -> None:
        alternatives = ALTERNATIVES if self._phrases else 0
        makes = [self._phrases, ()] if self._phrases else [()]
        self._runs = [
            Run(self._make(phrases, alternatives), self._from, self._rate, self._model_rate) for phrases in makes
        ]
        self._known, self._new_at, self._checked = "", self._from, self._from

    def _words(self) -> tuple[HeardWord, ...]:
        """Of what is not settled and has ended."""
        words = self._runs[-1].end().words
        if self._phrases and self._is_asked_for():
            words = self._runs[0].end().words
        return tuple(word for word in words if word.text != UNKNOWN)

    def _is_asked_for(self) -> bool:
        return is_asked_for(self._runs[0].end(), self._runs[1].end(), self._phrases, self._margin)

    def _go_on(self) -> None:
        """He had only paused."""
        words = self._words()
        if self._phrases and not self._is_asked_for():
            self._phrases = ()  # this utterance is something else
        if self._runs[-1].at - self._from > self._bytes(SEAL_S):
            self._seal(words, forced=False)
        else:
            self._restart()

    def _seal(self, words: tuple[HeardWord, ...], *, forced: bool) -> None:
        """Settle the words before a pause, and forget their audio. `forced`: at least half of it, pause or not."""
        ended = self._runs[-1].at
        first, last = self._from / 2 / self._rate, ended / 2 / self._rate
        gaps = [
            ((after.start + before.end) / 2, after.start - before.end, number)
            for number, (before, after) in enumerate(zip(words, words[1:], strict=False), 1)
            if (first + last) / 2 <= after.start <= last - 1.0
        ]
        gaps = [gap for gap in gaps if gap[1] >= GAP_S] or (gaps if forced else [])
        if gaps:
            at_s, _, count = max(gaps, key=lambda gap: gap[1])
            self._settle(words[:count], self._bytes(at_s))
        elif forced:
            self._settle(words, ended)
        self._restart()

    def _pass_over(self) -> None:
        """Settle what was said before a long stretch without a word, and forget that stretch but its end."""
        words, ended = self._words(), self._runs[-1].at
        kept = ended - self._bytes(OVERLAP_S)
        count = sum(word.end * self._rate * 2 <= kept for word in words)
        until = min([kept, *(self._bytes(word.start) for word in words[count:])])
        if until <= self._from:  # a word that lasts and lasts
            count, until = len(words), ended
        self._settle(words[:count], until)
        self._restart()

    def _settle(self, words: tuple[HeardWord, ...], until: int) -> None:
        self._settled += words
        until = min(max(until, self._from), self._end)
        del self._pcm[: until - self._from]
        self._from = until


def is_asked_for(phrases: Ended, free: Ended, expected: Sequence[str], margin: float) -> bool:
    """Whether what was made of the phrases is what he said: `free` is what all words make of the same audio."""
    said = list(phrases.words)
    while said and _is_breath(said[0]):
        del said[0]
    while said and _is_breath(said[-1]):
        del said[-1]
    if not said or any(word.text == UNKNOWN for word in said):
        return not free.words and bool(said)
    known = {word for phrase in expected for word in phrase.split()}
    if all(word.text in known for word in free.words):
        return True
    speech_s = max(LEAST_SPEECH_S, free.speech_s, phrases.speech_s)
    return free.score - phrases.score <= margin * speech_s


def _is_breath(word: HeardWord) -> bool:
    return word.text == UNKNOWN and word.end - word.start <= BREATH_S


def _word(told: dict[str, Any], confidence: float, offset_s: float) -> HeardWord:
    start, end = offset_s + float(told["start"]), offset_s + float(told["end"])
    return HeardWord(str(told["word"]), round(start, 3), round(end, 3), round(min(1.0, max(0.0, confidence)), 3))


def _best(alternatives: list[dict[str, Any]], offset_s: float) -> Ended:
    """The likeliest; a word's confidence is how likely the alternatives are that have it there."""
    best = alternatives[0]
    score = float(best["confidence"])
    chances = [math.exp(min(0.0, float(each["confidence"]) - score)) for each in alternatives]
    said = [each.get("result", ()) for each in alternatives]
    words = []
    for word in said[0]:
        has = sum(
            chance for chance, others in zip(chances, said, strict=True)
            if any(_same(word, other) for other in others)
        )  # fmt: skip
        words.append(_word(word, has / sum(chances), offset_s))
    return Ended(tuple(words), score)


def _same(word: dict[str, Any], other: dict[str, Any]) -> bool:
    overlap = bool(word["start"] < other["end"] and other["start"] < word["end"])
    return overlap and bool(word["word"] == other["word"])
