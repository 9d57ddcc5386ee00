"""Smart Turn v3 (Pipecat's, BSD-2-Clause, an ONNX file of 8 MB, 23 languages), in a worker process.

It hears the last 8 s of an utterance, with zeros in front of a shorter one, brought to mean 0 and variance 1; its input
`input_features` [1, 80, 800] are Whisper's log-mel features (audio/logmel.py), its one output [1, 1] is already the
probability that the turn is complete (github.com/pipecat-ai/smart-turn). Tried with v3.2: see the catalogue.
A judgement takes 70 ms of one core; on a busy machine many come too late, and are passed over.

Options (`[engines.options.smart_turn]`): `model` (file or catalogue name), `threads` (how many are judged at the same
time), `nice`, `run_dir`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from voicebridge.audio.logmel import RATE, Floats, log_mel
from voicebridge.audio.pcm import samples
from voicebridge.audio.resample import resample_segment
from voicebridge.config import ConfigError, cache_dir
from voicebridge.engines.local import LocalHost
from voicebridge.engines.turn_judge import WorkerTurnJudge
from voicebridge.engines.worker import Judge
from voicebridge.modelstore.resolve import resolve

DEFAULT_MODEL = "smart-turn-v3"
HEARD = 8 * RATE
EPSILON = 1e-7
FULL_SCALE = 32_768
INPUT = "input_features"
KNOWN = {"model", "threads", "nice", "run_dir"}


class SmartTurnPlugin:
    name = "smart_turn"
    kind: Literal["turn"] = "turn"
    requires = ("onnxruntime",)
    extra = "smart-turn"
    default_model = DEFAULT_MODEL

    def create(self, options: Mapping[str, Any]) -> WorkerTurnJudge:
        """Raises ConfigError: an option is wrong, the model is not there. ValueError: one is no number."""
        if unknown := sorted(options.keys() - KNOWN):
            raise ConfigError(f"[engines.options.{self.name}] {unknown[0]}: unknown; known: {', '.join(sorted(KNOWN))}")
        model = resolve(self.name, str(options.get("model") or ""), DEFAULT_MODEL, cache_dir(), kind=self.kind)
        passed = {**options, "model": str(model), "threads": max(1, int(options.get("threads", 1)))}
        host = LocalHost(self.name, f"{__name__}:ENGINE", passed, env={})
        return WorkerTurnJudge(self.name, host)

    def worker(self, options: Mapping[str, Any]) -> SmartTurnWorker:
        return SmartTurnWorker(Path(options["model"]), int(options.get("threads", 1)))


@dataclass(frozen=True, slots=True)
class SmartTurnWorker:
    """The worker's side: see worker.SpeechWorker."""

    model: Path
    threads: int
    name: str = "smart_turn"
    kind: Literal["turn"] = "turn"
    languages: tuple[str, ...] = ()

    def open(self) -> Judge:
        """Raises ValueError: that is another model."""
        session = _session(self.model)
        inputs = session.get_inputs()
        if [one.name for one in inputs] != [INPUT] or inputs[0].shape[1:] != [80, 800]:
            told = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise ValueError(f"{self.model} takes {told}, not {INPUT} [1, 80, 800]: it is no Smart Turn v3")

        def judge(pcm: bytes, rate: int) -> float:
            (found, *_) = session.run(None, {INPUT: features(pcm, rate)[np.newaxis]})
            return float(np.clip(found.ravel()[0], 0.0, 1.0))

        judge(bytes(RATE), RATE)
        return judge


def features(pcm: bytes, rate: int) -> Floats:
    """What the model hears of an utterance: [80, 800]."""
    heard = samples(resample_segment(pcm, rate, RATE))[-HEARD:].astype(np.float32) / FULL_SCALE
    whole = np.concatenate([np.zeros(HEARD - len(heard), np.float32), heard])
    return log_mel((whole - whole.mean()) / np.sqrt(whole.var() + EPSILON))


def _session(model: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other engines want the cores
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


ENGINE = SmartTurnPlugin()
