"""SHA256SUMS, as `sha256sum` writes and checks it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

SUMS: Final = "SHA256SUMS"


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write(folder: Path) -> None:
    """Of all files of the models in `folder`, beside them."""
    models = sorted(path for path in folder.glob("*-tiny-*/**/*") if path.is_file())
    lines = [f"{digest(path)}  ./{path.relative_to(folder).as_posix()}\n" for path in models]
    (folder / SUMS).write_text("".join(lines))


def read(folder: Path) -> dict[str, str]:
    """File by file (relative to `folder`) its digest."""
    lines = (folder / SUMS).read_text().splitlines()
    return {name.removeprefix("./"): value for value, name in (line.split("  ", 1) for line in lines)}
