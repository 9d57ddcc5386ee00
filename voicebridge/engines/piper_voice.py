"""One loaded Piper voice: text in, speech with word marks out. Only for the worker process (GPL-3 code runs here)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voicebridge.engines.base import WordMark
from voicebridge.engines.onnx_outputs import outputs_of, with_output
from voicebridge.engines.spoken import SENTENCE_END, Spoken, trimmed
from voicebridge.engines.word_times import estimated_ends, word_beginnings

log = logging.getLogger(__name__)

Samples = NDArray[np.float32]

MAX_PHONEMES = 400
"""In one go: memory grows with the square."""
SLOWEST, FASTEST = 0.4, 3.0
FULL_SCALE = 0.95 * 32767
AUDIBLE = 0.01
"""Of the loudest sample."""
ALIGNED_S = 0.02
"""What the phonemes' times may miss of the audio's length; more, and they are something else."""
WORD = re.compile(r"\S+")
# Same length, so that marks stay right: control characters, and what would be taken for phonemes.
CLEAN = {code: " " for code in (*range(32), *range(127, 160), *map(ord, "[]"))}


class UnknownSpeaker(Exception):
    """The voice has no such speaker; the text names those it has."""


@dataclass(frozen=True, slots=True)
class _Part:
    """What was computed in one go: its phonemes, its audio, where the first of them begins and where each ends."""

    phonemes: Sequence[str]
    audio: Samples
    begin: int
    ends: Sequence[int]
    estimated: bool


class PiperModel:
    """Safe to share between threads."""

    def __init__(self, path: Path, cores: int) -> None:
        from piper import PiperVoice
        from piper.config import PiperConfig

        settings = json.loads(path.with_name(path.name + ".json").read_text(encoding="utf-8"))
        config = PiperConfig.from_dict(settings)
        self._voice = PiperVoice(session=_session(path, cores), config=config)
        self.rate = int(config.sample_rate)

    def speaker(self, wanted: str) -> int | None:
        """Its number, from a number or a name; None for "" and for a voice that has one speaker only."""
        config = self._voice.config
        if not wanted:
            return None
        if wanted in config.speaker_id_map:
            return int(config.speaker_id_map[wanted])
        if wanted.isdigit() and int(wanted) < max(1, config.num_speakers):
            return int(wanted)
        names = ", ".join(list(config.speaker_id_map)[:20]) or "no names"
        raise UnknownSpeaker(f"no speaker {wanted!r}; it has {max(1, config.num_speakers)}: {names}")

    def speak(self, text: str, *, speaker: int | None, speed: float) -> Spoken:
        """`speed` 1.0 is the voice's own pace. Nothing is said for a text without sounds."""
        cleaned = text.encode("utf-8", "replace").decode().translate(CLEAN)
        parts = [
            self._part(phonemes, speaker, speed)
            for sentence in self._voice.phonemize(cleaned)
            for phonemes in cut(sentence)
        ]
        if not parts:
            return Spoken(b"", self.rate)
        audio = np.concatenate([part.audio for part in parts])
        pcm = (np.clip(audio, -1.0, 1.0) * FULL_SCALE).astype("<i2").tobytes()
        estimated = any(part.estimated for part in parts)
        spoken = Spoken(pcm, self.rate, tuple(self._marks(cleaned, parts)), estimated)
        return trimmed(spoken, SENTENCE_END.search(text) is not None)

    def _part(self, phonemes: Sequence[str], speaker: int | None, speed: float) -> _Part:
        from piper.config import SynthesisConfig

        ids = self._voice.phonemes_to_ids(list(phonemes))
        pace = self._voice.config.length_scale / max(SLOWEST, min(FASTEST, speed))
        audio, told = self._voice.phoneme_ids_to_audio(
            ids, SynthesisConfig(speaker_id=speaker, length_scale=pace), include_alignments=True
        )
        audio = np.atleast_1d(np.asarray(audio, np.float32))
        audio /= np.float32(max(float(np.abs(audio).max(initial=0.0)), 1e-6))
        times = None if told is None else self._told_times(phonemes, np.atleast_1d(told), len(audio))
        if times is not None:
            return _Part(phonemes, audio, *times, estimated=False)
        loud = np.flatnonzero(np.abs(audio) > AUDIBLE)
        begin, length = (int(loud[0]), int(loud[-1] - loud[0])) if len(loud) else (0, len(audio))
        ends = [begin + round(end * length) for end in estimated_ends(phonemes)]
        return _Part(phonemes, audio, begin, ends, estimated=True)

    def _told_times(self, phonemes: Sequence[str], samples: NDArray[Any], length: int) -> tuple[int, list[int]] | None:
        """From the samples of each id (begin, pad, then each phoneme and a pad, end); None where that does not fit.

        Voices that pass over the pads, as ours for tests, tell of the others only.
        """
        known = self._voice.config.phoneme_id_map
        times = np.cumsum(samples)
        if abs(int(times[-1]) - length) > ALIGNED_S * self.rate:
            return None
        for pad in (len(known.get("_", ())), 0):
            first, end = len(known.get("^", ())) + pad, len(known.get("$", ()))
            counts = [len(known[sound]) + pad if sound in known else 0 for sound in phonemes]
            if len(times) == first + sum(counts) + end:
                return int(times[first - 1]), [int(times[at - 1]) for at in first + np.cumsum(counts)]
        return None

    def _marks(self, text: str, parts: Sequence[_Part]) -> Iterator[WordMark]:
        words = list(WORD.finditer(text))
        spoken = [sound for part in parts for sound in (*part.phonemes, " ")]
        begins: list[int] = []  # of each of these sounds, in samples
        offset = 0
        for part in parts:  # a sound begins where the one before it ends
            begins += [offset + at for at in (part.begin, *part.ends)]
            offset += len(part.audio)
        alone = [self._sounds(word.group()) for word in words]
        for word, at in zip(words, word_beginnings(spoken, alone), strict=True):
            yield WordMark(word.start(), word.end(), begins[at] if at < len(begins) else offset)

    def _sounds(self, word: str) -> list[str]:
        return [sound for sentence in self._voice.phonemize(word) for sound in sentence]


def cut(phonemes: Sequence[str]) -> Iterator[Sequence[str]]:
    """In pieces of at most MAX_PHONEMES, between words where there are any."""
    rest = list(phonemes)
    while len(rest) > MAX_PHONEMES:
        spaces = [at for at in range(MAX_PHONEMES // 2, MAX_PHONEMES) if rest[at] == " "]
        end = spaces[-1] + 1 if spaces else MAX_PHONEMES
        yield rest[:end]
        rest = rest[end:]
    if rest:
        yield rest


def _session(path: Path, cores: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = cores, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other engines want the cores
    options.log_severity_level = 3
    model = _with_durations(path.read_bytes())
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _with_durations(model: bytes) -> bytes:
    """With the phonemes' durations as a second output, where it is clear which these are: see onnx_outputs."""
    for operator in ("Ceil", "Round"):
        found = outputs_of(model, operator)
        if len(found) == 1:
            return with_output(model, found[0])
    return model
