"""What was fetched and when it was first seen: `fetched.json` beside a model. It is what `verify` compares with.

Where a publisher tells no checksum, the first download is believed (trust on first use) and this record pins it: what
is fetched later has to be the same, until the model is removed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from voicebridge.modelstore.catalogue import Model, sha256_of

NAME = "fetched.json"
State = Literal["ok", "missing", "damaged", "unchecked"]
"""`unchecked`: it is there, but nothing tells what it should be."""


class Record(BaseModel):
    """`downloads`: URL -> SHA-256. `files`: path below the model's folder -> SHA-256. `pinned`: what no checksum of the
    publisher's vouches for, by URL (or by name, where a mirror had the finished files)."""

    model_config = ConfigDict(frozen=True)

    downloads: dict[str, str] = {}
    files: dict[str, str] = {}
    pinned: tuple[str, ...] = ()


def read(model: Model, cache: Path) -> Record | None:
    """None where there is none, or none that can be read."""
    try:
        return Record.model_validate_json((model.home(cache) / NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def write(home: Path, record: Record) -> None:
    part = home / (NAME + ".part")
    part.write_text(json.dumps(record.model_dump(), indent=1) + "\n", encoding="utf-8")
    part.replace(home / NAME)


def files_of(model: Model, home: Path) -> dict[str, str]:
    """Every file of the model in `home`, with its SHA-256."""
    names = [model.file, *(each.download_name for each in model.beside)]
    found: list[Path] = []
    for path in (home / name for name in names):
        found += sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    return {str(path.relative_to(home)): sha256_of(path) for path in found}


def verify(model: Model, cache: Path) -> State:
    """Reads every file. The catalogue's checksum beats the record's."""
    path = model.path(cache)
    if path is None or not path.exists():
        return "missing"
    kept = read(model, cache) if not model.module else None
    wanted = dict(kept.files) if kept else {}
    home = path.parent if model.module else model.home(cache)
    own = model.file if not model.module else path.name
    if model.sha256:
        wanted[own] = model.sha256
    names = [own] if not model.is_folder else []
    names += [each.download_name for each in model.beside]
    if any(not (home / name).is_file() for name in [*names, *wanted]):
        return "damaged"
    if any(sha256_of(home / name) != digest for name, digest in wanted.items()):
        return "damaged"
    covered = all(name in wanted for name in names) and bool(wanted)
    return "ok" if covered else "unchecked"
