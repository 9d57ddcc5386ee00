"""The llama.cpp worker as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from voicebridge.engines.chat_http import ChatHttp
from voicebridge.engines.llama_server import ENGINE
from voicebridge.engines.llama_worker import BATCH_TOKENS, ServerOptions, parameters
from voicebridge.engines.local_llm import DEFAULT_MODEL
from voicebridge.engines.model_host import model_path

models = pytest.mark.models
TOLD: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60}


def command(model: Path, socket: Path) -> list[str]:
    options = json.dumps({"model": str(model), "slots": 1, "context": 256, "threads": 1})
    return [sys.executable, "-m", "voicebridge.engines.llama_worker", "--socket", str(socket), "--options", options]


async def serves(http: ChatHttp) -> bool:
    """A server that is just coming up takes requests and forgets them: ask again."""
    for _ in range(60):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                if await http.healthy():
                    return True
                await asyncio.sleep(0.1)
    return False


@models
@pytest.mark.parametrize("content", ["cut", "noise", "empty"])
def test_damaged_model_is_one_line_that_names_the_file(tmp_path: Path, content: str) -> None:
    model = tmp_path / "damaged.gguf"
    with model_path("x", {}, DEFAULT_MODEL).open("rb") as file:
        model.write_bytes({"cut": file.read(3_000_000), "noise": os.urandom(10_000), "empty": b""}[content])
    ended = subprocess.run(command(model, tmp_path / "s.sock"), **TOLD)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"ERROR model file {model} cannot be loaded: ")
    assert ended.stdout == ""
    assert not (tmp_path / "s.sock").exists()


def test_missing_model_is_one_line_too(tmp_path: Path) -> None:
    ended = subprocess.run(
        command(tmp_path / "no.gguf", tmp_path / "s.sock"), capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (1, f"ERROR model file {tmp_path / 'no.gguf'} is not there\n")


def test_socket_that_llama_would_take_for_a_host_is_refused(tmp_path: Path) -> None:
    ended = subprocess.run(command(tmp_path / "m.gguf", tmp_path / "s"), **TOLD)
    assert ended.returncode == 2
    assert "must end in .sock" in ended.stderr


@models
async def test_supervisor_logs_what_the_worker_says_of_a_damaged_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tmp_path / "damaged.gguf"
    model.write_bytes(b"GGUF" + bytes(1000))
    engine = ENGINE.create({"model": str(model), "nice": 0})
    with caplog.at_level(logging.INFO):
        await engine.start()
        async with asyncio.timeout(30):
            while engine.host.worker.restarts < 1:  # noqa: ASYNC110 - what is waited for is another process
                await asyncio.sleep(0.02)
        assert not engine.ready
        await engine.stop()
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors
    assert all(f"model file {model} cannot be loaded" in text for text in errors)
    assert "exited with status 1" in caplog.text


@models
async def test_serves_on_a_socket_of_ours_alone_and_ends_at_sigterm(tmp_path: Path) -> None:
    socket = tmp_path / "s.sock"
    socket.touch()  # the last life's
    process = subprocess.Popen(command(model_path("x", {}, DEFAULT_MODEL), socket), stderr=subprocess.PIPE)
    http = ChatHttp(socket)
    try:
        assert await serves(http)
        assert stat.S_IMODE(socket.stat().st_mode) & 0o077 == 0
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert time.monotonic() - began < 2  # the supervisor's patience
        assert not socket.exists()
        assert process.stderr is not None
        assert b"INFO serving " in process.stderr.read()
    finally:
        process.kill()
        await http.close()


@models
def test_parameters_keep_the_promises(tmp_path: Path) -> None:
    options = ServerOptions(model="m.gguf", slots=3, context=512, threads=1, slot_dir=str(tmp_path))
    chat = parameters(options, tmp_path / "s.sock")
    assert (chat.n_parallel, chat.n_ctx) == (3, 3 * 512)
    assert chat.n_batch == chat.n_ubatch == BATCH_TOKENS
    assert list(chat.hostnames) == [str(tmp_path / "s.sock")]
    assert chat.slot_save_path == f"{tmp_path}/"
    assert not chat.embedding
    embed = parameters(ServerOptions(model="m.gguf", task="embed", context=256), tmp_path / "s.sock")
    assert embed.embedding
    assert embed.n_batch == embed.n_ubatch == 256
