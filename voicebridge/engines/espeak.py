"""espeak-ng in a worker process: a voice that needs no model and answers within milliseconds.

espeak-ng is GPL-3: `espeakng_loader` is imported only inside the worker, behind a process boundary (see
NOTICE). Constants, structures and meanings: speak_lib.h of espeak-ng 1.52.

The default voice was picked by what moonshine understood of it at 8 kHz, mu-law, not by ear: 17 voices
saying 8 sentences, then the better ones saying 24 and 30 other prompts. On the last, `edward` at 155
words a minute had 38 % of its words wrong, plain en-us 46 %; a differently paced `rob` (36 %) was 15 %
slower. These differences are small beside the noise of such samples.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from voicebridge.engines.base import Voice, WordMark
from voicebridge.engines.local import LocalHost
from voicebridge.engines.spoken import SENTENCE_END, Spoken, Synthesiser, trimmed
from voicebridge.engines.wyoming_tts import WyomingTts

LANGUAGE = "en-us"
VARIANT = "edward"
WORDS_A_MINUTE = 155
SLOWEST, FASTEST = 80, 450
CONTROLS = {code: " " for code in (*range(32), 127)}

AUDIO_OUTPUT_SYNCHRONOUS = 2
POS_CHARACTER = 1
CHARS_UTF8 = 1
PARAMETER_RATE = 1
EVENT_LIST_TERMINATED = 0
EVENT_WORD = 1


class EspeakPlugin:
    """Options: `voice` (an espeak variant, e.g. "edward"), `speed` (words a minute), `nice`, `run_dir`."""

    name = "espeak"
    kind: Literal["tts"] = "tts"
    requires = ("espeakng_loader",)
    extra = "embedded"

    def create(self, options: Mapping[str, Any]) -> WyomingTts:
        made = self.worker(options)
        host = LocalHost(self.name, f"{__name__}:ENGINE", options, env={})
        return WyomingTts(self.name, host, identity=f"{self.name} {made.variant} {made.speed}")

    def worker(self, options: Mapping[str, Any]) -> EspeakWorker:
        return EspeakWorker(str(options.get("voice", VARIANT)), int(options.get("speed", WORDS_A_MINUTE)))


@dataclass(frozen=True, slots=True)
class EspeakWorker:
    """The worker's side: see worker.SpeechWorker. espeak keeps global state, so there is one thread."""

    variant: str = VARIANT
    speed: int = WORDS_A_MINUTE
    name: str = "espeak"
    kind: Literal["tts"] = "tts"
    languages: tuple[str, ...] = ("en-us", "en-gb", "de", "fr", "es", "it", "nl", "pt", "pl", "sv")
    threads: int = field(default=1, init=False)

    def open(self) -> Synthesiser:
        library = _Library()

        def synthesise(text: str, voice: Voice) -> Spoken:
            library.choose(voice.name, voice.language, self.variant)
            library.set_speed(max(SLOWEST, min(FASTEST, round(self.speed * voice.speed))))
            pcm, events = library.speak(text.translate(CONTROLS))
            spoken = Spoken(pcm, library.rate, word_marks(text, events, len(pcm) // 2))
            return trimmed(spoken, SENTENCE_END.search(text) is not None)

        synthesise("One moment, please.", Voice())
        return synthesise


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT. `text_position` counts characters from 1, `audio_position` milliseconds."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class _Library:
    """libespeak-ng, which exists once in a process."""

    def __init__(self) -> None:
        import espeakng_loader

        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate = int(self._lib.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data, 0))
        if self.rate <= 0:
            raise RuntimeError("espeak-ng could not be initialised")
        self._pcm = bytearray()
        self._events: list[tuple[int, int]] = []
        self._chosen = ""
        self._callback = _Callback(self._on_audio)  # kept: the library holds a bare pointer to it
        self._lib.espeak_SetSynthCallback(self._callback)

    def choose(self, name: str, language: str, variant: str) -> None:
        """The voice `name` ("en-us+f3", or "+f3": a variant of the language's voice), else the language's."""
        base, _, own_variant = name.partition("+")
        base = base or (LANGUAGE if language.lower() == "en" else language.lower())
        wanted = f"{base}+{own_variant or variant}"
        if wanted == self._chosen:
            return
        # An unknown variant is ignored by the library; an unknown voice is not. Regions fall back: de-at
        # to de.
        for candidate in (wanted, f"{base.partition('-')[0]}+{own_variant or variant}"):
            if self._lib.espeak_SetVoiceByName(candidate.encode()) == 0:
                self._chosen = wanted
                return
        self._chosen = ""
        raise ValueError(f"espeak has no voice {base!r}")

    def set_speed(self, words_a_minute: int) -> None:
        self._lib.espeak_SetParameter(PARAMETER_RATE, words_a_minute, 0)

    def speak(self, text: str) -> tuple[bytes, list[tuple[int, int]]]:
        """16-bit PCM at `rate`, and (index into text, sample) of what espeak takes for words."""
        self._pcm.clear()
        self._events.clear()
        raw = text.encode("utf-8", "replace") + b"\0"
        status = self._lib.espeak_Synth(raw, len(raw), 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
        if status != 0:
            raise RuntimeError(f"espeak_Synth returned {status}")
        return bytes(self._pcm), list(self._events)

    def _on_audio(self, wave: Any, samples: int, events: Any) -> int:
        if wave and samples > 0:
            self._pcm += ctypes.string_at(wave, 2 * samples)
        index = 0
        while events and events[index].type != EVENT_LIST_TERMINATED:
            event = events[index]
            if event.type == EVENT_WORD and event.length > 0:
                self._events.append((event.text_position - 1, event.audio_position * self.rate // 1000))
            index += 1
        return 0


def word_marks(text: str, events: Sequence[tuple[int, int]], samples: int) -> tuple[WordMark, ...]:
    """A mark for each word between spaces, from espeak's (index into text, sample).

    espeak has its own idea of words: it says "in the" as one and "$4.50" as several. A word takes the
    first event inside it; a word without any is put between its neighbours, as far as its letters are.
    """
    known = sorted({0: 0, len(text): samples, **dict(reversed(events))}.items())
    marks: list[WordMark] = []
    for word in re.finditer(r"\S+", text):
        inside = [sample for index, sample in known if word.start() <= index < word.end()]
        if inside:
            sample = inside[0]
        else:
            (before, low) = max(pair for pair in known if pair[0] < word.start())
            (after, high) = min(pair for pair in known if pair[0] >= word.end())
            sample = low + (high - low) * (word.start() - before) // (after - before)
        floor = marks[-1].sample if marks else 0
        marks.append(WordMark(word.start(), word.end(), max(floor, min(sample, samples))))
    return tuple(marks)


ENGINE = EspeakPlugin()
