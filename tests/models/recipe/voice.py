"""The two files of a Piper voice."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from typing import Final

from tests.models.recipe.voice_frames import HOP, IDS, RATE
from tests.models.recipe.voice_graph import TABLE, graph
from tests.models.recipe.voice_net import VoiceNet

NAME: Final = "tiny-voice.onnx"


def build(folder: Path, net: VoiceNet, seen: Set[int]) -> None:
    """Writes tiny-voice.onnx and tiny-voice.onnx.json into `folder`. `seen`: see voice_graph.graph."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NAME).write_bytes(graph(net, seen).SerializeToString(deterministic=True))
    settings = {
        "audio": {"sample_rate": RATE, "quality": "tiny"},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1.0, "noise_w": 0.0},
        "phoneme_type": "espeak",
        "num_symbols": TABLE,
        "num_speakers": 1,
        "speaker_id_map": {},
        "phoneme_id_map": {sign: [number] for sign, number in IDS.items()},
        "hop_length": HOP,
        "language": {"code": "en_US"},
        "dataset": "tiny",
    }
    (folder / f"{NAME}.json").write_text(json.dumps(settings, ensure_ascii=False), encoding="utf-8")
