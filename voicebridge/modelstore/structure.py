"""Whether a model looks like one: all that can be said where nobody tells a checksum, and quick besides."""

from __future__ import annotations

import json
from pathlib import Path

GGUF = b"GGUF"
GGUF_VERSIONS = (2, 3)
ONNX_IR_VERSION = 0x08  # ModelProto's first field (onnx.proto), as protobuf writes it: field 1, varint


class NoModel(Exception):
    """The text tells what is missing or what it is instead."""


def check(path: Path) -> None:
    """Of a file by its ending, of a folder as a Vosk model. NoModel."""
    if path.is_dir():
        _vosk(path)
    elif path.name.endswith(".gguf"):
        _gguf(path)
    elif path.name.endswith(".onnx"):
        _onnx(path)
    elif path.name.endswith(".onnx.json"):
        _piper_settings(path)
    elif not path.is_file() or path.stat().st_size == 0:
        raise NoModel(f"{path.name} is empty")


def _begin(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        begin = file.read(count)
    if begin.lstrip()[:1] == b"<":
        raise NoModel(f"{path.name} is a web page")
    return begin


def _gguf(path: Path) -> None:
    """The magic and the version (ggml's docs/gguf.md)."""
    begin = _begin(path, 24)
    version = int.from_bytes(begin[4:8], "little")
    tensors = int.from_bytes(begin[8:16], "little")
    if begin[:4] != GGUF or version not in GGUF_VERSIONS or not tensors:
        raise NoModel(f"{path.name} is not a GGUF file")


def _onnx(path: Path) -> None:
    if _begin(path, 16)[:1] != bytes([ONNX_IR_VERSION]):
        raise NoModel(f"{path.name} is not an ONNX file")


def _piper_settings(path: Path) -> None:
    _begin(path, 16)
    try:
        settings = json.loads(path.read_bytes())
    except ValueError as error:
        raise NoModel(f"{path.name} is not JSON: {error}") from error
    if not isinstance(settings, dict) or not {"audio", "phoneme_id_map"} <= set(settings):
        raise NoModel(f"{path.name} is not a Piper voice's settings")


def _vosk(folder: Path) -> None:
    """The files that vosk-api's model.cc opens: in am/, conf/ and graph/, or (older models) all in one folder."""
    old = (folder / "final.mdl").is_file()
    model = folder / ("final.mdl" if old else "am/final.mdl")
    settings = folder / ("mfcc.conf" if old else "conf/mfcc.conf")
    graph = folder if old else folder / "graph"
    whole = (graph / "HCLG.fst").is_file()
    graphs = [graph / "HCLG.fst"] if whole else [graph / "HCLr.fst", graph / "Gr.fst"]
    missing = [str(file.relative_to(folder)) for file in (model, settings, *graphs) if not _has(file)]
    if missing:
        raise NoModel(f"{folder.name} is not a Vosk model: {', '.join(missing)} missing")


def _has(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0
