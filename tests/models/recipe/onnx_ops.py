"""Writing an ONNX graph as one writes arithmetic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn

TO_END: Final = 1 << 40


@dataclass
class Ops:
    """Nodes and constants so far. A value is known by its name."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def const(self, value: npt.NDArray[Any]) -> str:
        name = f"const{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weights(self, value: npt.ArrayLike) -> str:
        """Kept in 16 bits, used in 32: onnxruntime casts them once, when it loads the model."""
        return self.op("Cast", self.const(np.asarray(value, np.float16)), to=TensorProto.FLOAT)

    def real(self, value: npt.ArrayLike) -> str:
        return self.const(np.asarray(value, np.float32))

    def whole(self, value: npt.ArrayLike) -> str:
        return self.const(np.asarray(value, np.int64))

    def as_real(self, value: str) -> str:
        return self.op("Cast", value, to=TensorProto.FLOAT)

    def count(self, until: str) -> str:
        """0, 1, 2 ... up to before `until`."""
        return self.op("Range", self.whole(0), until, self.whole(1))

    def cut(self, value: str, begin: int, end: int, axis: int = 0) -> str:
        return self.op("Slice", value, self.whole([begin]), self.whole([end]), self.whole([axis]))

    def wrap(self, value: str, *axes: int) -> str:
        return self.op("Unsqueeze", value, self.whole(axes))

    def unwrap(self, value: str, *axes: int) -> str:
        return self.op("Squeeze", value, self.whole(axes))

    def times(self, one: str, other: str | float) -> str:
        return self.op("Mul", one, self.real(other) if isinstance(other, float) else other)

    def plus(self, one: str, other: str | float) -> str:
        return self.op("Add", one, self.real(other) if isinstance(other, float) else other)

    def convolution(self, value: str, layer: nn.Conv1d) -> str:
        weights = self.weights(layer.weight.detach().numpy())
        pads = list(layer.padding) * 2
        return self.op("Conv", value, weights, self.const(layer.bias.detach().numpy()), pads=pads)
