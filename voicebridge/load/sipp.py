"""SIPp as a process: one for all calls of a run. What happens in them is read from the log that its scenario writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from uuid import uuid4

from voicebridge.engines.supervisor import LAUNCHER
from voicebridge.load.script import Script

POLL_S = 0.02
GONE_S = 5.0
MS = 1_000
CURE = "install the package sip-tester (Debian, Ubuntu), or SIPp from sipp.sourceforge.net"
Kind = Literal["offered", "heard", "answered", "refused", "ended"]


class LoadError(Exception):
    """The run could not be made; the text names cause and cure."""


@dataclass(frozen=True, slots=True)
class Step:
    """A call reached something. `host` and `port`: of its media, with `answered`; `code` with `refused`; `by`: caller
    or callee, with `ended`."""

    kind: Kind
    number: int
    host: str = ""
    port: int = 0
    code: int = 0
    by: str = ""

    @classmethod
    def parsed(cls, line: str) -> Step | None:
        """None where it is no line of ours."""
        match line.split():
            case ["offered" | "heard" as kind, number] if number.isdigit():
                return cls(kind, int(number))
            case ["answered", number, host, port] if number.isdigit() and port.isdigit():
                return cls("answered", int(number), host=host, port=int(port))
            case ["refused", number, code] if number.isdigit() and code.isdigit():
                return cls("refused", int(number), code=int(code))
            case ["ended", number, by] if number.isdigit():
                return cls("ended", int(number), by=by)
            case _:
                return None


@dataclass(frozen=True, slots=True)
class Pace:
    """`at_once`: calls at the same time; `rate`: new ones a second; `total`: then it is over."""

    at_once: int
    rate: float
    total: int


class Sipp:
    """`start`, then read `steps` to their end; `stop_calling`, `hang_up` and `end` may come at any time."""

    def __init__(self, folder: Path, script: Script, *, local: str) -> None:
        self._folder, self._script, self._local = folder, script, local
        self._token = f"vb-{uuid4().hex[:8]}-"
        self._port = free_udp_port(local)
        self._process: subprocess.Popen[bytes] | None = None
        self._read = 0
        self._part = ""

    def start(self, extension: str, address: tuple[str, int], pace: Pace, calls: Sequence[tuple[str, int]]) -> None:
        """`calls`: id and media port of each. Raises LoadError."""
        program = shutil.which("sipp")
        if program is None:
            raise LoadError(f"there is no sipp on this machine, which signals the calls: {CURE}")
        private = self._folder / "load.xml"
        private.touch(mode=0o600)  # a password may stand in it
        private.write_text(self._script.xml(), encoding="utf-8")
        rows = "".join(f"{name};{port};\n" for name, port in calls)
        (self._folder / "calls.csv").write_text(f"SEQUENTIAL\n{rows}", encoding="utf-8")
        host, port = address
        remote = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        command = [
            sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), "0",  # it ends when we are killed
            program, remote, "-sf", str(private), "-inf", str(self._folder / "calls.csv"), "-s", extension,
            "-i", self._local, "-p", str(self._port), "-cid_str", f"{self._token}%u",
            "-m", str(pace.total), "-l", str(pace.at_once), "-r", "1", "-rp", str(max(1, round(MS / pace.rate))),
            "-nostdin", "-trace_logs", "-log_file", str(self._file("log")),
            "-trace_err", "-error_file", str(self._file("err")),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self._folder,
            start_new_session=True,  # Ctrl-C is ours: calls are to be hung up first
        )  # fmt: skip

    def _file(self, kind: str) -> Path:
        return self._folder / f"sipp.{kind}"

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def complaints(self) -> str:
        """The last that SIPp itself reported, in a few lines."""
        file = self._file("err")
        return "\n".join(file.read_text(errors="replace").splitlines()[-6:]) if file.exists() else ""

    async def steps(self) -> AsyncIterator[Step]:
        """Everything that happens, until SIPp has ended."""
        while True:
            over = not self.running
            for line in self._lines():
                if (step := Step.parsed(line)) is not None:
                    yield step
            if over:
                return
            await asyncio.sleep(POLL_S)

    def _lines(self) -> list[str]:
        file = self._file("log")
        if not file.exists():
            return []
        with file.open("rb") as log:
            log.seek(self._read)
            data = log.read()
        self._read += len(data)
        *lines, self._part = (self._part + data.decode("utf-8", "replace")).split("\n")
        return lines

    def hang_up(self, number: int) -> None:
        """Have the call's scenario send its BYE."""
        host = f"[{self._local}]" if ":" in self._local else self._local
        text = (
            f"INFO sip:load@{host}:{self._port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:9;branch=z9hG4bK{uuid4().hex}\r\n"
            f"From: <sip:load@{host}>;tag={uuid4().hex}\r\nTo: <sip:load@{host}>\r\n"
            f"Call-ID: {self._token}{number}\r\nCSeq: 1 INFO\r\nContent-Length: 0\r\n\r\n"
        )
        kind = socket.AF_INET6 if ":" in self._local else socket.AF_INET
        with socket.socket(kind, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), (self._local, self._port))

    def stop_calling(self) -> None:
        """No new calls; SIPp ends when those that are on have. A second time: it ends them all by itself."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGUSR1)

    async def end(self) -> None:
        """Be sure that it is gone."""
        process = self._process
        if process is None:
            return
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, sign)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(process.wait, GONE_S)


def free_udp_port(host: str) -> int:
    """One that nobody had a moment ago. Raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
