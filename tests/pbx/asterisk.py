"""An Asterisk of our own: its configuration, its process, its log and its recordings; nothing outside loopback.

Its folder is made below the root it is run in (`/opt/vb-pbx-<random>`; a temporary folder for an installed Asterisk)
and goes when it stops. It dies with the process that started it, even when that is killed.
"""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from tests.pbx.install import Install
from tests.pbx.process import end, tied

ETC = Path(__file__).with_name("etc")
SHIPPED = Path(__file__).parents[2] / "dialplan" / "asterisk"
FOLDERS = ("etc", "lib", "spool", "run", "log")
PREFIX = "vb-pbx-"
STALE_S = 6 * 3600
HUMAN = "queue-thankyou"
"""The prompt by which a human of the bench is known."""
START_S = 30.0
RTP_PORTS = 200
RATE = 8_000


class AsteriskError(Exception):
    """It did not start, or did not do what was waited for; the text ends with its log."""


@dataclass
class Asterisk:
    """Use as a context manager. `fallback` is the WAV file (8 kHz mono) that callers without an agent hear."""

    install: Install
    fallback: Path
    sip_port: int = field(default_factory=lambda: free_port(socket.SOCK_DGRAM))
    ari_port: int = field(default_factory=lambda: free_port())
    ami_port: int = field(default_factory=lambda: free_port())
    secret: str = field(default_factory=lambda: secrets.token_hex(8))
    """The password of ARI's user `bench` and of AMI's `admin` and `reader`."""
    _folder: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def __enter__(self) -> Asterisk:
        try:
            self._prepare()
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _prepare(self) -> None:
        parent = self.install.folder / "opt" if self.install.root else Path(tempfile.gettempdir())
        parent.mkdir(exist_ok=True)
        for old in parent.glob(f"{PREFIX}*"):  # of a run that was killed
            if time.time() - old.stat().st_mtime > STALE_S:
                shutil.rmtree(old, ignore_errors=True)
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        for name in FOLDERS:
            (self._folder / name).mkdir()
        shutil.copy(self.fallback, self._folder / "lib" / "fallback.wav")
        shutil.copy(self.fallback.with_name(f"{HUMAN}.wav"), self._folder / "lib" / "human.wav")
        first = free_rtp_range(RTP_PORTS)
        names = {
            "DIR": self.inside, "SIP_PORT": self.sip_port, "FALLBACK": f"{self.inside}/lib/fallback",
            "HUMAN": f"{self.inside}/lib/human",
            "RTP_FIRST": first, "RTP_LAST": first + RTP_PORTS - 1,
            "ARI_PORT": self.ari_port, "AMI_PORT": self.ami_port, "SECRET": self.secret,
        }
        for source in (*ETC.glob("*.conf"), *SHIPPED.glob("*.conf")):
            text = source.read_text()
            for name, value in names.items():
                text = text.replace(f"@{name}@", str(value))
            (self._folder / "etc" / source.name).write_text(text)

    @property
    def inside(self) -> str:
        """Its folder as Asterisk sees it."""
        if self.install.root is None:
            return str(self._folder)
        return "/" + str(self._folder.relative_to(self.install.root))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _start(self) -> None:
        command = self.install.command("/usr/sbin/asterisk", "-f", "-C", f"{self.inside}/etc/asterisk.conf")
        if self.install.root is None:
            command[0] = self.install.source
        self._process = subprocess.Popen(
            tied(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        until = time.monotonic() + START_S
        while "fully booted" not in self.cli("core waitfullybooted", check=False):
            if self._process.poll() is not None or time.monotonic() > until:
                raise AsteriskError(f"Asterisk did not start (exit {self._process.poll()}):\n{self.log()[-3000:]}")
            time.sleep(0.1)

    def restart(self, *, kill: bool) -> None:
        """Kill it, or shut it down, and start it again with the same ports and files. Raises AsteriskError."""
        assert self._process is not None
        if kill:
            self._process.kill()
            self._process.wait()
        else:
            end(self._process)
        self._start()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process)
        if hasattr(self, "_folder"):
            shutil.rmtree(self._folder, ignore_errors=True)

    def cli(self, text: str, *, check: bool = True) -> str:
        """What the command line (`asterisk -rx`) answers. Raises AsteriskError."""
        command = self.install.command("/usr/sbin/asterisk", "-C", f"{self.inside}/etc/asterisk.conf", "-rx", text)
        if self.install.root is None:
            command[0] = self.install.source
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=15)
        if check and done.returncode:
            raise AsteriskError(f"asterisk -rx {text!r}: {done.stdout}{done.stderr}")
        return done.stdout

    # ---- what happened

    def log(self) -> str:
        file = self._folder / "log" / "messages"
        return file.read_text(errors="replace") if file.exists() else ""

    def steps(self, call: UUID) -> list[tuple[str, str]]:
        """(step, status) of the dialplan so far, in order: see extensions.conf."""
        found = []
        for line in self.log().splitlines():
            _, mark, rest = line.partition(f"bench call={call} step=")
            if mark:
                step, _, status = rest.strip().partition(" status=")
                found.append((step, status))
        return found

    def wait_for(self, call: UUID, step: str, *, limit_s: float = 10.0) -> str:
        """The status with which the dialplan reached a step. Blocks. Raises AsteriskError."""
        until = time.monotonic() + limit_s
        while True:
            for name, status in self.steps(call):
                if name == step:
                    return status
            if time.monotonic() > until:
                raise AsteriskError(f"call {call} did not reach {step!r}:\n{self.log()[-3000:]}")
            time.sleep(0.05)

    def channels(self) -> int:
        """How many channels are alive."""
        for line in self.cli("core show channels count").splitlines():
            if "active channel" in line:
                return int(line.split()[0])
        raise AsteriskError("no count of channels")

    def recording(self, call: UUID, side: str, *, limit_s: float = 5.0) -> bytes:
        """What Asterisk recorded of `caller` or `agent` (what it played to the caller): 8 kHz 16-bit mono PCM.

        Waits until the call is over and the file closed. Raises AsteriskError.
        """
        path = self._folder / "spool" / f"{call}-{side}.wav"
        until = time.monotonic() + limit_s
        while self.channels() or not path.exists():
            if time.monotonic() > until:
                raise AsteriskError(f"no finished recording {path.name}:\n{self.log()[-3000:]}")
            time.sleep(0.1)
        with wave.open(str(path), "rb") as wav:
            assert (wav.getframerate(), wav.getnchannels(), wav.getsampwidth()) == (RATE, 1, 2)
            return wav.readframes(wav.getnframes())


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of loopback that nobody had a moment ago."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_rtp_range(count: int) -> int:
    """The first, even port of `count` free UDP ports, below those that the kernel gives out by itself."""
    for first in range(12_000, 30_000, count):
        probes: list[socket.socket] = []
        try:
            for port in range(first, first + count):
                probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                probes.append(probe)
                probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        else:
            return first
        finally:
            for probe in probes:
                probe.close()
    raise AsteriskError(f"no {count} free UDP ports in a row")
