"""From what an engine's option says (a path, or a name of the catalogue) to the model on this machine."""

from __future__ import annotations

from pathlib import Path

from voicebridge.modelstore.catalogue import Model, UnknownModel, named
from voicebridge.tomlfile import ConfigError

FILE_ENDINGS = (".gguf", ".onnx", ".zip")


def resolve(engine: str, wanted: str | None, default: str, cache: Path, *, kind: str = "") -> Path:
    """The model's file, or its folder (Vosk); it is there. `wanted`: an engine's option, empty for the default.

    A catalogue name beats a path; a path has a slash or a model's ending, or names something that is there. `kind`:
    what the engine needs ("stt", "llm", "tts", "embed", "turn"), to refuse another kind's name. `cache` is
    `config.cache_dir()`. Raises ConfigError, with the cure; UnknownModel is one.
    """
    wanted = wanted or default
    try:
        model = named(wanted)
    except UnknownModel:
        path = Path(wanted).expanduser()
        if not is_path(wanted) and not path.exists():
            raise
        if not path.exists():
            told = f"engine {engine}: the model file {path} is not there; correct the option `model`"
            raise ConfigError(told) from None
        return path
    if kind and model.kind != kind:
        raise ConfigError(f"engine {engine}: {wanted} is a model for {model.kind}, not for {kind}; {_those(kind)}")
    return _installed(engine, model, cache)


def _installed(engine: str, model: Model, cache: Path) -> Path:
    path = model.path(cache)
    if path is None:
        raise ConfigError(f"engine {engine}: the model {model.name} lies inside {model.module}, which is not installed")
    if not path.exists():
        cure = f"run: voicebridge models fetch {model.name}"
        raise ConfigError(f"engine {engine}: the model file {path} is not there; {cure}")
    return path


def is_path(text: str) -> bool:
    """Not a name: it has a slash or a model's ending."""
    return "/" in text or text.endswith(FILE_ENDINGS)


def _those(kind: str) -> str:
    return f"which there are: voicebridge models ls --kind {kind}"
