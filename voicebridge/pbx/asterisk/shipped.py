"""The dialplan files that come with the package: reading them, installing them, and what they define."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

MAIN = "voicebridge.conf"
"""The one that every installation includes; the others stand beside it."""

Change = Literal["new", "changed", "unchanged"]


class InstallError(Exception):
    """A file could not be read or written; the text names it and the cure."""


@dataclass(frozen=True, slots=True)
class Step:
    """One file as it is after an installation. `backup` is where the old one was kept, "" where there was none."""

    file: str
    change: Change
    what: str
    backup: str = ""


def files() -> dict[str, str]:
    """Name and text of each, the main one first."""
    folder = resources.files("voicebridge") / "data" / "dialplan" / "asterisk"
    found = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir() if file.name.endswith(".conf")}
    return {name: found[name] for name in sorted(found, key=lambda name: (name != MAIN, name))}


def extensions(text: str) -> dict[str, dict[str, list[str]]]:
    """Context -> extension -> its applications in order, as `dialplan show` writes them."""
    made: dict[str, dict[str, list[str]]] = {}
    here: dict[str, list[str]] = {}
    exten = ""
    for raw in text.splitlines():
        line = re.sub(r"(?<!\\);.*", "", raw).strip()
        if head := re.fullmatch(r"\[([\w-]+)\]", line):
            here = made.setdefault(head[1], {})
        elif first := re.fullmatch(r"exten\s*=>?\s*([^,]+),([^,]+),(.*)", line):
            exten = first[1]
            here.setdefault(exten, []).append(first[3])
        elif following := re.fullmatch(r"same\s*=>?\s*([^,]+),(.*)", line):
            here[exten].append(following[2])
    return made


# ---- installing


def is_freepbx(folder: Path) -> bool:
    """FreePBX writes extensions.conf anew; extensions_custom.conf is the administrator's."""
    return (folder / "extensions_additional.conf").exists()


def includer(folder: Path) -> Path:
    """The file that must include ours."""
    return folder / ("extensions_custom.conf" if is_freepbx(folder) else "extensions.conf")


def install(folder: Path, *, dry_run: bool) -> Iterator[Step]:
    """Copy our files and include them; nothing is touched that is as it should be. Raises InstallError."""
    owner = includer(folder)
    if not folder.is_dir() or not (owner.exists() or is_freepbx(folder)):
        raise InstallError(f"{owner} is not there: name the folder of Asterisk's configuration with --to")
    try:
        for name, text in files().items():
            yield _put(folder / name, text, like=owner, dry_run=dry_run)
        yield _include(owner, dry_run=dry_run)
    except PermissionError as error:
        raise InstallError(f"{error.filename or folder}: no permission: run it as root (sudo)") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InstallError(f"{folder}: {error}") from error


def _put(path: Path, text: str, *, like: Path, dry_run: bool) -> Step:
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") == text:
        return Step(str(path), "unchanged", "is what this version ships")
    change: Change = "changed" if path.exists() else "new"
    if dry_run:
        return Step(str(path), change, "would be written")
    backup = _backup(path)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    _own(part, like)
    part.replace(path)
    return Step(str(path), change, "written", backup)


def _include(owner: Path, *, dry_run: bool) -> Step:
    before = owner.read_text(encoding="utf-8", errors="surrogateescape") if owner.exists() else ""
    missing = [name for name in files() if not includes(before, name)]
    if not missing:
        return Step(str(owner), "unchanged", "includes them")
    lines = "".join(f'#include "{name}"\n' for name in missing)
    change: Change = "changed" if before else "new"
    if dry_run:
        return Step(str(owner), change, f"would get: {' '.join(lines.split(chr(10))).strip()}")
    backup = _backup(owner)
    with owner.open("a", encoding="utf-8", errors="surrogateescape") as file:  # its owner, mode and links stay
        file.write(("" if not before or before.endswith("\n") else "\n") + lines)
    return Step(str(owner), change, f"got: {' '.join(lines.split(chr(10))).strip()}", backup)


def includes(text: str, name: str) -> bool:
    """Whether an extensions.conf includes a file, in any way of writing it."""
    wanted = rf'^\s*#(?:try)?include\s+["<]?(?:[^">\s]*/)?{re.escape(name)}[">]?\s*(?:;.*)?$'
    return re.search(wanted, text, re.MULTILINE) is not None


def _backup(path: Path) -> str:
    """Where the file as it was has been copied to; "" where there is none."""
    if not path.exists():
        return ""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    for number in range(100):
        copy = path.with_name(f"{path.name}.{stamp}{f'-{number}' if number else ''}.bak")
        if not copy.exists():
            shutil.copy2(path, copy)
            return str(copy)
    raise InstallError(f"{path}: no name left for a backup")


def _own(path: Path, like: Path) -> None:
    """Asterisk must be able to read it: mode and owner of what it reads already."""
    if not like.exists():
        path.chmod(0o644)
        return
    known = like.stat()
    path.chmod(known.st_mode & 0o777)
    with contextlib.suppress(PermissionError):  # without root: whoever installs owns it
        os.chown(path, known.st_uid, known.st_gid)


def differences(loaded: Mapping[str, list[str]], wanted: Mapping[str, list[str]]) -> list[str]:
    """In which extensions a context that is loaded is not the one that is shipped."""
    return sorted(exten for exten in {*loaded, *wanted} if loaded.get(exten) != wanted.get(exten))
