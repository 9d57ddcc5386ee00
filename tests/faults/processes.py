"""What the fault tests share: a daemon's worker processes, and an agent whose every turn needs all of them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from bench.faults import WORKERS, worker_pids

AGENT = """
name = "mixed"
greeting = "Northgate Cycles."
instructions = "You are the telephone assistant of a bicycle shop. Answer in one short sentence."
facts = ["Northgate Cycles is a bicycle shop in Millbrook."]
[[rules]]
name = "service"
examples = ["what does a basic service cost"]
say = ["A basic service is $45 and takes two working days."]
[limits]
answer_tokens = 16
"""


def mixed_agent(folder: Path) -> Path:
    """A configuration in that folder: rules and a model that answers the rest."""
    (folder / "agents").mkdir()
    (folder / "agents" / "mixed.toml").write_text(AGENT)
    (folder / "voicebridge.toml").write_text('default_agent = "mixed"\n')
    return folder / "voicebridge.toml"


def workers() -> dict[str, int]:
    return worker_pids(os.getpid())


def daemon_pid() -> int:
    """The process below us that runs the daemon: the workers' parent."""
    status = Path(f"/proc/{workers()[WORKERS['stt']]}/status").read_text()
    return int(status.partition("PPid:")[2].split()[0])


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def wait_until(done: Callable[[], bool], limit_s: float) -> bool:
    until = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
