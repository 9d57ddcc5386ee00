"""Vosk in a worker process: hears while the caller speaks, in any language there is a model for, on a CPU.

Options (`[engines.options.vosk]`): `model`, a name of the catalogue or a folder, with `language` where the name does
not tell it; or `models = { en = "...", de = "..." }`, one a language. `threads` (default: one a core) decode for all
calls; a language's model is loaded once. `lazy`: not before the first caller who needs it. `phrases_margin`: how much
better all words have to fit than what was asked for, to be believed (vosk_listener.py). And `nice`, `run_dir`.

Measured with vosk 0.3.45:
- `Model()` and the recogniser of a folder whose files are missing or cut say only that they failed, the reason goes to
  stderr if at all: the files are looked at before, in our process.
- a grammar holds only words that the model knows, and works only with models whose graph is made at run time
  (HCLr.fst, Gr.fst); with others, and with those that have no [unk], the phrases are ignored.
"""

from __future__ import annotations

import json
import os
import re
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from voicebridge.config import ConfigError, cache_dir
from voicebridge.engines.local import LocalHost
from voicebridge.engines.stt_worker import Listener
from voicebridge.engines.vosk_listener import MARGIN, UNKNOWN, VoskListener
from voicebridge.engines.wyoming_stt import WyomingStt
from voicebridge.modelstore.catalogue import catalogue
from voicebridge.modelstore.resolve import resolve

DEFAULT_MODEL = "vosk-small-en"
LANGUAGE_IN_NAME = re.compile(r"vosk(?:-model)?(?:-small|-large|-tiny|-big)?-([a-z]{2,3})(?![a-z])")
START_TIMEOUT_S = 180.0
"""A large model has 2 GB to be read from a disk."""
FST_MAGIC = struct.pack("<i", 2125659606)


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = ""
    language: str = ""
    models: dict[str, str] = Field(default_factory=dict)
    threads: int = Field(default=0, ge=0, le=256)
    lazy: bool = False
    phrases_margin: float = Field(default=MARGIN, ge=0)
    nice: int = Field(default=10, ge=0, le=19)
    run_dir: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> Options:
        if self.models and (self.model or self.language):
            raise ValueError("either `model` (and `language`) or `models`, not both")
        return self


@dataclass(frozen=True, slots=True)
class Folder:
    """A model's files. `rate` in Hz; `dynamic`: takes grammars."""

    path: Path
    rate: int
    dynamic: bool


class VoskPlugin:
    name = "vosk"
    kind: Literal["stt"] = "stt"
    requires = ("vosk",)
    extra = "vosk"
    default_model = DEFAULT_MODEL

    def create(self, options: Mapping[str, Any]) -> WyomingStt:
        """Raises ConfigError: an option is wrong, a model is not there or is none."""
        asked = _checked(options)
        models = _models(asked)
        for path in models.values():
            look_at(path)
        passed: dict[str, Any] = {
            "models": {language: str(path) for language, path in models.items()},
            "threads": asked.threads, "lazy": asked.lazy, "nice": asked.nice, "phrases_margin": asked.phrases_margin,
        }  # fmt: skip
        if asked.run_dir:
            passed["run_dir"] = asked.run_dir
        host = LocalHost(self.name, f"{__name__}:ENGINE", passed, env={}, start_timeout_s=START_TIMEOUT_S)
        return WyomingStt(self.name, host, streaming=True)

    def worker(self, options: Mapping[str, Any]) -> VoskWorker:
        folders = {language: look_at(Path(path)) for language, path in options["models"].items()}
        cores = len(os.sched_getaffinity(0))
        threads, margin = int(options.get("threads") or cores), float(options.get("phrases_margin", MARGIN))
        return VoskWorker(folders, threads, lazy=bool(options.get("lazy")), margin=margin)


@dataclass(frozen=True)
class VoskWorker:
    """The worker's side: see worker.SpeechWorker. One set of models for all threads."""

    folders: Mapping[str, Folder]
    threads: int
    lazy: bool = False
    margin: float = MARGIN
    name: str = "vosk"
    kind: Literal["stt"] = "stt"
    streaming: bool = True
    _opened: list[VoskModels] = field(default_factory=list)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.folders)

    def open(self) -> VoskModels:
        """Called by one thread after the other."""
        if not self._opened:
            models = VoskModels(self.folders, self.margin)
            for language in () if self.lazy else self.folders:
                models.warm_up(language)
            self._opened.append(models)
        return self._opened[0]


class VoskModels:
    """See stt_worker.StreamingModel."""

    def __init__(self, folders: Mapping[str, Folder], margin: float = MARGIN) -> None:
        import vosk

        vosk.SetLogLevel(-1)
        self._vosk = vosk
        self._folders = folders
        self._margin = margin
        self._loaded: dict[Path, Any] = {}
        self._loading = threading.Lock()

    def warm_up(self, language: str) -> None:
        listener = self.listener(8000, language, ())
        listener.feed(bytes(8000))
        while listener.advance(ending=True):
            pass

    def listener(self, rate: int, language: str, phrases: Sequence[str]) -> Listener:
        folder = self._folder(language)
        model = self._model(folder)
        known = known_phrases(model, phrases) if folder.dynamic else ()

        def make(phrases: Sequence[str], alternatives: int) -> Any:
            grammar = [json.dumps([*phrases, UNKNOWN])] if phrases else []
            recogniser = self._vosk.KaldiRecognizer(model, float(folder.rate), *grammar)
            recogniser.SetWords(True)
            recogniser.SetMaxAlternatives(alternatives)
            return recogniser

        return VoskListener(make, known, rate, folder.rate, self._margin)

    def _folder(self, language: str) -> Folder:
        """Of the language, "en-GB" as "en" and "en" as "en-GB"; without one the first."""
        tag = language.lower().replace("_", "-")
        base = tag.split("-")[0]
        for name, folder in self._folders.items():
            if not tag or name == tag:
                return folder
        for name, folder in self._folders.items():
            if name.split("-")[0] == base:
                return folder
        raise ValueError(f"vosk has no model for {language!r}; there are: {', '.join(self._folders)} (option `models`)")

    def _model(self, folder: Folder) -> Any:
        with self._loading:
            if folder.path not in self._loaded:
                try:
                    self._loaded[folder.path] = self._vosk.Model(str(folder.path))
                except Exception as error:  # Vosk raises nothing narrower
                    told = f"vosk cannot load {folder.path}: a file is damaged; fetch it anew: voicebridge models fetch"
                    raise RuntimeError(told) from error
            return self._loaded[folder.path]


def known_phrases(model: Any, phrases: Sequence[str]) -> tuple[str, ...]:
    """Those whose every word the model knows (for others it only warns); none where it has no word for the rest."""
    if not phrases or model.vosk_model_find_word(UNKNOWN) < 0:
        return ()
    lowered = dict.fromkeys(" ".join(phrase.lower().split()) for phrase in phrases)
    words = {word for phrase in lowered for word in phrase.split()}
    # "<eps>", "#0", "!SIL" and the like are signs of the graph; "<eps>" (number 0) in a grammar ends the process.
    said = {word for word in words if word[0] not in "<#!["}
    known = {word for word in said if model.vosk_model_find_word(word) > 0}
    return tuple(phrase for phrase in lowered if phrase and known.issuperset(phrase.split()))


def look_at(path: Path) -> Folder:
    """The model in a folder. Raises ConfigError where its files are not what Vosk can load."""
    if not path.is_dir():
        raise ConfigError(f"engine vosk: {path} is no folder; a Vosk model is one: voicebridge models ls --kind stt")
    new = (path / "am/final.mdl").exists()
    acoustic, conf, graph = (path / place if new else path for place in ("am", "conf", "graph"))
    dynamic = (graph / "HCLr.fst").exists() and not (graph / "HCLG.fst").exists()
    graphs = ("HCLr.fst", "Gr.fst") if dynamic else ("HCLG.fst",)
    needed = [acoustic / "final.mdl", conf / "mfcc.conf", *(graph / fst for fst in graphs)]
    needed += [conf / "model.conf"] if new else []
    needed += [graph / "words.txt"] if dynamic else []
    missing = [file.relative_to(path) for file in needed if not file.is_file() or file.stat().st_size == 0]
    if dynamic and not (graph / "disambig_tid.int").is_file():  # may be empty
        missing.append((graph / "disambig_tid.int").relative_to(path))
    if missing:
        raise ConfigError(
            f"engine vosk: {path} is no whole Vosk model: {', '.join(map(str, missing))} missing or empty; "
            "give the folder that holds am/, conf/ and graph/, or fetch one: voicebridge models fetch NAME"
        )
    broken = [acoustic / "final.mdl"] if not _starts(acoustic / "final.mdl", b"\x00B<TransitionModel>") else []
    broken += [graph / fst for fst in graphs if not _starts(graph / fst, FST_MAGIC)]
    if broken:
        names = ", ".join(str(file.relative_to(path)) for file in broken)
        raise ConfigError(f"engine vosk: {path}: {names} damaged; fetch the model anew: voicebridge models fetch NAME")
    return Folder(path, _sample_rate(conf / "mfcc.conf"), dynamic)


def _starts(file: Path, magic: bytes) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(magic)) == magic


def _sample_rate(mfcc: Path) -> int:
    """Kaldi's default is 16 kHz."""
    found = re.search(r"^\s*--sample-frequency\s*=\s*(\d+)", mfcc.read_text("utf-8", "replace"), re.MULTILINE)
    rate = int(found[1]) if found else 16_000
    if rate not in (8_000, 11_025, 16_000, 22_050, 44_100, 48_000):
        raise ConfigError(f"engine vosk: {mfcc}: --sample-frequency={rate} is no rate of speech")
    return rate


def _checked(options: Mapping[str, Any]) -> Options:
    try:
        return Options.model_validate(dict(options))
    except ValidationError as error:
        told = (f"{'.'.join(map(str, e['loc'])) or 'options'}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"engine vosk: {'; '.join(told)}") from None


def _models(asked: Options) -> dict[str, Path]:
    """One folder a language tag."""
    cache = cache_dir()
    if asked.models:
        return {
            language.lower().replace("_", "-"): resolve("vosk", wanted, "", cache, kind="stt")
            for language, wanted in asked.models.items()
        }
    path = resolve("vosk", asked.model, DEFAULT_MODEL, cache, kind="stt")
    return {asked.language.lower().replace("_", "-") or _language(asked.model or DEFAULT_MODEL, path): path}


def _language(wanted: str, path: Path) -> str:
    """Of the catalogue, else by the folder's name; English where neither tells."""
    known = next((model.languages for model in catalogue() if model.name == wanted), ())
    named = LANGUAGE_IN_NAME.search(path.name.lower())
    return known[0] if known else named[1] if named else "en"


ENGINE = VoskPlugin()
