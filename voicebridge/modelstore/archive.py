"""Zip files as folders, from people whom we need not trust: nothing is written outside, and no bomb goes off."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

ENTRIES = 20_000
GROWTH = 4
"""A Vosk model unpacks to 1.7 times its zip; ten times would be something else."""
FLOOR = 64 << 20
_BLOCK = 1 << 18


class BadArchive(Exception):
    """It is not unpacked; the text tells what is wrong with it."""


def unpack(archive: Path, into: Path, limit: int) -> Path:
    """Unpack the archive's one folder below `into` and return it. `limit`: bytes when unpacked.

    Raises BadArchive (nothing is left in `into` that matters: the caller throws it away) and OSError.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = _safe(opened, limit)
            for entry in entries:
                target = into / entry.filename
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as inside, target.open("xb") as sink:
                    shutil.copyfileobj(inside, sink, _BLOCK)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, ValueError) as error:
        raise BadArchive(f"{archive.name} cannot be unpacked: {error}") from error
    except (FileExistsError, NotADirectoryError) as error:
        raise BadArchive(f"{archive.name}: {Path(str(error.filename)).name} is in it twice") from error
    return _only_folder(archive, into)


def limit_for(size: int) -> int:
    """Bytes to which an archive of this size may grow."""
    return max(GROWTH * size, FLOOR)


def _safe(opened: zipfile.ZipFile, limit: int) -> list[zipfile.ZipInfo]:
    entries = opened.infolist()
    if len(entries) > ENTRIES:
        raise BadArchive(f"it has {len(entries)} files")
    if (grown := sum(entry.file_size for entry in entries)) > limit:
        raise BadArchive(f"it would grow to {grown} bytes; {limit} are allowed for its size")
    for entry in entries:
        name, mode = entry.filename, entry.external_attr >> 16
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
            raise BadArchive(f"{name!r} leads outside of the folder")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise BadArchive(f"{name!r} is a link or a device")
        if entry.flag_bits & 1:
            raise BadArchive(f"{name!r} is encrypted")
    return entries


def _only_folder(archive: Path, into: Path) -> Path:
    found = list(into.iterdir())
    if len(found) != 1 or not found[0].is_dir():
        raise BadArchive(f"{archive.name} holds {len(found)} things, one folder was expected")
    return found[0]
