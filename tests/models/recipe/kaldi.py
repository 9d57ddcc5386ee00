"""Kaldi's binary `final.mdl`: a TransitionModel of one state a sound, and an nnet3 with its priors.

The format as Kaldi reads it (io-funcs.h, kaldi-matrix.cc, transition-model.cc, nnet-nnet.cc, nnet-simple-component.cc,
am-nnet-simple.cc): tokens end in a blank, numbers follow their size in bytes, matrices are row after row.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from tests.models.recipe.acoustic import Layer

BINARY: Final = b"\0B"
STAYS: Final = 0.5
"""The probability that a sound goes on for another frame."""
LEARNING_RATE: Final = 0.001


def token(text: str) -> bytes:
    return text.encode() + b" "


def whole(value: int) -> bytes:
    return b"\4" + struct.pack("<i", value)


def single(value: float) -> bytes:
    return b"\4" + struct.pack("<f", value)


def double(value: float) -> bytes:
    return b"\x08" + struct.pack("<d", value)


def wholes(values: Iterable[int]) -> bytes:
    made = np.fromiter(values, "<i4")
    return b"\4" + struct.pack("<i", len(made)) + made.tobytes()


def vector(values: npt.ArrayLike) -> bytes:
    made = np.asarray(values, "<f4").ravel()
    return token("FV") + whole(len(made)) + made.tobytes()


def matrix(values: npt.NDArray[np.float32]) -> bytes:
    rows, columns = values.shape
    return token("FM") + whole(rows) + whole(columns) + np.ascontiguousarray(values, "<f4").tobytes()


def stays(phone: int) -> int:
    """The transition id of `phone` (from 1) that goes on with it."""
    return 2 * phone - 1


def begins(phone: int) -> int:
    """The transition id of `phone` (from 1) that is its first frame: Kaldi's "reordered" topologies put it there."""
    return 2 * phone


def transition_model(outputs: Sequence[int]) -> bytes:
    """`outputs`: which of the network's each phone takes; phones are counted from 1, and have one state each."""
    count = len(outputs)
    made = token("<TransitionModel>") + token("<Topology>") + wholes(range(1, count + 1)) + wholes([-1] + [0] * count)
    made += whole(1) + whole(2)  # one topology; two states, of which the second is the end
    made += whole(0) + whole(2) + whole(0) + single(STAYS) + whole(1) + single(1 - STAYS)
    made += whole(-1) + whole(0) + token("</Topology>")
    made += token("<Triples>") + whole(count)
    for phone, output in enumerate(outputs, 1):
        made += whole(phone) + whole(0) + whole(output)
    made += token("</Triples>")
    chances = [0.0, *[np.log(STAYS), np.log(1 - STAYS)] * count]
    return made + token("<LogProbs>") + vector(chances) + token("</LogProbs>") + token("</TransitionModel>")


def network(layers: Sequence[Layer], inputs: int, priors: npt.NDArray[np.float32]) -> bytes:
    """Affine layers with ReLUs between and a log softmax at the end, whose priors Vosk divides by."""
    lines, components, before = [f"input-node name=input dim={inputs}"], [], "input"
    for number, layer in enumerate(layers):
        last = number == len(layers) - 1
        seen = [before if offset == 0 else f"Offset({before}, {offset})" for offset in layer.offsets]
        source = seen[0] if len(seen) == 1 else f"Append({', '.join(seen)})"
        affine, bent = f"affine{number}", "softmax" if last else f"relu{number}"
        lines.append(f"component-node name={affine} component={affine} input={source}")
        lines.append(f"component-node name={bent} component={bent} input={affine}")
        components.append((affine, _affine(layer)))
        kind = "LogSoftmaxComponent" if last else "RectifiedLinearComponent"
        components.append((bent, _nonlinear(kind, len(layer.bias))))
        before = bent
    lines.append(f"output-node name=output input={before} objective=linear")
    made = token("<Nnet3>") + b"\n" + "\n".join(lines).encode() + b"\n\n" + token("<NumComponents>")
    made += whole(len(components))
    for name, component in components:
        made += token("<ComponentName>") + token(name) + component
    made += token("</Nnet3>")
    # Kaldi finds the context itself when it loads the network.
    made += token("<LeftContext>") + whole(0) + token("<RightContext>") + whole(0)
    return made + token("<Priors>") + vector(priors)


def _affine(layer: Layer) -> bytes:
    made = token("<AffineComponent>") + token("<LearningRate>") + single(LEARNING_RATE)
    made += token("<LinearParams>") + matrix(layer.weights) + token("<BiasParams>") + vector(layer.bias)
    return made + token("</AffineComponent>")


def _nonlinear(kind: str, size: int) -> bytes:
    made = token(f"<{kind}>") + token("<Dim>") + whole(size) + token("<ValueAvg>") + vector([])
    made += token("<DerivAvg>") + vector([]) + token("<Count>") + double(0)
    return made + token(f"</{kind}>")
