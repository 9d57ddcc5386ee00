"""One utterance in Vosk: decoded while it is spoken, ended and gone on with, with what was asked for in mind.

`FinalResult` ends Vosk's recogniser, maybe inside a word: he had only paused. What he says then is decoded by a new
one, which first hears again what the old one heard. Long utterances are cut between two words for that.

With `phrases` the recogniser knows nothing else, and writes [unk] for the rest. Where it does, a second one that knows
all words is run over the same audio and its text counts: who asks a question in the middle of a form is understood.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import soxr

from voicebridge.engines.base import HeardWord
from voicebridge.engines.stt_worker import Heard

UNKNOWN = "[unk]"
STEP_S = 0.1
GAP_S = 0.25
"""A pause between words that an utterance may be cut in."""
SEAL_S = 8.0
"""So much is heard again when he goes on; of more, what lies before a pause is settled."""
LONGEST_S = 30.0
"""What is not ended by then is cut between two words."""
BREATH_S = 0.12
"""An [unk] at the edge that is no longer than this is none of his words."""
UNKNOWN_FOR_S = 0.5
"""What stays unknown for so long in the middle of the utterance is worth a second recogniser before its end."""


class Recogniser(Protocol):
    """Vosk's KaldiRecognizer."""

    def AcceptWaveform(self, data: bytes) -> int: ...  # noqa: N802 - Vosk's names
    def PartialResult(self) -> str: ...  # noqa: N802
    def FinalResult(self) -> str: ...  # noqa: N802


class Maker(Protocol):
    def __call__(self, phrases: Sequence[str]) -> Recogniser:
        """A new recogniser at the model's rate; of all words where there are no phrases."""


class Run:
    """One recogniser over the utterance's audio from byte `start` on. `at`: what it was given, up to there."""

    def __init__(self, recogniser: Recogniser, start: int, rate: int, model_rate: int) -> None:
        self.start = start
        self.at = start
        self.result: tuple[HeardWord, ...] | None = None
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
        return str(json.loads(self._recogniser.PartialResult()).get("partial", ""))

    @property
    def all_known(self) -> bool:
        """Whether what it ended with is all of what was asked for; a breath before or behind it does not count."""
        words = list(self.result or ())
        while words and _is_breath(words[0]):
            del words[0]
        while words and _is_breath(words[-1]):
            del words[-1]
        return bool(words) and all(word.text != UNKNOWN for word in words)

    def end(self) -> tuple[HeardWord, ...]:
        """The words; nothing can be heard by it after."""
        if self.result is None:
            if self._resampler is not None:
                self._accept(b"", last=True)
            said: dict[str, Any] = json.loads(self._recogniser.FinalResult())
            self.result = tuple(
                HeardWord(
                    str(word["word"]),
                    round(self._offset_s + float(word["start"]), 3),
                    round(self._offset_s + float(word["end"]), 3),
                    round(min(1.0, max(0.0, float(word["conf"]))), 3),
                )
                for word in said.get("result", ())
            )
        return self.result


class VoskListener:
    """See stt_worker.Listener. `start` and all positions are bytes from the utterance's first sample on."""

    def __init__(self, make: Maker, phrases: Sequence[str], rate: int, model_rate: int) -> None:
        self._make = make
        self._phrases = tuple(phrases)
        self._rate = rate
        self._model_rate = model_rate
        self._step = round(STEP_S * rate) * 2
        self._pcm = bytearray()  # from `_from` on
        self._from = 0
        self._settled: tuple[HeardWord, ...] = ()
        self._main = self._run(self._phrases)
        self._free: Run | None = None
        self._unknown_since: int | None = None

    def feed(self, pcm: bytes) -> None:
        self._pcm += pcm

    def advance(self, *, ending: bool) -> bool:
        if self._main.at < self._end:
            if self._main.result is not None:
                self._go_on()
            else:
                self._hear(self._main)
                self._watch()
        elif self._end - self._from > self._bytes(LONGEST_S):
            while self._conclude():
                pass
            self._seal(self._last_words(), forced=True)
        elif ending:
            return self._conclude()
        elif self._free is not None and self._free.at < self._end:
            self._hear(self._free)
        else:
            return False
        return True

    def look(self) -> Heard:
        run = self._free if self._free is not None and self._free.at == self._main.at else self._main
        said = " ".join(word.text for word in run.result) if run.result is not None else run.look()
        known = [word for word in said.split() if word != UNKNOWN]
        return Heard(" ".join([*(word.text for word in self._settled), *known]))

    def final(self) -> Heard:
        words = (*self._settled, *self._last_words())
        return Heard(" ".join(word.text for word in words), words)

    # ---- pieces

    @property
    def _end(self) -> int:
        return self._from + len(self._pcm) // 2 * 2

    def _bytes(self, seconds: float) -> int:
        return round(seconds * self._rate) * 2

    def _run(self, phrases: Sequence[str]) -> Run:
        return Run(self._make(phrases), self._from, self._rate, self._model_rate)

    def _hear(self, run: Run) -> None:
        first = run.at - self._from
        run.hear(bytes(self._pcm[first : min(first + self._step, self._end - self._from)]))

    def _watch(self) -> None:
        """Begins the second recogniser early where it is clear that it will be needed."""
        if not self._phrases or self._free is not None:
            return
        if UNKNOWN not in self._main.look().split():
            self._unknown_since = None
        elif self._unknown_since is None:
            self._unknown_since = self._main.at
        elif self._main.at - self._unknown_since >= self._bytes(UNKNOWN_FOR_S):
            self._free = self._run(())

    def _conclude(self) -> bool:
        """A piece of ending what is not settled; False when it has ended."""
        if self._main.result is None:
            self._main.end()
        elif self._main.all_known or not self._phrases:
            return False
        elif self._free is None:
            self._free = self._run(())
        elif self._free.at < self._end:
            self._hear(self._free)
        elif self._free.result is None:
            self._free.end()
        else:
            return False
        return True

    def _last_words(self) -> tuple[HeardWord, ...]:
        """Of what is not settled and has ended."""
        words = self._main.end()
        if self._phrases and not self._main.all_known and self._free is not None:
            words = self._free.end() or words
        return tuple(word for word in words if word.text != UNKNOWN)

    def _go_on(self) -> None:
        """He had only paused."""
        words = self._last_words()
        if not self._main.all_known:
            self._phrases = ()  # this utterance is something else
        if self._main.at - self._from > self._bytes(SEAL_S):
            self._seal(words, forced=False)
        else:
            self._restart()

    def _seal(self, words: tuple[HeardWord, ...], *, forced: bool) -> None:
        """Settle the words before a pause, and forget their audio. `forced`: at least half of it, pause or not."""
        first, last = self._from / 2 / self._rate, self._main.at / 2 / self._rate
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
            self._settle(words, self._main.at)
        self._restart()

    def _settle(self, words: tuple[HeardWord, ...], until: int) -> None:
        self._settled += words
        until = min(max(until, self._from), self._end)
        del self._pcm[: until - self._from]
        self._from = until

    def _restart(self) -> None:
        self._main = self._run(self._phrases)
        self._free = None
        self._unknown_since = None


def _is_breath(word: HeardWord) -> bool:
    return word.text == UNKNOWN and word.end - word.start <= BREATH_S
