"""A YAML file as data, and on which line each part of it stands.

Read as YAML 1.2 has it, not as YAML 1.1: `yes`, `no`, `15:30`, `2026-12-01`, `0142` and `+4930...` are text, because
callers say them. A key that stands twice in a mapping is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

Place = tuple[str | int, ...]
Lines = Mapping[Place, int]
"""Keys and positions that lead to a part, and the line (from 1) on which it begins."""


class ScriptError(Exception):
    """A scenario file cannot be used; the text names file and line, and what is wrong there. One problem a line."""


class _Loader(yaml.SafeLoader):
    """Plain data, with fewer surprises."""

    yaml_implicit_resolvers: dict[str, Any] = {}


_RESOLVERS = {
    "null": (r"(?:~|null|Null|NULL|)", ["~", "n", "N", ""]),
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)", list("tTfF")),
    "int": (r"-?(?:0|[1-9][0-9]{0,17})", list("-0123456789")),
    "float": (r"-?(?:0|[1-9][0-9]*)\.[0-9]+", list("-0123456789")),
    "merge": (r"<<", ["<"]),
}
for _tag, (_pattern, _first) in _RESOLVERS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^{_pattern}$"), _first)


def read(path: Path) -> tuple[Any, Lines]:
    """The file's data and its lines. Raises ScriptError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ScriptError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScriptError(f"{path}: is not UTF-8 (byte {error.start})") from error
    try:
        return _parsed(text)
    except _Fault as fault:
        raise ScriptError(f"{path}:{fault.line}: {fault}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise ScriptError(f"{where}: is not YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ScriptError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise ScriptError(f"{path}: is nested too deeply") from None


class _Fault(Exception):
    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line


def _parsed(text: str) -> tuple[Any, Lines]:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        lines: dict[Place, int] = {}
        _walk(node, (), lines, ())
        return loader.construct_document(node), lines
    finally:
        loader.dispose()


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int], above: tuple[yaml.Node, ...]) -> None:
    """Note where everything stands; finds keys that stand twice and aliases that contain themselves."""
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if any(node is outer for outer in above):
        raise _Fault(line, "an alias that contains itself")
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*place, index), lines, (*above, node))
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            at = key.start_mark.line + 1
            if name in seen:
                raise _Fault(at, f"the key {name!r} stands twice")
            seen.add(name)
            lines[(*place, name)] = at
            _walk(value, (*place, name), lines, (*above, node))


def line_of(lines: Lines, place: Place) -> int | None:
    """The line of a part, or of the nearest thing around it that is in the file."""
    for length in range(len(place), -1, -1):
        if (found := lines.get(place[:length])) is not None:
            return found
    return None
