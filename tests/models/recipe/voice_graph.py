"""The Piper voice as one ONNX graph: signs, lengths, frames, pulses and noise shaped by each frame, overlapped.

Inputs and output are those of Piper's own voices: `input` [1, signs], `input_lengths` [1], `scales` [noise, length,
noise of the lengths]; `output` [1, 1, 1, samples], full scale 1. The lengths pass one `Round`, by which
voicebridge/engines/piper_voice.py finds them.
"""

from __future__ import annotations

from collections.abc import Set
from typing import Final

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper

from tests.models.recipe.onnx_ops import TO_END, Ops
from tests.models.recipe.voice_frames import (
    BANDS,
    BEGIN,
    BLANK,
    FFT,
    HOP,
    IDS,
    MODIFIERS,
    PAUSE,
    RATE,
    VOICING_EDGES_HZ,
    band_weights,
)
from tests.models.recipe.voice_net import VOICINGS, VoiceNet

OPSET, IR = 17, 8
PAD: Final = "_"
"""Piper puts one after each sign; this voice does without."""
TABLE: Final = 256
PAUSES: Final = ".?!;:"
ALIKE: Final = {
    "g": "ɡ", "r": "ɹ", "e": "ɛ", "o": "ɔ", "a": "æ", "ɜ": "ə", "ᵻ": "ɪ", "ɑ": "ɔ", "ʌ": "ə", "ɐ": "ə",
}  # fmt: skip
"""What stands in for a sound that training did not meet."""
SLOWEST_SCALE: Final = 0.2
BINS: Final = FFT // 2 + 1
PITCH_HZ, FALL_HZ, WAVE_HZ, WAVES_A_SECOND = 112.0, 22.0, 4.0, 1.7
"""The melody: it falls from the first to the last sample by FALL_HZ, and waves a little."""
NOISE_SAMPLES: Final = 16_001
NOISE_LEVEL: Final = 73.3
"""The RMS of whole numbers from -127 to 127."""
QUIETEST_NOISE: Final = 0.35
UNVOICED_BELOW, VOICING_GAIN = 0.15, 1.35
BEFORE: Final = 200
"""The shaping has no delay, so each frame also sounds so many samples before itself."""
LONG: Final = 560
TAPER: Final = 40


def graph(net: VoiceNet, seen: Set[int]) -> ModelProto:
    """`seen`: the ids that training met; any other is replaced by what is most like it."""
    ops = Ops()
    ids = _ids(ops, seen)
    hidden = _encoded(ops, net, ids)
    lengths = _lengths(ops, net, ids, hidden)
    ends = ops.op("CumSum", lengths, ops.whole(0))
    most = ops.op("Max", ops.op("ReduceMax", ends, keepdims=0), ops.real(4.0))
    count = ops.op("Cast", most, to=TensorProto.INT64)
    tone, noise = _loudness(ops, _decoded(ops, net, hidden, lengths, ends, count))
    samples = ops.op("Mul", ops.op("Add", count, ops.whole(1)), ops.whole(HOP))
    spectrum = _shaped(ops, (_pulses(ops, samples), tone), (_noise(ops, samples), noise))
    ops.nodes.append(helper.make_node("Unsqueeze", [_overlapped(ops, *spectrum), ops.whole([0, 1, 2])], ["output"]))
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, ["batch_size", "phonemes"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["batch_size"]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch_size", 1, 1, "time"])
    made = helper.make_graph(ops.nodes, "tiny-voice", inputs, [output], initializer=ops.constants)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(made, opset_imports=[opset], ir_version=IR, producer_name="voicebridge tests")
    checker.check_model(model)
    return model


def replacements(seen: Set[int]) -> np.ndarray:
    """For each id the one to use."""
    table = np.arange(TABLE)
    for sign, number in IDS.items():
        if number not in seen:
            alike = IDS[ALIKE.get(sign, BLANK)]
            table[number] = alike if alike in seen else IDS[BLANK]
    for sign in PAUSES:
        table[IDS[sign]] = IDS[PAUSE]
    return table


def _ids(ops: Ops, seen: Set[int]) -> str:
    every_other = ops.op("Slice", "input", *(ops.whole([n]) for n in (0, TO_END, 1, 2)))
    return ops.op("Gather", ops.whole(replacements(seen)), every_other)


def _encoded(ops: Ops, net: VoiceNet, ids: str) -> str:
    hidden = ops.op("Gather", ops.weights(net.signs.weight.detach().numpy()), ids, axis=0)
    hidden = ops.op("Transpose", hidden, perm=[0, 2, 1])
    for layer in net.encoder:
        hidden = ops.op("Relu", ops.convolution(hidden, layer))
    return hidden


def _lengths(ops: Ops, net: VoiceNet, ids: str, hidden: str) -> str:
    """[signs], in whole frames."""
    lengths = ops.unwrap(ops.op("Softplus", ops.convolution(hidden, net.length)), 0, 1)
    lasting = np.ones(TABLE, np.float32)
    lasting[[IDS[sign] for sign in (*MODIFIERS, BLANK, PAD, BEGIN)]] = 0
    own = ops.unwrap(ops.op("Gather", ops.const(lasting), ids), 0)
    scale = ops.op("Max", ops.op("Gather", "scales", ops.whole(1)), ops.real(SLOWEST_SCALE))
    return ops.op("Round", ops.times(ops.times(lengths, own), scale))


def _decoded(ops: Ops, net: VoiceNet, hidden: str, lengths: str, ends: str, count: str) -> str:
    """[frames, BANDS + VOICINGS]: VoiceNet.decode."""
    at = ops.plus(ops.as_real(ops.count(count)), 0.5)
    ended = ops.op("LessOrEqual", ops.wrap(ends, 0), ops.wrap(at, 1))
    which = ops.op("ReduceSum", ops.op("Cast", ended, to=TensorProto.INT64), ops.whole([1]), keepdims=0)
    last = ops.op("Sub", ops.unwrap(ops.op("Shape", lengths), 0), ops.whole(1))
    which = ops.op("Min", which, last)
    end = ops.op("Gather", ends, which)
    begin = ops.op("Sub", end, ops.op("Gather", lengths, which))
    past, left = ops.op("Relu", ops.op("Sub", at, begin)), ops.op("Relu", ops.op("Sub", end, at))
    share = ops.op("Div", past, ops.plus(ops.plus(past, left), 1.0))
    logs = [ops.op("Log", ops.plus(value, 1.0)) for value in (past, left)]
    place = [ops.wrap(value, 0, 1) for value in (*logs, share)]
    wide = ops.op("Concat", ops.op("Gather", hidden, which, axis=2), *place, axis=1)
    for layer in net.decoder:
        wide = ops.op("Relu", ops.convolution(wide, layer))
    return ops.op("Transpose", ops.unwrap(ops.convolution(wide, net.output), 0), perm=[1, 0])


def _loudness(ops: Ops, decoded: str) -> tuple[str, str]:
    """[frames, BINS] twice: how loud tone and noise are."""
    bands = ops.op("Exp", ops.cut(decoded, 0, BANDS, axis=1))
    zones = ops.op("Sigmoid", ops.cut(decoded, BANDS, BANDS + VOICINGS, axis=1))
    hertz = np.arange(BINS) * RATE / FFT
    middles = np.add(VOICING_EDGES_HZ[1:], VOICING_EDGES_HZ[:-1]) / 2
    between = np.stack([np.interp(hertz, middles, row) for row in np.eye(VOICINGS)])
    loud = ops.op("MatMul", bands, ops.weights(band_weights()))
    voiced = ops.op("MatMul", zones, ops.weights(between))
    voiced = ops.times(ops.plus(voiced, -UNVOICED_BELOW), VOICING_GAIN)
    voiced = ops.op("Clip", voiced, ops.real(0.0), ops.real(1.0))
    tone = ops.times(loud, ops.op("Sqrt", voiced))
    return tone, ops.times(loud, ops.op("Sqrt", ops.op("Sub", ops.real(1.0), voiced)))


def _pulses(ops: Ops, samples: str) -> str:
    """A pulse a period, of power 1 on average."""
    at = ops.as_real(ops.count(samples))
    fallen = ops.times(ops.op("Div", at, ops.as_real(samples)), -FALL_HZ)
    wave = ops.times(ops.op("Sin", ops.times(at, 2 * np.pi * WAVES_A_SECOND / RATE)), WAVE_HZ)
    pitch = ops.plus(ops.plus(fallen, PITCH_HZ), wave)
    # In double precision: after a minute a float would be a sample wrong.
    periods = ops.op("Div", ops.op("Cast", pitch, to=TensorProto.DOUBLE), ops.const(np.array(RATE, np.float64)))
    begun = ops.op("Floor", ops.op("CumSum", periods, ops.whole(0)))
    pulses = ops.as_real(ops.op("Sub", ops.cut(begun, 1, TO_END), ops.cut(begun, 0, -1)))
    pulses = ops.op("Concat", ops.real([0.0]), pulses, axis=0)
    return ops.times(pulses, ops.op("Sqrt", ops.op("Div", ops.real(RATE), pitch)))


def _noise(ops: Ops, samples: str) -> str:
    """The same noise each time, louder with Piper's noise_scale."""
    table = np.random.default_rng(1).integers(-127, 128, NOISE_SAMPLES).astype(np.int8)
    at = ops.op("Mod", ops.count(samples), ops.whole(NOISE_SAMPLES))
    noise = ops.times(ops.as_real(ops.op("Gather", ops.const(table), at)), 1 / NOISE_LEVEL)
    return ops.times(noise, ops.plus(ops.op("Gather", "scales", ops.whole(0)), QUIETEST_NOISE))


def _angles(ops: Ops, rows: np.ndarray, columns: np.ndarray) -> str:
    """2 pi row column / FFT, worked out by the graph so that no matrix is stored."""
    product = ops.op("Mul", ops.whole(rows[:, None]), ops.whole(columns[None]))
    turns = ops.as_real(ops.op("Mod", product, ops.whole(FFT)))
    return ops.times(turns, 2 * np.pi / FFT)


def _shaped(ops: Ops, *sources: tuple[str, str]) -> tuple[str, str]:
    """[frames, BINS]: the spectra (real, imaginary) of windows of two hops, each as loud as is asked, added up."""
    hann = ops.real(0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(2 * HOP) + 0.5) / (2 * HOP)))
    angles = _angles(ops, np.arange(2 * HOP), np.arange(BINS))
    turned = [ops.op("Cos", angles), ops.op("Sin", angles)]
    parts: list[list[str]] = [[], []]
    for source, loud in sources:
        rows = ops.op("Reshape", source, ops.whole([-1, HOP]))
        windows = ops.op("Concat", ops.cut(rows, 0, -1), ops.cut(rows, 1, TO_END), axis=1)
        windows = ops.times(windows, hann)
        for part, wave in zip(parts, turned, strict=True):
            part.append(ops.times(ops.op("MatMul", windows, wave), loud))
    return ops.plus(*parts[0]), ops.plus(*parts[1])


def _overlapped(ops: Ops, real: str, imaginary: str) -> str:
    """[samples]: the frames back in time, each added where it belongs."""
    weights = np.full((BINS, 1), 2.0)
    weights[[0, -1]] = 1.0
    scale = ops.real(weights / FFT)
    angles = _angles(ops, np.arange(BINS), np.arange(FFT) + FFT - BEFORE)
    waves = [ops.times(ops.op(kind, angles), scale) for kind in ("Cos", "Sin")]
    frames = ops.plus(ops.op("MatMul", real, waves[0]), ops.op("MatMul", imaginary, waves[1]))
    taper = np.ones(FFT)
    taper[:TAPER], taper[-TAPER:] = np.linspace(0, 1, TAPER), np.linspace(1, 0, TAPER)
    frames = ops.op("Pad", ops.times(frames, ops.real(taper)), ops.whole([0, 0, 0, LONG - FFT]), ops.real(0.0))
    hops = LONG // HOP
    pieces = ops.op("Reshape", frames, ops.whole([-1, hops, HOP]))
    parts = []
    for number in range(hops):
        piece = ops.unwrap(ops.cut(pieces, number, number + 1, axis=1), 1)
        parts.append(ops.op("Pad", piece, ops.whole([number, 0, hops - 1 - number, 0]), ops.real(0.0)))
    speech = ops.op("Reshape", ops.op("Sum", *parts), ops.whole([-1]))
    return ops.cut(speech, BEFORE + HOP // 2, TO_END)
