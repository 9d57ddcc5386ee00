"""Imports point one way (design.md, ARCHITECTURE.md), the core is pure, and GPL code stays behind a process."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import voicebridge

HOUSE = Path(voicebridge.__file__).parent
# From the top down. A room imports itself and what lies below it, never what stands beside or above it.
FLOORS = (
    {"__main__"},
    {"cli"},
    {"sip"},
    {"scenario", "load", "web"},
    {"daemon", "phone", "watch"},
    {"observing", "backstage"},
    {"control", "call", "lineup", "hooks"},
    {"pbx", "engines", "tools", "handoff", "slots", "trace"},
    {"delivery"},
    {"config", "plugins", "modelstore"},
    {"agentfile"},
    {"targets", "logins", "tomlfile", "choice", "operating", "logs"},
    {"conversation", "audio", "protocol", "hours", "installation", "journal"},
)
# What would give a pure room a clock, a socket or a thread.
IMPURE = {
    "asyncio", "time", "datetime", "random", "socket", "select", "selectors", "threading", "multiprocessing",
    "subprocess",
}
PURE_ROOMS = {"conversation", "protocol"}
GPL = {"espeakng_loader", "piper", "piper_phonemize", "espeakng"}


def floor_of(room: str) -> int | None:
    return next((level for level, rooms in enumerate(FLOORS) if room in rooms), None)


def imported(tree: ast.Module, package: list[str]) -> Iterator[tuple[ast.AST, str]]:
    """Every module a file imports, by its full dotted name; `from x import y` counts as x.y."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node, name.name
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            for name in node.names:
                yield node, f"{module}.{name.name}"


def lazy_ones(tree: ast.Module) -> set[int]:
    """The ids of all nodes within functions."""
    functions = (f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef))
    return {id(inner) for function in functions for inner in ast.walk(function)}


def violations(house: Path) -> list[str]:
    """What a tree of modules does against the rules, in words."""
    found = []
    for file in sorted(house.rglob("*.py")):
        parts = file.relative_to(house).with_suffix("").parts
        if parts == ("__init__",):
            continue
        room = parts[0]
        tree = ast.parse(file.read_text(encoding="utf-8"))
        here = f"{'.'.join(parts)}"
        if floor_of(room) is None:
            found.append(f"{here}: no floor for the room {room!r}")
            continue
        lazy = lazy_ones(tree)
        for node, name in imported(tree, ["voicebridge", *parts[:-1]]):
            found += [f"{here}: {fault}" for fault in faults(room, name, lazy=id(node) in lazy)]
    return found


def faults(room: str, name: str, *, lazy: bool) -> list[str]:
    top, *rest = name.split(".")
    if top == "voicebridge" and rest:
        if not rest:  # `import voicebridge` itself: where its files lie
            return []
        target = rest[0]
        own, other = floor_of(room), floor_of(target)
        if other is None:
            return [f"imports the unknown room {target!r}"]
        assert own is not None
        return [] if target == room or other > own else [f"imports {name}: {target} is not below {room}"]
    if room in PURE_ROOMS and top in IMPURE:
        return [f"imports {top}: {room} is pure"]
    if top in GPL and (room != "engines" or not lazy):
        return [f"imports {top} (GPL): only inside a function of an engine's worker"]
    return []


def test_imports_point_one_way_and_the_core_is_pure():
    assert violations(HOUSE) == []


def test_the_tree_that_is_checked_is_the_real_one():
    rooms = {file.relative_to(HOUSE).parts[0].removesuffix(".py") for file in HOUSE.rglob("*.py")}
    assert {"cli", "call", "engines", "conversation", "audio", "protocol", "trace", "pbx"} <= rooms


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("conversation/core.py", "from voicebridge.engines.base import Voice", "engines is not below conversation"),
        ("conversation/core.py", "from voicebridge.audio import pcm", "audio is not below conversation"),
        ("conversation/core.py", "def f():\n    import asyncio", "conversation is pure"),
        ("conversation/core.py", "from time import monotonic", "conversation is pure"),
        ("protocol/agi.py", "import socket", "protocol is pure"),
        ("audio/vad.py", "import voicebridge.config", "config is not below audio"),
        ("trace/store.py", "from voicebridge.engines import base", "engines is not below trace"),
        ("engines/base.py", "from ..call import call", "call is not below engines"),
        ("call/call.py", "from voicebridge import daemon", "daemon is not below call"),
        ("config.py", "import voicebridge.trace.store as s", "trace is not below config"),
        ("daemon.py", "if True:\n    from voicebridge.cli.main import main", "cli is not below daemon"),
        ("engines/espeak.py", "import espeakng_loader", "(GPL)"),
        ("call/speech.py", "def f():\n    import piper.voice", "(GPL)"),
        ("cellar/wine.py", "import json", "no floor for the room 'cellar'"),
        ("cli/run.py", "import voicebridge.attic", "unknown room 'attic'"),
    ],
)
def test_a_bad_import_is_found(tmp_path, file, text, fault):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    (found,) = violations(tmp_path)
    assert fault in found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("engines/espeak.py", "def load():\n    import espeakng_loader"),
        ("engines/espeak.py", "from .base import Voice"),
        ("cli/run.py", "from voicebridge.daemon import Daemon\nfrom voicebridge.conversation.core import Conversation"),
        ("audio/clock.py", "import asyncio, time"),
        ("call/call.py", "from voicebridge.trace.timeline import Timeline\nfrom voicebridge.call.speech import Mouth"),
    ],
)
def test_a_good_import_is_not(tmp_path, file, text):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    assert violations(tmp_path) == []
