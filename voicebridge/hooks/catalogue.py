"""The hooks that the configuration wants, made of their plug-ins."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from voicebridge import plugins
from voicebridge.config import ConfigError, Settings
from voicebridge.hooks.hook import EVENTS, EventHook
from voicebridge.hooks.runner import Runner
from voicebridge.plugins import Plugin, PluginError

log = logging.getLogger(__name__)

KIND = "events"


def runners(settings: Settings) -> dict[str, Runner]:
    """One a table of `[events]`, by its name; not started. Raises ConfigError that names file, line and key."""
    return {name: Runner(name, made(settings, name)) for name in settings.config.events}


def made(settings: Settings, name: str) -> EventHook:
    """Raises ConfigError."""
    try:
        plugin = plugins.load(KIND, name)
    except PluginError as error:
        raise ConfigError(f"{settings.where(KIND, name)}: {error}") from error
    options = settings.config.events[name]
    try:
        return _checked(_create(plugin, options, settings.config.store.dir / KIND / name))
    except ValidationError as error:
        lines = [_told(settings, name, ".".join(map(str, part["loc"])), _why(part)) for part in error.errors()]
        raise ConfigError("\n".join(lines)) from None
    except (ConfigError, ValueError, TypeError, KeyError, OSError) as error:
        why = f"{error.args[0]}: is missing" if isinstance(error, KeyError) else str(error)
        key, _, rest = why.partition(": ")
        named = bool(rest) and re.fullmatch(r"\w+", key) is not None
        raise ConfigError(_told(settings, name, key if named else "", rest if named else why)) from error
    except Exception as error:  # the boundary: a stranger's code
        log.debug("events %s", name, exc_info=error)
        raise ConfigError(f"{settings.where(KIND, name)}: {type(error).__name__}: {error}") from error


def examined(settings: Settings) -> list[tuple[Plugin, bool]]:
    """Every installed one, and whether the configuration wants it; what cannot be made of its options is refused."""
    found = []
    for plugin in plugins.load_all(KIND):
        wanted = plugin.name in settings.config.events
        if wanted and not plugin.refused:
            try:
                made(settings, plugin.name)
            except ConfigError as error:
                plugin = dataclasses.replace(plugin, refused=str(error))
        elif not plugin.refused and not callable(getattr(plugin.thing, "create", None)):
            why = f"it is a {type(plugin.thing).__name__} without create(options, folder)"
            plugin = dataclasses.replace(plugin, refused=why)
        found.append((plugin, wanted))
    return found


def _create(plugin: Any, options: Mapping[str, Any], folder: Path) -> Any:
    if not callable(getattr(plugin, "create", None)):
        raise TypeError(f"it is a {type(plugin).__name__} without create(options, folder)")
    return plugin.create(dict(options), folder)


def _checked(hook: Any) -> EventHook:
    if not isinstance(hook, EventHook):
        shape = "what is told of calls has handle, close and events"
        raise TypeError(f"create(options, folder) gave a {type(hook).__name__}: {shape}")
    if unknown := sorted(set(hook.events) - EVENTS):
        raise ValueError(f"events: there is no event {unknown[0]!r}; there are: {', '.join(sorted(EVENTS))}")
    if not hook.events:
        raise ValueError(f"events: none is named; there are: {', '.join(sorted(EVENTS))}")
    return hook


def _why(part: Any) -> str:
    """What pydantic has found, in our words."""
    known = {"extra_forbidden": "there is no such option", "missing": "is missing"}
    return known.get(part["type"], str(part["msg"]).removeprefix("Value error, "))


def _told(settings: Settings, name: str, key: str, why: str) -> str:
    where = settings.where(KIND, name, key) if key in settings.config.events[name] else settings.where(KIND, name)
    return f"{where}: {why}" if not key or key in settings.config.events[name] else f"{where}.{key}: {why}"
