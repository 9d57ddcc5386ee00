"""A daemon that is killed in the middle of a call: its PBX sees it at once, and nothing of it stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
import uvloop

from bench.faults import WORKERS
from tests.faults.processes import alive, daemon_pid, mixed_agent, wait_until, workers
from voicebridge.cli.testcall import recorded_sentence, running_daemon
from voicebridge.phone import Phone

pytestmark = pytest.mark.models


def test_a_killed_daemon_is_noticed_at_once_and_takes_its_workers_along(tmp_path):
    killed = []
    with running_daemon(mixed_agent(tmp_path)) as (port, _):
        mine, daemon = workers(), daemon_pid()
        assert set(mine) == set(WORKERS.values())

        def kill() -> None:
            killed.append(time.monotonic())
            os.kill(daemon, signal.SIGKILL)

        async def talk():
            asyncio.get_running_loop().call_later(2.0, kill)
            heard = await Phone("127.0.0.1", port).call([recorded_sentence()])
            return heard, time.monotonic()

        heard, ended = uvloop.run(talk())
        assert heard.ended_by == "dropped"
        assert ended - killed[0] < 1.0
        assert wait_until(lambda: not any(alive(pid) for pid in (daemon, *mine.values())), 3.0)
