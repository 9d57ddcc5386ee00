"""Who would notice a frozen daemon: made-up process tables, and a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from voicebridge.cli.checks.finding import Finding
from voicebridge.cli.checks.watching import watching

PARENT = ["python", "-m", "voicebridge.watch.parent", "run"]
DAEMON = ["python", "-m", "voicebridge", "--log-level", "info", "run", "--no-parent"]


def process(proc: Path, pid: int, argv: list[str], *, ppid: int = 1, environ: bytes = b"HOME=/\0") -> None:
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "cmdline").write_bytes(b"\0".join(part.encode() for part in argv) + b"\0")
    (proc / str(pid) / "stat").write_text(f"{pid} (a (odd) name) S {ppid} 1 1")
    (proc / str(pid) / "environ").write_bytes(environ)


def found(proc: Path) -> Finding:
    (finding,) = watching(proc)
    return finding


def test_a_daemon_below_its_parent_is_watched(tmp_path):
    process(tmp_path, 10, PARENT)
    process(tmp_path, 11, DAEMON, ppid=10)
    assert found(tmp_path).state == "ok"


def test_one_that_systemd_watches_is_too(tmp_path):
    process(tmp_path, 11, ["python", "/usr/bin/voicebridge", "run", "--no-parent"], environ=b"A=b\0WATCHDOG_USEC=10\0")
    assert found(tmp_path).state == "ok"


@pytest.mark.parametrize("argv", [DAEMON, ["python3", "/opt/voicebridge/bin/voicebridge", "run", "--no-parent"]])
def test_one_without_is_told_with_the_cure(tmp_path, argv):
    process(tmp_path, 10, PARENT)
    process(tmp_path, 11, argv)
    finding = found(tmp_path)
    assert finding.state == "warn" and "11" in finding.found and "--no-parent" in finding.cure


def test_what_cannot_be_seen_is_not_judged(tmp_path):
    process(tmp_path, 10, ["vim", "run", "--no-parent"])
    process(tmp_path, 12, PARENT)
    (tmp_path / "13").mkdir()  # ended while we looked
    assert found(tmp_path).state == "skip"


def test_a_real_process_is_seen():
    code = "import time; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, "voicebridge", "run", "--no-parent"]) as daemon:
        try:
            finding = found(Path("/proc"))
            assert finding.state == "warn"
            assert str(daemon.pid) in finding.found
            assert str(os.getpid()) not in finding.found
        finally:
            daemon.kill()
