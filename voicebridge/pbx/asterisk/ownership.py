"""Whose a channel or bridge in Asterisk is: a mark that tells whether the daemon that made it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path

VARIABLE = "VB_DAEMON"
"""Of every channel that is ours; a bridge carries the mark as its name."""
MEDIA_PREFIX = "vb-media-"
HUMAN_PREFIX = "vb-human-"
BRIDGE_PREFIX = "vb-bridge-"
OURS = (MEDIA_PREFIX, HUMAN_PREFIX)
"""Channels that we made: without us they are of no use."""


def mark() -> str:
    """This process: machine, process id and when that was started, so that a later process of the id is another."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_started(pid)}"


def is_other_living(text: str) -> bool:
    """Whether the mark is of another process on this machine that runs. What is elsewhere cannot be known: False."""
    host, _, rest = text.partition(":")
    pid, _, started = rest.partition(":")
    if host != socket.gethostname() or not pid.isdigit() or int(pid) == os.getpid():
        return False
    return bool(started) and _started(int(pid)) == started


def _started(pid: int) -> str:
    """In ticks since the machine's start (proc(5), field 22); empty where there is no such process, or a dead one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
