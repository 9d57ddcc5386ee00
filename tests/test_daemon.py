"""The daemon as a process: what it refuses, how it ends, and what it says when it cannot begin."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import uvloop

from bench.faults import worker_pids
from tests.faults.processes import wait_until
from voicebridge.cli.testcall import recorded_sentence, running_daemon, wait_for_record
from voicebridge.phone import Phone
from voicebridge.trace.store import CallStore

models = pytest.mark.models

AGENT = """
name = "desk"
greeting = "Hello, this is the desk. Please say what you would like to know, and I will do my best to help you."
model_scope = "none"
"""
"""No model and no examples: only ears and a mouth have to start."""


def config(folder: Path, text: str = "") -> Path:
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "agents" / "desk.toml").write_text(AGENT)
    (folder / "vb.toml").write_text(f'default_agent = "desk"\n{text}')
    return folder / "vb.toml"


def run(*options: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """`voicebridge run` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "voicebridge", "run", *map(str, options)],
        capture_output=True, text=True, timeout=60, env={**os.environ, **environment},
    )


def assert_told(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """It ended with 2 and one plain message."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr
    assert worker_pids(os.getpid()) == {}


# ---- more calls than there may be


@models
def test_a_call_over_the_limit_is_refused_at_once_and_the_others_go_on(tmp_path):
    async def crowd(port: int):
        first = asyncio.create_task(Phone("127.0.0.1", port).call([], linger_s=2.0))
        await asyncio.sleep(0.5)
        began = time.monotonic()
        refused = await Phone("127.0.0.1", port).call([recorded_sentence()])
        took = time.monotonic() - began
        served = await first
        await asyncio.sleep(0.5)  # until what the call held has been put away
        again = await Phone("127.0.0.1", port).call([], linger_s=0.1)
        return served, refused, took, again

    with running_daemon(config(tmp_path, "[listen]\nmax_calls = 1\n")) as (port, store):
        served, refused, took, again = uvloop.run(crowd(port))
        calls = CallStore(store, keep_days=1)
        assert (refused.ended_by, refused.lines) == ("agent", [])
        assert took < 1.0
        assert not any(refused.agent)  # closed, not kept in silence
        assert served.ended_by == again.ended_by == "caller"
        assert wait_for_record(calls, served.call_id)["turns"][0]["said"][0]["complete"]
        assert wait_for_record(calls, again.call_id) is not None
        assert not calls.path(refused.call_id, ".json").exists()
        assert refused.call_id in (store.parent / "daemon.log").read_text()


# ---- the end


def ask_to_end() -> None:
    """SIGTERM to the daemon below us."""
    (pid,) = {_parent(worker) for worker in worker_pids(os.getpid()).values()}
    os.kill(pid, signal.SIGTERM)


def _parent(pid: int) -> int:
    return int(re.search(r"PPid:\s*(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


async def call_that_ends_meanwhile(port: int, *, after_s: float):
    loop = asyncio.get_running_loop()
    loop.call_later(after_s, ask_to_end)
    began = time.monotonic()
    running = asyncio.create_task(Phone("127.0.0.1", port).call([recorded_sentence()], linger_s=0.2))
    await asyncio.sleep(after_s + 0.5)
    late = None
    if not running.done():
        late = await Phone("127.0.0.1", port).call([])
    return await running, late, time.monotonic() - began


@models
def test_at_sigterm_calls_may_finish_and_no_new_ones_are_taken(tmp_path):
    with running_daemon(config(tmp_path), ["--drain", "30"]) as (port, store):
        heard, late, _ = uvloop.run(call_that_ends_meanwhile(port, after_s=1.0))
        assert heard.ended_by == "caller" and heard.lines[0].gap is not None
        assert late.ended_by == "agent" and not any(late.agent)
        record = wait_for_record(CallStore(store, keep_days=1), heard.call_id)
        assert (record["outcome"], record["ended_by"]) == ("hangup", "hangup")
        assert _gone(port, 5.0)
        assert wait_until(lambda: worker_pids(os.getpid()) == {}, 5.0)  # the port goes first


@models
def test_at_sigterm_without_a_drain_calls_go_to_their_fallback_at_once(tmp_path):
    with running_daemon(config(tmp_path), ["--drain", "0"]) as (port, store):
        heard, _, took = uvloop.run(call_that_ends_meanwhile(port, after_s=1.0))
        assert heard.ended_by == "agent"
        assert took < 3.0
        record = wait_for_record(CallStore(store, keep_days=1), heard.call_id)
        assert (record["outcome"], record["ended_by"]) == ("fallback", "shutdown")
        greeting = record["turns"][0]["said"][0]
        assert not greeting["complete"] and greeting["text"].startswith(greeting["heard"])
        assert _gone(port, 5.0)


def _gone(port: int, limit_s: float) -> bool:
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            return True
        time.sleep(0.05)
    return False


# ---- what keeps it from beginning


@models
def test_a_taken_port_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("-c", config(tmp_path), "--listen", f"127.0.0.1:{port}", "--store", tmp_path / "store")
    assert_told(done, "listen.audiosocket", str(port), "in use")


@models
def test_a_taken_fastagi_port_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        store = tmp_path / "store"
        done = run("-c", config(tmp_path), "--listen", "127.0.0.1:0", "--fastagi", address, "--store", store)
    assert_told(done, f"listen.fastagi = {address}", "in use")


def folders_that_cannot_be_written(folder: Path) -> Sequence[Path]:
    (folder / "file").write_text("no folder")
    return [folder / "file" / "store", Path("/proc/voicebridge")]


def test_a_store_that_cannot_be_written_is_told_before_anything_starts(tmp_path):
    for store in folders_that_cannot_be_written(tmp_path):
        began = time.monotonic()
        done = run("-c", config(tmp_path), "--listen", "127.0.0.1:0", "--store", store)
        assert_told(done, "store.dir", str(store))
        assert time.monotonic() - began < 30


def test_missing_models_are_told_with_the_command_that_fetches_them(tmp_path):
    done = run("--listen", "127.0.0.1:0", "--store", tmp_path / "store", VOICEBRIDGE_CACHE=str(tmp_path / "cache"))
    assert_told(done, "models fetch")
