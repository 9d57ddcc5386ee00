"""A configured JSON document with placeholders in its texts: the body of a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from voicebridge.tools.template import Template, parse, spelled


@dataclass(frozen=True, slots=True)
class Document:
    """`root` has a Template in place of every text."""

    root: Any

    @classmethod
    def of(cls, document: Any) -> Document:
        """Raises SetupError."""
        return cls(_parsed(document, "body"))

    @property
    def arguments(self) -> set[str]:
        return _names(self.root)

    def render(self, values: Mapping[str, str], arguments: Mapping[str, Any]) -> Any:
        """A text that is one placeholder gives its value with its type; a key whose value is left out goes too."""
        return _filled(self.root, values, arguments)


def _filled(node: Any, values: Mapping[str, str], arguments: Mapping[str, Any]) -> Any:
    match node:
        case Template():
            if node.alone:
                value = arguments.get(node.alone)
                return value if isinstance(value, bool | int | float) else None if value is None else spelled(value)
            return node.render(values)
        case dict():
            filled = {key: _filled(item, values, arguments) for key, item in node.items()}
            return {k: v for k, v in filled.items() if v is not None or not isinstance(node[k], Template)}
        case list():
            return [_filled(item, values, arguments) for item in node]
    return node


def _parsed(node: Any, where: str) -> Any:
    match node:
        case str():
            return parse(node, where)
        case dict():
            return {key: _parsed(item, f"{where}.{key}") for key, item in node.items()}
        case list() | tuple():
            return [_parsed(item, where) for item in node]
    return node


def _names(node: Any) -> set[str]:
    match node:
        case Template():
            return node.arguments
        case dict():
            return {name for item in node.values() for name in _names(item)}
        case list():
            return {name for item in node for name in _names(item)}
    return set()
