"""A Vosk model made larger without changing what it hears: it computes as a larger one does, for benchmarks.

Layers of random weights (seeded) hang from the first hidden layer; their end is multiplied by zero and added to the
output. Only the acoustic model grows: a large model's search through its graph is not imitated.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

WIDTH: Final = 1024
HANGS_FROM: Final = "r0"
INPUT_DIM: Final = 192
EARLY: Final = 3
"""The first of so many layers is computed for every 10 ms, as models do; the others for every 30 ms."""


def padded(model: Path, target: Path, megabytes: float) -> Path:
    """A copy of `model` in `target`, its final.mdl that large. ValueError: it is not built like the tests' model."""
    shutil.copytree(model, target, dirs_exist_ok=True)
    data = (model / "am/final.mdl").read_bytes()
    layers = max(2, 1 + round((megabytes * 1e6 - len(data)) / (WIDTH * WIDTH * 4)))
    (target / "am/final.mdl").write_bytes(_grown(data, layers))
    return target


def _grown(data: bytes, layers: int) -> bytes:
    start, count_at, end = data.find(b"<Nnet3>"), data.find(b"<NumComponents> \x04"), data.find(b"</Nnet3>")
    output, priors = b"output-node name=output input=ls ", data.find(b"<Priors> FV \x04")
    if min(start, count_at, end, priors) < 0 or output not in data[start:count_at]:
        raise ValueError("the model is not built like tests/models/vosk-tiny-en")
    (pdfs,) = struct.unpack_from("<i", data, priors + len(b"<Priors> FV \x04"))
    (components,) = struct.unpack_from("<i", data, count_at + len(b"<NumComponents> \x04"))
    config, parts = _layers(layers, pdfs)
    text = data[start:count_at].replace(output, config + b"output-node name=output input=Sum(ls, padend) ")
    after_count = count_at + len(b"<NumComponents> \x04") + 4
    grown = _int(components + len(parts))
    return b"".join(
        (data[:start], text, b"<NumComponents> ", grown, data[after_count:end], *parts, data[end:])
    )


def _layers(count: int, pdfs: int) -> tuple[bytes, list[bytes]]:
    """Their lines of the network's description, and their components."""
    rng = np.random.default_rng(0)
    config, parts, before = "", [], HANGS_FROM
    for number in range(count):
        inputs = INPUT_DIM if number == 0 else WIDTH
        offset = 1 if number * EARLY < count else 3
        told = before if number == 0 else f"Sum(Offset({before}, -{offset}), Offset({before}, {offset}))"
        config += f"component-node name=pad{number} component=pad{number} input={told}\n"
        config += f"component-node name=padr{number} component=padr{number} input=pad{number}\n"
        weights = rng.normal(0, inputs**-0.5, (WIDTH, inputs)).astype("<f4")
        parts += [_affine(f"pad{number}", weights), _relu(f"padr{number}", WIDTH)]
        before = f"padr{number}"
    config += f"component-node name=padend component=padend input={before}\n"
    parts.append(_affine("padend", np.zeros((pdfs, WIDTH), "<f4")))
    return config.encode(), parts


# Kaldi's binary form: tokens end with a blank, numbers bear their size in front.


def _token(name: str) -> bytes:
    return name.encode() + b" "


def _int(value: int) -> bytes:
    return b"\x04" + struct.pack("<i", value)


def _vector(values: NDArray[np.float32]) -> bytes:
    return _token("FV") + _int(len(values)) + values.astype("<f4").tobytes()


def _affine(name: str, weights: NDArray[np.float32]) -> bytes:
    rows, columns = weights.shape
    return b"".join((
        _token("<ComponentName>"), _token(name), _token("<AffineComponent>"),
        _token("<LearningRate>"), b"\x04" + struct.pack("<f", 0.001),
        _token("<LinearParams>"), _token("FM"), _int(rows), _int(columns), weights.tobytes(),
        _token("<BiasParams>"), _vector(np.zeros(rows, np.float32)), _token("</AffineComponent>"),
    ))  # fmt: skip


def _relu(name: str, dim: int) -> bytes:
    nothing = _vector(np.zeros(0, np.float32))
    return b"".join((
        _token("<ComponentName>"), _token(name), _token("<RectifiedLinearComponent>"), _token("<Dim>"), _int(dim),
        _token("<ValueAvg>"), nothing, _token("<DerivAvg>"), nothing,
        _token("<Count>"), b"\x08" + struct.pack("<d", 0.0), _token("</RectifiedLinearComponent>"),
    ))  # fmt: skip
