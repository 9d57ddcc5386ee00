"""Marks of who owns a channel: only another process that lives on this machine is respected."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from voicebridge.pbx.asterisk import ownership

SCRIPT = "from voicebridge.pbx.asterisk.ownership import mark; print(mark(), flush=True); input()"


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def test_a_living_process_is_respected_until_it_is_dead(other: tuple[subprocess.Popen[str], str]):
    process, mark = other
    assert ownership.is_other_living(mark)
    os.kill(process.pid, signal.SIGSTOP)
    assert ownership.is_other_living(mark)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried
    assert not ownership.is_other_living(mark)


def test_a_later_process_of_the_same_id_is_another(other: tuple[subprocess.Popen[str], str]):
    _, mark = other
    host, pid, started = mark.rsplit(":", 2)
    assert not ownership.is_other_living(f"{host}:{pid}:{int(started) - 1}")


@pytest.mark.parametrize("mark", ["", "here", "::", "a:b:c", "another-host:1:1", ":1:", "x:1:\n", "host:-1:5"])
def test_what_tells_nothing_is_nobody(mark: str):
    assert not ownership.is_other_living(mark)


def test_we_are_no_other():
    assert not ownership.is_other_living(ownership.mark())
