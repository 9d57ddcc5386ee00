"""What the programs of a call take of this machine while a run lasts: processor time and memory, from /proc."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PBX_NAMES = frozenset({"asterisk", "freeswitch"})
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """`cpu`: cores that were busy since the sample before (1.0 is one core); `memory_mb`: resident, shared pages
    counted for each process that has them."""

    at_s: float
    cpu: float
    memory_mb: float


@dataclass
class Usage:
    """`roots`: by name of the group, the processes that count with all that they have started."""

    roots: Mapping[str, Iterable[int]]
    started: float = field(default_factory=time.monotonic)
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    _before: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self) -> None:
        """One sample of every group. Blocks for some milliseconds."""
        for name, pids in self.roots.items():
            now = time.monotonic()
            spent, resident = 0.0, 0
            for process in _families(pids):
                with contextlib.suppress(psutil.Error):
                    times = process.cpu_times()
                    spent += times.user + times.system
                    resident += process.memory_info().rss
            if (before := self._before.get(name)) is not None and now > before[0]:
                cpu = max(0.0, spent - before[1]) / (now - before[0])
                self.samples.setdefault(name, []).append(Sample(now - self.started, cpu, resident / MB))
            self._before[name] = (now, spent)


def _families(pids: Iterable[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(pid)
            found |= {process.pid: process for process in (root, *root.children(recursive=True))}
    return list(found.values())


def found_here(sipp: int) -> dict[str, list[int]]:
    """The daemons and PBXs of this machine, and the run itself."""
    groups: dict[str, list[int]] = {"daemon": [], "pbx": [], "load": [os.getpid(), sipp]}
    for process in psutil.process_iter(["name", "cmdline"]):
        line = process.info["cmdline"] or []
        if process.info["name"] in PBX_NAMES:
            groups["pbx"].append(process.pid)
        elif "run" in line and any(Path(part).name == "voicebridge" for part in line[: line.index("run")]):
            groups["daemon"].append(process.pid)
    return {name: pids for name, pids in groups.items() if pids}
