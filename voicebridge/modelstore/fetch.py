"""Fetching models: several sources an entry, checked, and put in place in one step; and removing them."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx

from voicebridge.installation import cure
from voicebridge.modelstore import archive, record, structure
from voicebridge.modelstore.catalogue import Download, Model, Source, sha256_of
from voicebridge.modelstore.convert import minilm_gguf
from voicebridge.modelstore.download import FetchError, Got, Progress, asked, in_words, mirror_folder, obtain
from voicebridge.modelstore.record import Record

__all__ = ["FetchError", "Progress", "fetch", "remove"]

_BLOCK = 1 << 18
LOCK = ".lock"


def fetch(model: Model, cache: Path, progress: Progress = lambda done, total: None, *, mirror: str = "") -> Path:
    """Have the model in the cache, checked; does nothing where it is whole already.

    `mirror`: a folder (also as `file://`) or a web address that holds the downloads or the finished files under their
    own names; nothing else is asked then. Two processes may ask for the same model: the second waits for the first.
    Raises FetchError.
    """
    target = model.path(cache)
    if model.module:
        if target is None or record.verify(model, cache) != "ok":
            raise FetchError(f"{model.name} lies inside a package: {cure('embedded')}")
        return target
    assert target is not None
    home = model.home(cache)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _only_one(home / LOCK):
            if record.verify(model, cache) == "ok":
                return target
            _Fetching(model, home, record.read(model, cache) or Record(), progress, mirror).run()
    except OSError as error:
        raise FetchError(f"{model.name}: {home}: {error.strerror or error}") from error
    return target


def remove(model: Model, cache: Path) -> bool:
    """Delete all that was fetched of it, what broke off and what was pinned too; False where there was nothing."""
    home = model.home(cache)
    if model.module or not home.is_dir() or all(file.name == LOCK for file in home.iterdir()):
        return False
    with _only_one(home / LOCK):
        shutil.rmtree(home)
    return True


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


class _Fetching:
    """One model being fetched, its folder locked. `known` is what was fetched before."""

    def __init__(self, model: Model, home: Path, known: Record, progress: Progress, mirror: str) -> None:
        self.model, self.home, self.known, self.mirror = model, home, known, mirror
        self._progress = progress
        self._before = 0
        self._pins = {url: known.downloads[url] for url in known.pinned if url in known.downloads}

    def run(self) -> None:
        failures = []
        if self._finished_in_mirror():
            return
        for source in self.model.source:
            try:
                self._from(source)
            except (FetchError, archive.BadArchive, structure.NoModel) as error:
                failures.append(f"  {asked(source, self.mirror)}: {error}")
            except (httpx.HTTPError, zipfile.BadZipFile, zlib.error, KeyError, ValueError) as error:
                failures.append(f"  {asked(source, self.mirror)}: {in_words(error)}")
            else:
                return
        raise FetchError(self._told(failures))

    def _told(self, failures: list[str]) -> str:
        model = self.model
        tried = "\n".join(failures) or "  no sources"
        beside = "".join(f" and {each.download_name}" for each in model.beside)
        names = dict.fromkeys([*(source.download_name for source in model.source), model.file])
        needed = f"{' or '.join(names)}{beside}"
        told = f"{model.name} could not be fetched. Tried:\n{tried}\n"
        if self.mirror:
            return f"{told}The mirror {self.mirror} has to hold {needed}"
        cure = f"voicebridge models fetch {model.name} --from FOLDER"
        return f"{told}On a machine without access, put {needed} into a folder and run: {cure}"

    def _from(self, source: Source) -> None:
        growth = 0 if source.plain else archive.GROWTH * source.size if source.unpack else self.model.size
        self._before = 0
        got = [self._obtain(source, growth), *(self._obtain(each, 0) for each in self.model.beside)]
        wanted = [source, *self.model.beside]
        pinned = [file.url for file, each in zip(got, wanted, strict=True) if not each.checked]
        try:
            with tempfile.TemporaryDirectory(dir=self.home, prefix=".unpack-") as scratch:
                made = Path(scratch)
                self._make(source, got[0], made)
                for file, each in zip(got[1:], self.model.beside, strict=True):
                    _take(file, made / each.download_name)
                self._place(made, {file.url: file.sha256 for file in got}, pinned)
        finally:  # what is of no use now is of none later either
            for file in got:
                if file.ours:
                    file.path.unlink(missing_ok=True)

    def _obtain(self, wanted: Download, growth: int) -> Got:
        before = self._before

        def shown(done: int, total: int) -> None:
            self._progress(before + done, max(self.model.download_size, before + total))

        pinned = self._pins.get(wanted.label, "")
        got = obtain(wanted, self.home, shown, mirror=self.mirror, pinned=pinned, unpacked=growth)
        self._before += got.path.stat().st_size
        return got

    def _make(self, source: Source, got: Got, made: Path) -> None:
        """The model's file or folder from the download."""
        target = made / self.model.file
        if source.convert == "minilm_gguf":
            target.write_bytes(_converted(source, got.path))
        elif source.member:
            with zipfile.ZipFile(got.path) as packed, packed.open(source.member) as inside, target.open("wb") as sink:
                shutil.copyfileobj(inside, sink, _BLOCK)
        elif source.unpack:
            inside_folder = made / ".inside"
            inside_folder.mkdir()
            archive.unpack(got.path, inside_folder, archive.limit_for(got.path.stat().st_size)).rename(target)
            inside_folder.rmdir()
        else:
            _take(got, target)

    def _finished_in_mirror(self) -> bool:
        """The mirror's folder holds the model as it is kept, unpacked or converted."""
        folder = mirror_folder(self.mirror)
        names = [self.model.file, *(each.download_name for each in self.model.beside)]
        if folder is None or not all((folder / name).exists() for name in names):
            return False
        with tempfile.TemporaryDirectory(dir=self.home, prefix=".unpack-") as scratch:
            for name in names:
                _copy(folder / name, Path(scratch) / name)
            if self.known.pinned and self.known.files != record.files_of(self.model, Path(scratch)):
                told = f"{self.model.name} in {folder} is not what was pinned when it was first fetched; to take it all"
                raise FetchError(f"{told} the same: voicebridge models rm {self.model.name}, then fetch")
            try:
                self._place(Path(scratch), self.known.downloads, [] if self.model.sha256 else [self.model.file])
            except structure.NoModel as error:
                raise FetchError(f"{self.model.name} in {folder}: {error}") from error
        return True

    def _place(self, made: Path, downloads: dict[str, str], pinned: list[str]) -> None:
        """Check what was made, and rename it into place, what belongs to it first."""
        model, target = self.model, made / self.model.file
        if model.sha256 and (found := sha256_of(target)) != model.sha256:
            told = f"{model.file} has SHA-256 {found}, expected {model.sha256}"
            raise FetchError(f"{told}: damaged or not the same release")
        for name in (*(each.download_name for each in model.beside), model.file):
            if not model.sha256 or name != model.file:
                structure.check(made / name)
        files = record.files_of(model, made)
        for name in (*(each.download_name for each in model.beside), model.file):
            _replace(made / name, self.home / name)
        record.write(self.home, Record(downloads=downloads, files=files, pinned=tuple(pinned)))


def _replace(new: Path, old: Path) -> None:
    """Rename over what is there; a folder has to be put aside for that, below the scratch folder that goes away."""
    if old.is_dir() and not old.is_symlink():
        old.rename(new.parent / ".replaced")
    new.replace(old)


def _take(got: Got, target: Path) -> None:
    """Moved where it is ours, so that a big file is not written twice."""
    if got.ours:
        got.path.rename(target)
    else:
        shutil.copyfile(got.path, target)


def _copy(source: Path, target: Path) -> None:
    """No links are followed out of a folder: whoever made it may have meant no good."""
    if not source.is_dir():
        shutil.copyfile(source, target)
        return
    if any(path.is_symlink() for path in source.rglob("*")):
        raise FetchError(f"{source} holds symbolic links")
    shutil.copytree(source, target)


def _converted(source: Source, download: Path) -> bytes:
    with zipfile.ZipFile(download) as packed:
        model, config, vocabulary = (packed.read(name) for name in (source.member, *source.also))
    return minilm_gguf(model, config, vocabulary)
