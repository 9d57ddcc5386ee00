"""An Asterisk for the tests: one that is there, or one fetched from Debian sid into a folder of its own.

    python3 tests/pbx/install.py            # fetch what is missing (about half a minute) and say where it is
    python3 tests/pbx/install.py --check    # only say what is there

Runs on the standard library alone, before anything else is installed. In this order: `PBX_ROOT` (a Debian root with
asterisk in it), an `asterisk` on the PATH, the root in voicebridge's cache, and where we are root on a Debian-like
system, a new one in that cache. Nothing is installed on the machine itself but `debootstrap` and `sip-tester` (SIPp).

Debian's stable releases have no asterisk package, so it comes from sid. debootstrap resolves, downloads and verifies
the packages (against Debian's keyring); unpacking them is all it takes to run Asterisk in a chroot. Letting debootstrap
configure a whole system takes four minutes, this half of one.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SUITE = "sid"
PACKAGES = ("asterisk", "asterisk-modules", "asterisk-core-sounds-en-wav")
TOOLS = {"debootstrap": ("debootstrap", "debian-archive-keyring"), "sipp": ("sip-tester",)}
RECIPE = "unpacked-1"
"""Changes with what a cached root must hold: one made by another recipe is made anew."""
MARK = ".voicebridge-recipe"
ATTEMPTS = 3
DEVICES = {"null": (1, 3), "zero": (1, 5), "random": (1, 8), "urandom": (1, 9)}

Progress = Callable[[str], None]


class Unavailable(Exception):
    """No Asterisk is here and none can be had; the text says why, and what would help."""


@dataclass(frozen=True)
class Install:
    """An Asterisk. `root` is the folder to chroot into, None for one of the machine's own."""

    root: Path | None
    source: str

    def command(self, *arguments: str) -> list[str]:
        """How to run a program of it; paths in `arguments` are as seen inside."""
        if self.root is None:
            return list(arguments)
        return ["chroot", str(self.root), *arguments]

    @property
    def folder(self) -> Path:
        """The root's `/` as seen from outside."""
        return self.root or Path("/")


def cached_root() -> Path:
    for name in ("VOICEBRIDGE_CACHE", "CACHE_DIRECTORY"):
        if value := os.environ.get(name):
            return Path(value) / "pbx-root"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voicebridge" / "pbx-root"


def locate() -> Install | None:
    """What is there already. Raises Unavailable where PBX_ROOT names something else."""
    if value := os.environ.get("PBX_ROOT"):
        root = Path(value).resolve()
        if not _has_asterisk(root):
            raise Unavailable(f"PBX_ROOT={value} holds no usr/sbin/asterisk")
        return _usable(Install(root, f"PBX_ROOT={root}"))
    if found := shutil.which("asterisk", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"):
        return Install(None, found)
    root = cached_root()
    if _has_asterisk(root) and _recipe(root) == RECIPE:
        return _usable(Install(root, str(root)))
    return None


def provide(progress: Progress = lambda text: None) -> Install:
    """An Asterisk and SIPp, fetched where they are missing. Raises Unavailable."""
    _need_tool("sipp", progress)
    return locate() or _make_cached(progress)


def _has_asterisk(root: Path) -> bool:
    return (root / "usr/sbin/asterisk").is_file()


def _recipe(root: Path) -> str:
    mark = root / MARK
    return mark.read_text().strip() if mark.is_file() else ""


def _usable(found: Install) -> Install:
    if os.geteuid() != 0:
        raise Unavailable(f"{found.source} is run in a chroot, which takes root; install asterisk, or run as root")
    return found


def _make_cached(progress: Progress) -> Install:
    if os.geteuid() != 0:
        raise Unavailable("no asterisk on the PATH, and fetching one takes root: install asterisk, or set PBX_ROOT")
    _need_tool("debootstrap", progress)
    root = cached_root()
    root.parent.mkdir(parents=True, exist_ok=True)
    with _locked(root.with_name("pbx-root.lock"), progress):
        if found := locate():  # somebody else made it while we waited
            return found
        began = time.monotonic()
        part = root.with_name("pbx-root.part")
        _remove(part)
        _build(part, progress)
        _remove(root)
        part.rename(root)
        progress(f"Asterisk is ready in {root} ({time.monotonic() - began:.0f} s)")
    return Install(root, str(root))


def _build(part: Path, progress: Progress) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        progress(f"downloading Debian {SUITE} with {', '.join(PACKAGES)} (about 120 MB)")
        log = _download(part)
        if log is None:
            break
        progress(f"debootstrap failed ({attempt} of {ATTEMPTS}):\n{log}")
        time.sleep(5 * attempt)
    else:
        raise Unavailable(f"debootstrap failed {ATTEMPTS} times, its log ends with:\n{log}")
    debs = sorted((part / "var/cache/apt/archives").glob("*.deb"))
    progress(f"unpacking {len(debs)} packages")
    _unpack(debs, part)
    shutil.rmtree(part / "var/cache/apt/archives")
    version = _run(["chroot", str(part), "/usr/sbin/asterisk", "-V"])
    progress(version.stdout.strip())
    (part / MARK).write_text(RECIPE + "\n")


def _download(part: Path) -> str | None:
    """None when all packages are there, else the end of debootstrap's log."""
    command = ["debootstrap", "--variant=minbase", "--download-only", f"--include={','.join(PACKAGES)}", SUITE]
    mirror = os.environ.get("PBX_MIRROR")
    done = subprocess.run(
        [*command, str(part), *([mirror] if mirror else [])],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )
    log = part.with_name("pbx-root.log")
    log.write_text(done.stdout)
    if done.returncode == 0 and any((part / "var/cache/apt/archives").glob("asterisk_*.deb")):
        return None
    return "\n".join(done.stdout.splitlines()[-12:])


def _unpack(debs: list[Path], part: Path) -> None:
    """Sid's packages all live below /usr: the links of a merged /usr first, then everything over them."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (part / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (part / name).exists():
            (part / name).symlink_to(f"usr/{name}")
    for deb in debs:
        _run(["dpkg-deb", "-x", str(deb), str(part)])
    (part / "dev").mkdir(exist_ok=True)
    for name, (major, minor) in DEVICES.items():
        try:
            os.mknod(part / "dev" / name, 0o20666, os.makedev(major, minor))
        except PermissionError as error:
            raise Unavailable(f"this container may not make /dev/{name}: set PBX_ROOT, or install asterisk") from error


def _need_tool(program: str, progress: Progress) -> None:
    if shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"):
        return
    packages = TOOLS[program]
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(f"{program} is not installed and cannot be by us: install the package {packages[0]}")
    progress(f"installing {', '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    wait = ["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]
    with suppress(Unavailable):  # one source of many may be down; whether it matters shows in the next step
        _run(["apt-get", *wait, "update", "-q"], env=env)
    _run(["apt-get", *wait, "install", "-qy", "--no-install-recommends", *packages], env=env)


def _run(command: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=env)
    except OSError as error:
        raise Unavailable(f"{command[0]} cannot be run: {error.strerror}") from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-12:])
        raise Unavailable(f"{' '.join(command)} failed:\n{tail}")
    return done


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    """One at a time; the lock goes with the process that holds it."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another run is fetching Asterisk; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch an Asterisk and SIPp for the tests.")
    parser.add_argument("--check", action="store_true", help="change nothing, only say what is there")
    wanted = parser.parse_args()
    try:
        found = locate() if wanted.check else provide(lambda text: print(f"pbx: {text}", flush=True))
    except Unavailable as reason:
        print(f"pbx: {reason}", file=sys.stderr)
        return 1
    print(f"pbx: Asterisk: {found.source if found else 'none'}; SIPp: {shutil.which('sipp') or 'none'}")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
