"""Whether somebody would notice a frozen daemon: its parent (`voicebridge run`), or systemd's watchdog."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from voicebridge.cli.checks.finding import Finding
from voicebridge.watch import parent

PROC = Path("/proc")
CURE = "start it with `voicebridge run` (without --no-parent), or by a systemd unit with WatchdogSec"


def watching(proc: Path = PROC) -> Iterator[Finding]:
    """Of the daemons that can be seen on this machine; `proc` is where Linux tells of processes."""
    daemons = sorted(int(folder.name) for folder in proc.glob("[0-9]*") if _is_daemon(_argv(proc, folder.name)))
    if not daemons:
        yield Finding("watchdog", "skip", "the daemon's process is not to be seen from here")
        return
    alone = [pid for pid in daemons if not _watched(proc, pid)]
    if alone:
        found = f"nobody would notice if the daemon froze (process {', '.join(map(str, alone))})"
        yield Finding("watchdog", "warn", found, CURE)
    else:
        yield Finding("watchdog", "ok", "a daemon that freezes is killed and started again")


def _is_daemon(argv: list[str]) -> bool:
    """`python -m voicebridge ... run ... --no-parent`: also what the parent starts."""
    return "--no-parent" in argv and "run" in argv and any(Path(part).name == "voicebridge" for part in argv)


def _watched(proc: Path, pid: int) -> bool:
    if parent.__name__ in _argv(proc, str(_parent(proc, pid))):
        return True
    try:
        environment = (proc / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return b"WATCHDOG_USEC=" in environment


def _argv(proc: Path, pid: str) -> list[str]:
    try:
        return [os.fsdecode(part) for part in (proc / pid / "cmdline").read_bytes().split(b"\0")]
    except OSError:
        return []


def _parent(proc: Path, pid: int) -> int:
    """Field 4 of proc(5)'s stat; 0 where the process has gone."""
    try:
        return int((proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
