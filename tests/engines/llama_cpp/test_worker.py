"""The main programme of the llama.cpp worker: its options, and a model that is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: make llama")
pytest.importorskip("aiohttp")
from voicebridge.engines.llama_cpp.worker import WorkerOptions, checked


def command(model: Path, socket: Path) -> list[str]:
    options = json.dumps({"model": str(model), "calls": 1, "context": 256, "threads": 1})
    return [sys.executable, "-m", "voicebridge.engines.llama_cpp.worker", "--socket", str(socket), "--options", options]


def test_options_that_are_wrong_are_named() -> None:
    assert checked({"model": "m.gguf", "calls": 3}) == WorkerOptions("m.gguf", calls=3)
    for given, said in (
        ({}, "model is missing"),
        ({"model": "m", "slots": 3}, "no option slots"),
        ({"model": "m", "calls": 0}, "option calls has to be"),
        ({"model": "m", "context": "many"}, "option context has to be"),
    ):
        with pytest.raises(ValueError, match=said):
            checked(given)


def test_a_model_that_cannot_be_loaded_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"GGUF" + os.urandom(5000))
    ran: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60, "check": False}
    ended = subprocess.run(command(damaged, tmp_path / "s.sock"), **ran)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"ERROR model file {damaged} cannot be loaded: ")
    assert not (tmp_path / "s.sock").exists()
    ended = subprocess.run(command(tmp_path / "no.gguf", tmp_path / "s.sock"), **ran)
    assert (ended.returncode, ended.stderr) == (1, f"ERROR model file {tmp_path / 'no.gguf'} is not there\n")
