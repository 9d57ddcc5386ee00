"""What looks like a model passes, and the models that we have do."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebridge.modelstore.structure import NoModel, check

OURS = Path(__file__).parents[1] / "models"


def test_the_test_models_are_models():
    check(OURS / "vosk-tiny-en")
    check(OURS / "piper-tiny-en/tiny-voice.onnx")
    check(OURS / "piper-tiny-en/tiny-voice.onnx.json")


def gguf(version: int = 3, tensors: int = 5) -> bytes:
    return b"GGUF" + version.to_bytes(4, "little") + tensors.to_bytes(8, "little") + bytes(8)


@pytest.mark.parametrize("data", [gguf(), gguf(2)], ids=["3", "2"])
def test_gguf_is_known_by_its_magic_and_version(tmp_path, data):
    (tmp_path / "m.gguf").write_bytes(data)
    check(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("m.gguf", gguf(1), "not a GGUF"),
        ("m.gguf", gguf(3, 0), "not a GGUF"),
        ("m.gguf", b"GGUF", "not a GGUF"),
        ("m.gguf", b"\n<html>", "is a web page"),
        ("m.onnx", b"", "not an ONNX"),
        ("m.onnx.json", b"[]", "not a Piper voice"),
        ("m.bin", b"", "is empty"),
    ],
)
def test_what_is_something_else_is_refused(tmp_path, name, data, reason):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(NoModel, match=reason):
        check(tmp_path / name)


def test_a_folder_without_a_graph_is_no_recogniser(tmp_path):
    for name in ("am/final.mdl", "conf/mfcc.conf"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(NoModel, match=r"graph/HCLr\.fst, graph/Gr\.fst missing"):
        check(tmp_path)
