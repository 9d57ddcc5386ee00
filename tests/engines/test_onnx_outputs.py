"""An output is added to a real model by appending bytes, and ONNX Runtime takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from voicebridge.engines.onnx_outputs import outputs_of, with_output

MODEL = Path(__file__).parents[1] / "models/piper-tiny-en/tiny-voice.onnx"


def test_nodes_are_found_by_their_kind():
    model = MODEL.read_bytes()
    assert len(outputs_of(model, "Round")) == 1
    assert len(outputs_of(model, "Cast")) > 1
    assert outputs_of(model, "Ceil") == []


def test_the_added_output_is_given_and_the_first_is_what_it_was():
    runtime = pytest.importorskip("onnxruntime")
    model = MODEL.read_bytes()
    (name,) = outputs_of(model, "Round")
    before = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    after = runtime.InferenceSession(with_output(model, name), providers=["CPUExecutionProvider"])
    assert [output.name for output in after.get_outputs()] == [*(o.name for o in before.get_outputs()), name]
    asked = {
        "input": np.array([[1, 0, 20, 0, 59, 0, 24, 0, 2]], np.int64),
        "input_lengths": np.array([9], np.int64),
        "scales": np.array([0.0, 1.0, 0.0], np.float32),
    }
    audio, durations = after.run(None, asked)
    assert np.array_equal(audio.shape, before.run(None, asked)[0].shape)
    assert durations.sum() * 80 == pytest.approx(audio.size, abs=320)


@pytest.mark.parametrize("damage", [lambda model: model[:5000], lambda model: b"\xff" * 40, lambda model: b"\x0b\x0b"])
def test_what_is_no_model_is_refused(damage):
    with pytest.raises(ValueError, match="cut off|protobuf"):
        outputs_of(damage(MODEL.read_bytes()), "Round")
