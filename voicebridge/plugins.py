"""Plug-ins by name: engines, tools, fallbacks and who is told of calls are entry points, the built-in ones too."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from voicebridge.installation import OURS, cure

__all__ = ["ENGINES", "GROUPS", "OURS", "Plugin", "PluginError", "lacking", "load", "load_all", "names"]

ENGINES = ("stt", "llm", "tts", "embed", "turn")
GROUPS = {kind: f"voicebridge.{kind}" for kind in (*ENGINES, "tools", "fallbacks", "events")}


class PluginError(Exception):
    """No such plug-in, or one that cannot be loaded; the text names the package and the cure."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed entry point, and the object behind it; `refused` says why there is none."""

    kind: str
    name: str
    package: str
    version: str
    thing: Any = None
    refused: str = ""


def names(kind: str) -> list[str]:
    return sorted({point.name for point in metadata.entry_points(group=GROUPS[kind])})


def load(kind: str, name: str) -> Any:
    """The object behind an entry point of `voicebridge.<kind>`. Raises PluginError."""
    found = [point for point in _points(kind) if point.name == name]
    if not found:
        known = ", ".join(names(kind)) or "none installed"
        others = [f"{name!r} is a {_noun(other)}" for other in GROUPS if name in names(other)]
        hint = f" ({', '.join(others)})" if others else ". Is its package installed in this environment?"
        raise PluginError(f"no {_noun(kind)} {name!r}; known: {known}{hint}")
    return _loaded(kind, found[0])


def load_all(kind: str) -> list[Plugin]:
    """Every plug-in of a kind: ours first, then by package. Never raises: what does not load is `refused`."""
    made: list[Plugin] = []
    owners: dict[str, str] = {}
    for point in _points(kind):
        thing, refused = None, ""
        first = owners.setdefault(point.name, _package(point))
        if first != _package(point):
            refused = f"{first} and {_package(point)} both have {_noun(kind)} {point.name!r}: the first one is used"
        else:
            try:
                thing = _loaded(kind, point)
            except PluginError as error:
                refused = str(error)
        version = point.dist.version if point.dist is not None else ""
        made.append(Plugin(kind, point.name, _package(point), version, thing, refused))
    return made


def lacking(plugin: Plugin) -> str:
    """Which libraries an engine `requires` and this Python does not find, and the cure; "" where all are there."""
    needed = getattr(plugin.thing, "requires", ())
    if missing := [name for name in needed if find_spec(name) is None]:
        extra = getattr(plugin.thing, "extra", "")
        again = cure(extra) if plugin.package == OURS and extra else f"pip install --force-reinstall {plugin.package}"
        return f"{', '.join(missing)} is not installed: {again}"
    return ""


def _points(kind: str) -> list[metadata.EntryPoint]:
    """Ours first: a stranger cannot take a built-in's name."""
    points = metadata.entry_points(group=GROUPS[kind])
    return sorted(points, key=lambda point: (_package(point) != OURS, _package(point), point.name))


def _loaded(kind: str, point: metadata.EntryPoint) -> Any:
    package = _package(point)
    again = cure("embedded") if package == OURS else f"pip install --force-reinstall {package}"
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        why = f"{error}. Try: {again}"
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module: it must not keep others from loading
        why = f"{type(error).__name__}: {error}"
    raise PluginError(f"{_noun(kind)} {point.name!r} of package {package} does not load: {why}")


def _package(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.module


def _noun(kind: str) -> str:
    return f"{kind} engine" if kind in ENGINES else f"{kind} plug-in"
