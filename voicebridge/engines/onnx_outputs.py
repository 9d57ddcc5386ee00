"""One more output for an ONNX model, without the onnx package: how long each phoneme of a voice lasts.

A VITS voice rounds the durations it predicts (a `Ceil` in the graph) but does not give them out. In protobuf's wire
format (https://protobuf.dev/programming-guides/encoding/) two serialised messages one after the other are the two
merged, so that an output is added by appending a few bytes. Field numbers: onnx.proto3 of ONNX 1.16.
"""

from __future__ import annotations

from collections.abc import Iterator

MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_OUTPUT = 1, 12
NODE_OUTPUT, NODE_OP = 2, 4
VALUE_NAME = 1
BYTES = 2


def outputs_of(model: bytes, operator: str) -> list[str]:
    """What the graph's nodes of this kind give. ValueError where it is no ONNX model."""
    found = []
    for graph in _fields(memoryview(model), MODEL_GRAPH):
        for node in _fields(graph, GRAPH_NODE):
            if any(bytes(kind) == operator.encode() for kind in _fields(node, NODE_OP)):
                found += [bytes(name).decode() for name in _fields(node, NODE_OUTPUT)]
    return found


def with_output(model: bytes, name: str) -> bytes:
    """The model with a tensor of its graph as its last output."""
    value = _tagged(VALUE_NAME, name.encode())
    return model + _tagged(MODEL_GRAPH, _tagged(GRAPH_OUTPUT, value))


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The values of one field, all others skipped."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                _, at = _varint(message, at)
            case 1:
                at += 8
            case 5:
                at += 4
            case 2:
                length, at = _varint(message, at)
                if at + length > len(message):
                    raise ValueError("the file is cut off")
                if tag >> 3 == wanted:
                    yield message[at : at + length]
                at += length
            case other:
                raise ValueError(f"no protobuf: wire type {other}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("no protobuf: a number without end")


def _tagged(field: int, value: bytes) -> bytes:
    return _number(field << 3 | BYTES) + _number(len(value)) + value


def _number(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])
