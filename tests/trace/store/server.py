"""A PostgreSQL of our own, from Debian's programs, that can be killed and frozen. On a Unix socket, or on a port."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


class Server:
    """As the user `postgres` where we are root (it refuses to run as root). `url`: as `[store] url`."""

    def __init__(self, folder: Path, tools: Path, *, tcp: bool = False) -> None:
        self.folder = folder
        self._tools = tools
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self.port = _free_port() if tcp else 0

    @property
    def url(self) -> str:
        if self.port:
            return f"postgresql://owner@127.0.0.1:{self.port}/postgres"
        return f"postgresql+psycopg://owner@/postgres?host={self.folder}"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._user, str(self._tools / program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", check=False)
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")

    def create(self) -> None:
        if self._user:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "owner", "-A", "trust", "--no-sync")

    def start(self) -> None:
        where = f"-c listen_addresses=127.0.0.1 -p {self.port}" if self.port else "-c listen_addresses=''"
        options = f"-k {self.folder} {where} -c shared_buffers=16MB -c fsync=off -c max_connections=20"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self._run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    def _pids(self) -> list[int]:
        """The server and its children, it first."""
        first = int((self.folder / "data/postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    def _signal(self, number: int) -> list[int]:
        pids = self._pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return pids

    def freeze(self) -> None:
        """It keeps its sockets and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, all of it."""
        pids, until = self._signal(signal.SIGKILL), time.monotonic() + 10
        while any(map(_lives, pids)) and time.monotonic() < until:
            time.sleep(0.01)
        # Where nobody fetches dead processes, as in a container, it would take itself for running.
        for path in (self.folder / "data/postmaster.pid", *self.folder.glob(".s.PGSQL.*.lock")):
            path.unlink(missing_ok=True)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(tools: Path, *, tcp: bool = False) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="vb-pg-", dir="/tmp"))  # a socket's path must be short
    made = Server(folder, tools, tcp=tcp)
    try:
        made.create()
        made.start()
        yield made
    finally:
        with contextlib.suppress(OSError):
            made.kill()
        shutil.rmtree(folder, ignore_errors=True)
