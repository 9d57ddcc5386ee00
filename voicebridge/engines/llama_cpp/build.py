"""llama-cpp-python, compiled once on this machine and kept: it comes as source only, some minutes on two cores.

    python -m voicebridge.engines.llama_cpp.build            # compile unless that has been done, and install
    python -m voicebridge.engines.llama_cpp.build --check    # say whether it is installed

A build for "this processor" is not to be had: what the compiler was told of one (AMX instructions) crashed on another.
So it is told what to use: on x86 what every processor since 2013 has. The wheel lies in voicebridge's cache and knows
its version and architecture by its name; it works with every Python, as the library is called through ctypes.
"""

from __future__ import annotations

import argparse
import fcntl
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from voicebridge.config import cache_dir

VERSION = "0.3.36"
LIBRARIES = ("llama_cpp", "aiohttp", "jinja2")
"""What the worker imports beyond what voicebridge itself needs."""
UNUSED = ("LLAVA_BUILD", "LLAMA_CURL", *(f"LLAMA_BUILD_{part}" for part in ("TESTS", "EXAMPLES", "TOOLS", "SERVER")))
X86 = ("x86_64", "amd64", "i686")
EXTENSIONS = {"AVX": "avx", "AVX2": "avx2", "FMA": "fma", "F16C": "f16c", "BMI2": "bmi2"}
"""ggml's name and the kernel's (/proc/cpuinfo) of what the code may use on x86."""
EXTRA = re.compile(r"""extra\s*==\s*["']llama["']""")
STEP = re.compile(r"\[(\d+)/(\d+)\] ")
TELL_EVERY_S = 15.0
SHOWN_LINES = 40
NO_COMPILER = "there is no C++ compiler: sudo apt install g++"

Tell = Callable[[str], None]


class BuildFailed(Exception):
    """There is no llama-cpp-python here; the text says why, and what would help."""


def cmake_arguments(machine: str, cpuinfo: str) -> str:
    """What to compile, for `machine` (platform.machine()) with the features that `cpuinfo` lists."""
    wanted = {"GGML_NATIVE": False, **dict.fromkeys(UNUSED, False)}
    if machine.lower() in X86:
        features = set(cpuinfo.split())
        wanted |= {f"GGML_{ours}": name in features for ours, name in EXTENSIONS.items()}
    return " ".join(f"-D{name}={'ON' if on else 'OFF'}" for name, on in wanted.items())


def kept_wheel(folder: Path, version: str, machine: str) -> Path | None:
    """The wheel that has been built for this kind of machine."""
    found = sorted(folder.glob(f"llama_cpp_python-{version}-*_{machine}.whl"))
    return found[-1] if found else None


def ensure_compiler(tell: Tell) -> None:
    """cmake and ninja come with the build, the compiler does not. Raises BuildFailed."""
    if shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++"):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BuildFailed(NO_COMPILER)
    tell("there is no C++ compiler: installing g++")
    for command in (("apt-get", "update", "-q"), ("apt-get", "install", "-yq", "--no-install-recommends", "g++")):
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            raise BuildFailed(f"{' '.join(command)} failed; {NO_COMPILER}")


def build(folder: Path, version: str, tell: Tell) -> Path:
    """Compile the wheel into `folder`. Raises BuildFailed with the compiler's last lines."""
    ensure_compiler(tell)
    info = Path("/proc/cpuinfo")
    arguments = cmake_arguments(platform.machine(), info.read_text(encoding="utf-8") if info.exists() else "")
    tell(f"compiling llama-cpp-python {version}: some minutes, once")
    with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as made:
        command = (
            *(sys.executable, "-m", "pip", "wheel", "-v", "--disable-pip-version-check", "--no-deps"),
            *("--no-binary", "llama-cpp-python", "--no-cache-dir", "-w", made, f"llama-cpp-python=={version}"),
        )
        began = time.monotonic()
        _run(command, {"CMAKE_ARGS": arguments}, tell)
        (wheel,) = Path(made).glob("*.whl")
        kept = folder / wheel.name
        wheel.replace(kept)
    tell(f"compiled in {time.monotonic() - began:.0f} s, kept as {kept}")
    return kept


def _run(command: Sequence[str], env: Mapping[str, str], tell: Tell) -> None:
    """Tells how far the compiler is. Raises BuildFailed."""
    began = told = time.monotonic()
    last: deque[str] = deque(maxlen=SHOWN_LINES)
    with subprocess.Popen(
        ("nice", "-n", "10", *command),
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last.append(line.rstrip()[:300])
            if (step := STEP.search(line)) and time.monotonic() - told >= TELL_EVERY_S:
                told = time.monotonic()
                tell(f"compiled {step[1]} of {step[2]} files, {told - began:.0f} s")
    if process.returncode:
        raise BuildFailed("\n".join((*last, f"it does not compile (status {process.returncode}), see above")))


def companions() -> list[str]:
    """What else the extra `llama` asks for, as pip takes it."""
    try:
        asked = importlib.metadata.requires("voicebridge-pbx") or []
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        asked = []
    own = [line.partition(";")[0].strip() for line in asked if EXTRA.search(line)]
    return [line for line in own if not line.startswith("llama")]


def install(wheel: Path) -> None:
    """Into this Python's environment, with what it needs. Raises BuildFailed."""
    command = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel), *companions())
    if subprocess.run(command, check=False).returncode:
        raise BuildFailed(f"{wheel} cannot be installed, see above; if it is broken delete it")


def missing() -> list[str]:
    """Which libraries of the worker this Python does not find."""
    importlib.invalidate_caches()
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is None]


def trouble() -> str:
    """"" where the libraries load, else why not; in a process of its own, which a bad build would crash."""
    if lacking := missing():
        return f"not installed: {', '.join(lacking)}"
    tried = subprocess.run(
        (sys.executable, "-c", f"import {', '.join(LIBRARIES)}"), capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        return ""
    why = tried.stderr.strip().splitlines()[-1:] or [f"status {tried.returncode}"]
    cure = "; sudo apt install libgomp1" if "libgomp" in why[0] else ""
    return f"does not load: {why[0]}{cure}"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One build at a time; who comes second finds the first one's wheel."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "llama_cpp_python.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m voicebridge.engines.llama_cpp.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether it is installed")
    asked = parser.parse_args(arguments)
    found = trouble()
    if asked.check or not found:
        _tell(found or "installed, and it loads")
        return 1 if found else 0
    folder = cache_dir() / "wheels"
    try:
        with _alone(folder):
            wheel = kept_wheel(folder, VERSION, platform.machine()) or build(folder, VERSION, _tell)
            install(wheel)
        found = trouble()
    except BuildFailed as error:
        found = str(error)
    if found:
        print(f"llama-cpp-python: {found}", file=sys.stderr)
        return 1
    _tell(f"installed from {wheel}")
    return 0


def _tell(text: str) -> None:
    print(f"llama-cpp-python: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
