"""Moonshine tiny (English), in a worker process: what listens when nothing else is configured.

Measured on two cores with 30 recorded prompts of 2.8 s at 8 kHz, mu-law: - without the library's own
voice detection (vad_threshold 0) 6.7 % of words were wrong, with it 9.6 %, and it took
  15 % less time: it cut utterances into pieces that made no sense alone. We only send what a caller said,
  so it is off; instead we refuse near silence and the words the model invents for noise.
- ONNX Runtime's own threads won nothing (0.10 s either way) and burned twice the CPU by spinning; two
models in two
  threads serve eight callers with p95 0.17 s instead of 0.42 s.
- what comes at 8 kHz is widened by soxr and gets a quarter of a second of silence behind it: 106 sentences by nine
  synthetic voices had 15.3 % of their words wrong instead of 16.4 % (we ask 60 ms after the last voice).
- the decoder's time grows with the square of the length (42 s of speech: 5 s), so that long speech is cut
at pauses.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from voicebridge.audio.resample import resample_segment
from voicebridge.engines.local import LocalHost
from voicebridge.engines.worker import Recogniser
from voicebridge.engines.wyoming_stt import WyomingStt

Samples = NDArray[np.float32]

MODEL_RATE = 16_000
TRAIL = np.zeros(round(0.25 * MODEL_RATE), np.float32)
FRAME_S = 0.03
SILENCE_DBFS = -55.0
PIECE_S = 12.0
CUT_SEARCH_S = 4.0
INVENTED = re.compile(r"[\W_]*(you)?[\W_]*", re.IGNORECASE)
FAREWELL = re.compile(r"\b(good)-by\b", re.IGNORECASE)
"""It writes "Good-by", as old books do: nobody's example sentences."""
OPTIONS = {
    "vad_threshold": "0",
    "identify_speakers": "false",
    "return_audio_data": "false",
    "word_timestamps": "false",
    "log_output_text": "false",
}


class MoonshinePlugin:
    """Options: `threads` (how many models compute at the same time, 100 MB each), `nice`, `run_dir`."""

    name = "moonshine"
    kind: Literal["stt"] = "stt"
    requires = ("moonshine_voice",)
    extra = "embedded"
    default_model = "moonshine-tiny-en"

    def create(self, options: Mapping[str, Any]) -> WyomingStt:
        env = {"MOONSHINE_ORT_SINGLE_THREAD": "1"}
        return WyomingStt(self.name, LocalHost(self.name, f"{__name__}:ENGINE", options, env=env))

    def worker(self, options: Mapping[str, Any]) -> MoonshineWorker:
        return MoonshineWorker(int(options.get("threads") or min(2, os.cpu_count() or 1)))


@dataclass(frozen=True, slots=True)
class MoonshineWorker:
    """The worker's side: see worker.SpeechWorker."""

    threads: int
    name: str = "moonshine"
    kind: Literal["stt"] = "stt"
    languages: tuple[str, ...] = ("en",)

    def open(self) -> Recogniser:
        model = _Model()
        for rate in (8000, 16000):  # both ways into it; noise, because silence is refused
            model.text_of(np.random.default_rng(0).normal(0, 0.01, rate).astype(np.float32), rate)

        def recognise(pcm: bytes, rate: int, language: str) -> str:
            if language and language.split("-")[0].lower() != "en":
                raise ValueError("moonshine tiny-en understands English only")
            wide = resample_segment(pcm, rate, MODEL_RATE)
            samples = np.frombuffer(wide, "<i2").astype(np.float32) / np.float32(32768)
            if loudest_dbfs(samples, MODEL_RATE) < SILENCE_DBFS:
                return ""
            parts = (model.text_of(np.append(part, TRAIL), MODEL_RATE) for part in pieces(samples, MODEL_RATE))
            return " ".join(filter(None, map(tidy, parts)))

        return recognise


class _Model:
    """One loaded model; not to be shared between threads.

    Its C function is called directly: the library's Python method copies every sample through a list, twice.
    """

    def __init__(self) -> None:
        from moonshine_voice.moonshine_api import ModelArch, TranscriptC
        from moonshine_voice.transcriber import Transcriber
        from moonshine_voice.utils import get_model_path

        self._result_type = ctypes.POINTER(TranscriptC)
        self._transcriber = Transcriber(
            model_path=get_model_path("tiny-en"), model_arch=ModelArch.TINY, options=OPTIONS
        )

    def text_of(self, samples: Samples, rate: int) -> str:
        result = self._result_type()
        status = self._transcriber._lib.moonshine_transcribe_without_streaming(
            self._transcriber._handle,
            np.ascontiguousarray(samples).ctypes.data_as(ctypes.POINTER(ctypes.c_float)),
            len(samples),
            rate,
            0,
            ctypes.byref(result),
        )
        if status != 0:
            raise RuntimeError(f"moonshine returned {status}")
        transcript = result.contents
        lines = (transcript.lines[index].text for index in range(transcript.line_count))
        return " ".join(ctypes.string_at(line).decode("utf-8", "ignore") for line in lines if line)


def tidy(text: str) -> str:
    """The text in one line; nothing where it is what the model invents for noise ("You", notes of music)."""
    return "" if INVENTED.fullmatch(text) else " ".join(FAREWELL.sub(r"\1bye", text.replace("♪", " ")).split())


def loudest_dbfs(samples: Samples, rate: int) -> float:
    """The level of the loudest 30 ms, in dB of full scale."""
    frames = _frame_powers(samples, int(rate * FRAME_S))
    return float(10 * np.log10(frames.max() + 1e-12)) if len(frames) else -120.0


def pieces(samples: Samples, rate: int) -> list[Samples]:
    """The samples in pieces of at most 12 s, cut where it is quietest."""
    longest, search, frame = int(PIECE_S * rate), int(CUT_SEARCH_S * rate), int(FRAME_S * rate)
    cut: list[Samples] = []
    while len(samples) > longest:
        powers = np.convolve(_frame_powers(samples[longest - search : longest], frame), np.ones(5), "valid")
        at = longest - search + (int(powers.argmin()) + 2) * frame
        cut.append(samples[:at])
        samples = samples[at:]
    return [*cut, samples]


def _frame_powers(samples: Samples, frame: int) -> NDArray[np.float32]:
    whole = samples[: len(samples) // frame * frame].reshape(-1, frame)
    return np.asarray((whole * whole).mean(axis=1), np.float32)


ENGINE = MoonshinePlugin()
