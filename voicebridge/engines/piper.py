"""Piper voices in a worker process: neural speech on a CPU, in any language there is a voice for.

Options (`[engines.options.piper]`): `voice`, a name of the catalogue or a file that ends in .onnx with its .onnx.json
beside it; `voices = { amy = "...", thorsten = "..." }` for several. An agent's `voice` picks one by its name, or a
speaker of it (`amy#3`, `amy#name`); without one its language does. `threads` sentences are computed at the same
time, each on `cores` cores; `keep` voices stay loaded. And `nice`, `run_dir`.

piper-tts is GPL-3: it is imported only inside the worker, behind a process boundary (see NOTICE). Seen with 1.8.0: a
NUL raises, `[[...]]` is taken for phonemes, one lock is held by whoever phonemizes, and memory grows with the square
of a sentence (75 GB were asked for 25,000 phonemes), so that what comes in is cut and cleaned.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from voicebridge.config import ConfigError, cache_dir
from voicebridge.engines.base import Voice
from voicebridge.engines.local import LocalHost
from voicebridge.engines.piper_voice import PiperModel, UnknownSpeaker
from voicebridge.engines.spoken import Spoken, Synthesiser
from voicebridge.engines.wyoming_tts import WyomingTts
from voicebridge.modelstore.resolve import resolve

log = logging.getLogger(__name__)

DEFAULT_VOICE = "en_US-ljspeech-medium"
WARM_UP = "One moment, please."


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    voice: str = ""
    voices: dict[str, str] = Field(default_factory=dict)
    threads: int = Field(default=0, ge=0, le=64)
    cores: int = Field(default=1, ge=1, le=64)
    keep: int = Field(default=4, ge=1, le=100)
    nice: int = Field(default=10, ge=0, le=19)
    run_dir: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> Options:
        if self.voices and self.voice:
            raise ValueError("either `voice` or `voices`, not both")
        if wrong := [name for name in self.voices if "#" in name or not name]:
            raise ValueError(f"{wrong[0]!r} is no name for a voice: what follows a # is the speaker")
        return self


@dataclass(frozen=True, slots=True)
class VoiceFile:
    """A voice on this machine. `language` as its settings have it, with a hyphen: en-us."""

    path: Path
    language: str
    rate: int

    @property
    def identity(self) -> str:
        stat = self.path.stat()
        return f"{self.path.name} {stat.st_size} {int(stat.st_mtime)}"


class PiperPlugin:
    name = "piper"
    kind: Literal["tts"] = "tts"
    requires = ("piper", "onnxruntime")
    extra = "piper"
    default_model = DEFAULT_VOICE

    def create(self, options: Mapping[str, Any]) -> WyomingTts:
        """Raises ConfigError: an option is wrong, a voice is not there or is none."""
        asked = _checked(options)
        voices = _voices(asked)
        passed: dict[str, Any] = {
            "voices": {name: str(voice.path) for name, voice in voices.items()},
            "threads": asked.threads, "cores": asked.cores, "keep": asked.keep, "nice": asked.nice,
        }  # fmt: skip
        if asked.run_dir:
            passed["run_dir"] = asked.run_dir
        host = LocalHost(self.name, f"{__name__}:ENGINE", passed, env={})
        told = ", ".join(f"{name}={voice.identity}" for name, voice in voices.items())
        return WyomingTts(self.name, host, identity=f"{self.name} {told}")

    def worker(self, options: Mapping[str, Any]) -> PiperWorker:
        files = {name: look_at(Path(path)) for name, path in options["voices"].items()}
        threads = int(options.get("threads") or min(2, len(os.sched_getaffinity(0))))
        return PiperWorker(files, threads, int(options.get("cores", 1)), int(options.get("keep", 4)))


@dataclass(frozen=True)
class PiperWorker:
    """The worker's side: see worker.SpeechWorker. All threads share the voices."""

    files: Mapping[str, VoiceFile]
    threads: int
    cores: int = 1
    keep: int = 4
    name: str = "piper"
    kind: Literal["tts"] = "tts"
    _opened: list[PiperVoices] = field(default_factory=list)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(file.language for file in self.files.values()))

    @property
    def voices(self) -> dict[str, Sequence[str]]:
        return {name: (file.language,) for name, file in self.files.items()}

    def open(self) -> Synthesiser:
        """Called by one thread after the other."""
        if not self._opened:
            voices = PiperVoices(self.files, self.cores, self.keep)
            voices.speak(WARM_UP, Voice(next(iter(self.files))))
            self._opened.append(voices)
            threading.Thread(target=voices.load, name="load voices", daemon=True).start()
        return self._opened[0].speak


class PiperVoices:
    """The voices, of which `keep` stay loaded. Who speaks with one that is there waits for no other's loading."""

    def __init__(self, files: Mapping[str, VoiceFile], cores: int, keep: int) -> None:
        self._files = files
        self._cores = cores
        self._keep = keep
        self._loaded: OrderedDict[str, PiperModel] = OrderedDict()
        self._loading: dict[str, Future[PiperModel]] = {}
        self._lock = threading.Lock()
        self._warned: set[str] = set()

    def load(self) -> None:
        """The first `keep` of them, one after the other, before a caller has to wait for one."""
        for name in list(self._files)[: self._keep]:
            with self._lock:
                full = len(self._loaded) >= self._keep
            if full:
                return
            try:
                self._model(name)
            except Exception:  # the boundary to a library: whoever asks for this voice is told, too
                log.exception("piper: voice %r cannot be loaded", name)

    def speak(self, text: str, voice: Voice) -> Spoken:
        """See worker.Synthesiser."""
        wanted, _, speaker = voice.name.partition("#")
        name = wanted if wanted in self._files else self._by_language(voice.language)
        if wanted and name != wanted:
            self._warn(f"there is no voice {wanted!r}, {name!r} speaks; known: {', '.join(self._files)}")
            speaker = ""
        model = self._model(name)
        try:
            number = model.speaker(speaker)
        except UnknownSpeaker as error:
            self._warn(f"voice {name!r}: {error}; its first speaker speaks")
            number = None
        return model.speak(text, speaker=number, speed=voice.speed)

    def _by_language(self, language: str) -> str:
        """The first voice of this language and region, else of this language. ValueError where there is none."""
        wanted = language.lower().replace("_", "-")
        same = {name: file.language for name, file in self._files.items() if _base(file.language) == _base(wanted)}
        if same:
            return next((name for name, own in same.items() if own == wanted), next(iter(same)))
        raise ValueError(f"piper has no voice for {language!r}: add one to [engines.options.piper] voices")

    def _model(self, name: str) -> PiperModel:
        with self._lock:
            if name in self._loaded:
                self._loaded.move_to_end(name)
                return self._loaded[name]
            loading = self._loading.get(name)
            ours = loading is None
            if loading is None:
                loading = self._loading[name] = Future()
        if ours:
            self._load(name, loading)
        return loading.result()

    def _load(self, name: str, loading: Future[PiperModel]) -> None:
        try:
            model = PiperModel(self._files[name].path, self._cores)
        except BaseException as error:
            with self._lock:
                del self._loading[name]  # the next one tries again
            loading.set_exception(error)
            raise
        with self._lock:
            del self._loading[name]
            self._loaded[name] = model
            if len(self._loaded) > self._keep:
                self._loaded.popitem(last=False)
        loading.set_result(model)

    def _warn(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            log.warning("piper: %s", text)


def _base(language: str) -> str:
    return language.partition("-")[0]


def _checked(options: Mapping[str, Any]) -> Options:
    try:
        return Options.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"[engines.options.piper] {where}: {first['msg']}".replace(" : ", ": ")) from error


def _voices(options: Options) -> dict[str, VoiceFile]:
    wanted = options.voices or {_name(options.voice or DEFAULT_VOICE): options.voice}
    return {
        name: look_at(resolve("piper", model, DEFAULT_VOICE, cache_dir(), kind="tts")) for name, model in wanted.items()
    }


def _name(voice: str) -> str:
    """What an agent calls a voice that was given no name: the file's, or the catalogue's."""
    return re.sub(r"\.onnx$", "", Path(voice).name)


def look_at(path: Path) -> VoiceFile:
    """A voice's settings, without loading it. Raises ConfigError, with the cure."""
    settings = path.with_name(path.name + ".json")
    cure = "fetch it again: voicebridge models fetch, or correct [engines.options.piper]"
    try:
        told = json.loads(settings.read_text(encoding="utf-8"))
        language = str((told.get("language") or {}).get("code") or told["espeak"]["voice"])
        rate = int(told["audio"]["sample_rate"])
        whole = bool(told["phoneme_id_map"]) and path.stat().st_size > 0
    except FileNotFoundError as error:
        raise ConfigError(f"engine piper: {error.filename} is not there; a voice is two files; {cure}") from error
    except OSError as error:
        raise ConfigError(f"engine piper: {error.filename} cannot be read: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"engine piper: {settings} does not describe a Piper voice ({error}); {cure}") from error
    if not whole:
        raise ConfigError(f"engine piper: {path} is empty; {cure}")
    return VoiceFile(path, language.lower().replace("_", "-"), rate)


ENGINE = PiperPlugin()
