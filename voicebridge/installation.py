"""How voicebridge was installed, and so the command that adds one of its extras."""

from __future__ import annotations

import json
import shlex
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

OURS = "voicebridge-pbx"
BUILD = "voicebridge.engines.llama_cpp.build"
SOURCES = ("setup.cfg", "voicebridge")
"""What lies in a checkout."""


def cure(extra: str) -> str:
    """The command for a shell that installs what the extra brings, into this Python's environment.

    Of a checkout by its path: whoever takes our name in a package index must not be installed for us. "llama" has a
    command of its own, which compiles once and tells how far it is.
    """
    python = shlex.quote(sys.executable)
    if extra == "llama":
        return f"{python} -m {BUILD}"
    folder, editable = source()
    if folder is None:
        return f"{python} -m pip install '{OURS}[{extra}]'"
    return f"cd {shlex.quote(str(folder))} && {python} -m pip install {'-e ' if editable else ''}'.[{extra}]'"


@cache
def source() -> tuple[Path | None, bool]:
    """The folder that voicebridge was installed from and whether it runs from there; None for an index or a wheel.

    pip writes it down (direct_url.json, PEP 610); where it did not, our modules may lie in a checkout.
    """
    for distribution in metadata.distributions(name=OURS):
        folder, editable = _written(distribution.read_text("direct_url.json"))
        if folder is not None and _is_checkout(folder):
            return folder, editable
    here = Path(__file__).parents[1]
    return (here, True) if _is_checkout(here) else (None, False)


def _written(direct_url: str | None) -> tuple[Path | None, bool]:
    try:
        told = json.loads(direct_url or "{}")
        about, url = told.get("dir_info"), urlsplit(told.get("url", ""))
    except (AttributeError, ValueError):
        return None, False
    if not isinstance(about, dict) or url.scheme != "file":
        return None, False
    return Path(url2pathname(url.path)), about.get("editable") is True


def _is_checkout(folder: Path) -> bool:
    return all((folder / name).exists() for name in SOURCES)
