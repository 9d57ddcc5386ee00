"""What a run was made on: without that its numbers mean nothing."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path


def machine() -> dict[str, str]:
    """`machine` (processor, cores, Python) and `date`."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return {
        "machine": f"{model}, {cores} cores, Python {platform.python_version()}",
        "date": time.strftime("%Y-%m-%d"),
    }
