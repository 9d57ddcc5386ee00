"""`voicebridge load` on a real Asterisk: two short calls to a daemon's tones, refusals, and an interruption."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.pbx.asterisk import Asterisk
from tests.pbx.daemon import REPOSITORY
from tests.pbx.peer import TonePeer, tone_peer

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0


@pytest.fixture
async def peer() -> AsyncIterator[TonePeer]:
    async with tone_peer() as made:
        yield made


async def started(asterisk: Asterisk, extension: str, folder: Path, *options: str) -> asyncio.subprocess.Process:
    target = f"sip:{extension}@127.0.0.1:{asterisk.sip_port}"
    config = folder / "voicebridge.toml"
    config.write_text(f'[store]\ndir = "{folder}"\n')
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voicebridge", "load", target, "--json", "-c", str(config), *options,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY, env={**os.environ},
    )  # fmt: skip


async def report(process: asyncio.subprocess.Process) -> dict:
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert out, err.decode()
    return json.loads(out)


async def test_early_callers_hear_the_agent_and_nothing_is_left(asterisk: Asterisk, peer: TonePeer, tmp_path: Path):
    page = tmp_path / "load.html"
    process = await started(
        asterisk, "agent", tmp_path, "--header", f"X-VB-Media: {peer.media}", "--profile", "early", "--calls", "2",
        "--rate", "4", "--duration", "4", "--total", "2", "--html", str(page),
    )  # fmt: skip
    made = await report(process)
    assert process.returncode == 0, made["lost_why"]
    assert (made["offered"], made["answered"], made["lost"]) == (2, 2, 0)
    assert made["ended_by"] == {"caller": 2}
    for call in made["calls"]:
        assert call["packets"] > 5
        assert call["packets_lost"] == 0
        assert 0 < call["jitter_ms"] < 100
    assert set(made["usage"]) >= {"pbx", "load"}
    assert page.read_text().count("<svg") >= 2
    assert await asyncio.to_thread(asterisk.channels) == 0


async def test_refused_calls_are_counted_by_their_code_and_lost(asterisk: Asterisk, tmp_path: Path):
    process = await started(asterisk, "nobody", tmp_path, "--rate", "4", "--duration", "2", "--total", "2")
    made = await report(process)
    assert process.returncode == 1
    assert made["refused"] == {"404": 2}
    assert made["lost_why"] == {"refused with 404": 2}


async def test_an_interrupted_run_hangs_up_and_reports(asterisk: Asterisk, peer: TonePeer, tmp_path: Path):
    process = await started(
        asterisk, "agent", tmp_path, "--header", f"X-VB-Media: {peer.media}", "--profile", "silent", "--calls", "2",
        "--rate", "4", "--duration", "60",
    )  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        while len(peer.calls) < 2:  # noqa: ASYNC110 - the calls come over a socket
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    process.send_signal(signal.SIGINT)
    made = await report(process)
    assert made["interrupted"]
    assert made["answered"] == 2
    assert made["ended_by"] == {"caller": 2}
    assert await asyncio.to_thread(asterisk.channels) == 0
