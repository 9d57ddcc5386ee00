"""Engines by name: entry points, the built-in ones too."""

from __future__ import annotations

from importlib import metadata
from typing import Any

GROUPS = {
    "stt": "voicebridge.stt",
    "llm": "voicebridge.llm",
    "tts": "voicebridge.tts",
    "embed": "voicebridge.embed",
}

OURS = "voicebridge-pbx"


class PluginError(Exception):
    """No such plug-in, or one that cannot be loaded; the text names the package and the cure."""


def names(kind: str) -> list[str]:
    return sorted({point.name for point in metadata.entry_points(group=GROUPS[kind])})


def load(kind: str, name: str) -> Any:
    """The object behind an entry point of `voicebridge.<kind>`. Raises PluginError."""
    found = [point for point in metadata.entry_points(group=GROUPS[kind]) if point.name == name]
    if not found:
        known = ", ".join(names(kind)) or "none installed"
        raise PluginError(f"no {kind} engine {name!r}; known: {known}. Is its package installed in this environment?")
    point = found[0]
    package = point.dist.name if point.dist is not None else point.module
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        cure = f"pip install '{OURS}[embedded]'" if package == OURS else f"pip install --force-reinstall {package}"
        raise PluginError(f"{kind} engine {name!r} of package {package} does not load: {error}. Try: {cure}") from error
