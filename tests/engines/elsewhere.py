"""Another machine, for the tests: a network namespace of our own behind a cable that can be cut. Needs root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.pbx.process import end, tied


class Elsewhere:
    """`here` and `there` are the two ends' addresses. Names and addresses are of this process alone."""

    def __init__(self) -> None:
        number = os.getpid() % 16_000
        self.space, self._near, self._far = f"vb-{os.getpid()}", f"vbn{os.getpid()}", f"vbf{os.getpid()}"
        base = f"10.213.{number // 64}.{number % 64 * 4}".rpartition(".")
        self.here, self.there = (f"{base[0]}.{int(base[2]) + end}" for end in (1, 2))
        self._running: list[subprocess.Popen[bytes]] = []

    def build(self) -> None:
        """Raises OSError, with the reason, where that is not permitted."""
        _ip("netns", "add", self.space)
        _ip("link", "add", self._near, "type", "veth", "peer", "name", self._far, "netns", self.space)
        _ip("address", "add", f"{self.here}/30", "dev", self._near)
        _ip("link", "set", self._near, "up")
        self._inside("address", "add", f"{self.there}/30", "dev", self._far)
        self._inside("link", "set", self._far, "up")
        self._inside("link", "set", "lo", "up")

    def serve(self, config: Path, name: str, port: int, *more: str, env: Mapping[str, str] | None = None) -> None:
        """`voicebridge engines serve NAME` over there, for us alone."""
        command = [sys.executable, "-m", "voicebridge", "engines", "serve", name, "--config", str(config)]
        command += ["--listen", f"{self.there}:{port}", "--allow", self.here, *more]
        command = tied(["ip", "netns", "exec", self.space, *command])
        self._running.append(subprocess.Popen(command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL))

    def cut(self) -> None:
        """From now on packets get lost, both ways; nobody is told."""
        self._inside("link", "set", self._far, "down")

    def mend(self) -> None:
        self._inside("link", "set", self._far, "up")

    def remove(self) -> None:
        for process in self._running:
            end(process)
        with contextlib.suppress(OSError):
            _ip("netns", "delete", self.space)  # and the cable with it

    def _inside(self, *arguments: str) -> None:
        _ip("-netns", self.space, *arguments)


def _ip(*arguments: str) -> None:
    made = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {made.stderr.strip()}")


@contextlib.contextmanager
def another_machine() -> Iterator[Elsewhere]:
    """Skips the test, with the reason, where this one may not make one."""
    if shutil.which("ip") is None:
        pytest.skip("no `ip` (apt install iproute2)")
    made = Elsewhere()
    try:
        made.build()
    except OSError as error:
        made.remove()
        pytest.skip(f"no network namespace may be made here ({error})")
    try:
        yield made
    finally:
        made.remove()


def lines_changed(before: str, after: str) -> Sequence[tuple[str, str]]:
    """The lines in which two texts of as many lines differ."""
    return [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
