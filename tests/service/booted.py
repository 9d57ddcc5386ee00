"""A booted systemd of our own: systemd-nspawn on an overlay of this machine's root, with a network of its own.

Nothing of the machine is written to: what the container changes is in memory and goes with it. The service is
installed in it as docs/install.md says, by `voicebridge install-service`, below /opt/voicebridge/versions.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BOOT_S = 60.0
PYTHON = Path(sys.base_prefix)
PACKAGES = Path(sysconfig.get_paths()["purelib"])
VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
CONFIG = """default_agent = "desk"
[store]
dir = "/var/lib/voicebridge"
[engines]
llm = ""
embed = ""
[service]
drain_s = 10
workers_s = 5
"""
AGENT = 'name = "desk"\ngreeting = "Hello, this is the desk."\nmodel_scope = "none"\n'


class CannotBoot(Exception):
    """No container here; the text says why."""


class Booted:
    """Use as a context manager. `run` is a command inside."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vb-booted-", dir="/var/tmp"))  # noqa: S108 - made for us alone
        self.root = self._folder / "root"
        self._process: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> Booted:
        if os.geteuid() or not shutil.which("systemd-nspawn"):
            raise CannotBoot("it takes root and systemd-nspawn (apt install systemd-container)")
        try:
            self._mount()
            self._install()
            self._boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _mount(self) -> None:
        memory = self._folder / "memory"
        for folder in (memory, self.root):
            folder.mkdir()
        self._do("mount", "-t", "tmpfs", "tmpfs", str(memory))
        for name in ("upper", "work"):
            (memory / name).mkdir()
        options = f"lowerdir=/,upperdir={memory}/upper,workdir={memory}/work"
        self._do("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))

    @staticmethod
    def _do(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CannotBoot(f"{' '.join(command)}: {done.stderr.strip()}")

    def _install(self) -> None:
        """Two versions that are alike, the configuration, the units; of the machine's own installation nothing."""
        for there in ("opt/voicebridge", "etc/voicebridge", "var/lib/voicebridge", "var/lib/private/voicebridge"):
            shutil.rmtree(self.root / there, ignore_errors=True)
        for name in ("1", "2"):
            home = self.root / "opt/voicebridge/versions" / name
            (home / "bin").mkdir(parents=True)
            site = home / "lib" / VERSION / "site-packages"
            site.mkdir(parents=True)
            (home / "bin" / "python").symlink_to(f"/opt/python/bin/{VERSION}")
            (home / "pyvenv.cfg").write_text("home = /opt/python/bin\ninclude-system-site-packages = false\n")
            (site / "deps.pth").write_text("/opt/deps\n")
            shutil.copytree(REPOSITORY / "voicebridge", site / "voicebridge", ignore=shutil.ignore_patterns("*.pyc"))
        (self.root / "opt/voicebridge/current").symlink_to("/opt/voicebridge/versions/1")
        for name in ("python", "deps"):
            (self.root / "opt" / name).mkdir(exist_ok=True)
        (self.root / "etc/ld.so.conf.d/00-python.conf").write_text("/opt/python/lib\n")
        etc = self.root / "etc/voicebridge"
        (etc / "agents").mkdir(parents=True)
        (etc / "voicebridge.toml").write_text(CONFIG)
        (etc / "agents" / "desk.toml").write_text(AGENT)
        self._do(sys.executable, "-m", "voicebridge", "install-service", "--root", str(self.root),
                 "--prefix", "/opt/voicebridge/current")  # fmt: skip

    def _boot(self) -> None:
        command = [
            "systemd-nspawn", "--quiet", "--boot", f"--directory={self.root}", "--private-network", "--register=no",
            "--keep-unit", f"--machine=vb-booted-{os.getpid()}", "--link-journal=no",
            f"--bind-ro={PYTHON}:/opt/python", f"--bind-ro={PACKAGES}:/opt/deps",
        ]  # fmt: skip
        with (self._folder / "console").open("wb") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
            )  # fmt: skip
        until = time.monotonic() + BOOT_S
        while time.monotonic() < until and self._process.poll() is None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            if children:
                self._leader = int(children[0])
                state = self.run("systemctl", "is-system-running", check=False)
                if state.strip() in ("running", "degraded"):
                    self.run("ldconfig")  # Python's own library, where it has one, is in another place than it thinks
                    return
            time.sleep(0.3)
        console_text = (self._folder / "console").read_text(errors="replace")
        raise CannotBoot(f"systemd did not boot in {BOOT_S:.0f} s:\n{console_text[-1500:]}")

    def run(self, *command: str, check: bool = True, limit_s: float = 120.0) -> str:
        """What it prints. Raises AssertionError with that where it fails."""
        inside = ["env", "--chdir=/", "-u", "NOTIFY_SOCKET", *command]
        entered = ["nsenter", "--target", str(self._leader), "--all", *inside]
        done = subprocess.run(entered, capture_output=True, text=True, errors="replace", timeout=limit_s)
        if check and done.returncode:
            said = f"{done.stdout}{done.stderr}\n{self.journal()}"
            raise AssertionError(f"{' '.join(command)} ({done.returncode}):\n{said}")
        return done.stdout

    def python(self, *arguments: str, limit_s: float = 120.0) -> str:
        """Inside, in the repository, with what the tests have."""
        return self.run(
            "bash", "-c", 'cd "$1"; shift; exec "$@"', "bash", str(REPOSITORY), sys.executable, *arguments,
            limit_s=limit_s,
        )  # fmt: skip

    def show(self, name: str, unit: str = "voicebridge.service") -> str:
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def until(self, name: str, value: str, limit_s: float = 60.0) -> None:
        """Until the unit's property has the value (or begins with it)."""
        end = time.monotonic() + limit_s
        while not self.show(name).startswith(value):
            assert time.monotonic() < end, f"{name} is {self.show(name)!r}\n{self.journal()}"
            time.sleep(0.2)

    def journal(self, lines: int = 60) -> str:
        entered = ["nsenter", "--target", str(self._leader), "--all", "env", "--chdir=/"]
        done = subprocess.run(
            [*entered, "journalctl", "--no-pager", "-u", "voicebridge", "-n", str(lines)],
            capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout

    def daemons(self) -> Sequence[int]:
        """Process ids, as seen inside, of the daemons below the parent."""
        parent = self.show("MainPID")
        return [int(pid) for pid in self.run("cat", f"/proc/{parent}/task/{parent}/children").split()]

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if self._leader:
                os.kill(self._leader, signal.SIGKILL)  # all that is in there goes with it
            else:
                process.kill()
            process.wait(20)
        for mounted in (self.root, self._folder / "memory"):
            subprocess.run(["umount", "--lazy", str(mounted)], capture_output=True)
        shutil.rmtree(self._folder, ignore_errors=True)
