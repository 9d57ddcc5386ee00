"""A grammar (llama.cpp's GBNF) under which a model either says something or calls one of some tools.

    root ::= "say " words | "call " {"name": "<a tool>", "arguments": {...}}

The arguments keep to the tool's JSON schema: objects with their properties in order, strings by length, `enum`, `const`
or format (date, time, date-time, email, uuid), bounded numbers, arrays, alternatives, references. What a schema says
beyond that (patterns, for instance) is left to whoever validates the arguments. Everything is bounded in length: a
small model that repeats itself comes to an end.

Built with llguidance, as PyPI's wheels of it are, xllamacpp makes llguidance's own format of a JSON schema: a text rule
written in that does not end where the model would (60 of 60 tokens where GBNF gave 9), and no other llama.cpp reads it.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.engines.decision import CALL, SAY

MAX_STRING = 120
MAX_ITEMS = 8
MAX_DEPTH = 6
ENUMERABLE = 64
"""Ranges of so many integers are listed; wider ones are made of digits."""

# Braces and angle brackets are nothing to speak; without them a call cannot hide in what is said.
WORD_CHAR = r"[^\x00-\x1F\x7F{}<>]"
REST = f"root ::= {WORD_CHAR}*"
"""The rest of something said."""

_DATE = (
    '("19" | "20") [0-9] [0-9] "-" ('
    '("01" | "03" | "05" | "07" | "08" | "10" | "12") "-" ("0" [1-9] | [12] [0-9] | "3" [01])'
    ' | ("04" | "06" | "09" | "11") "-" ("0" [1-9] | [12] [0-9] | "30")'
    ' | "02-" ("0" [1-9] | "1" [0-9] | "2" [0-8]))'
)
_TIME = '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]'
_HEX = "[0-9a-f]"
FORMATS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f'{_DATE} "T" {_TIME}',
    "email": '[a-z0-9]{1,24} ([._-] [a-z0-9]{1,16}){0,2} "@" [a-z0-9]{1,24} ("." [a-z]{2,10}){1,2}',
    "uuid": " ".join([f"{_HEX}{{8}}", *(f'"-" {_HEX}{{4}}',) * 3, f'"-" {_HEX}{{12}}']),
}
_CHAR = r'([^"\\\x00-\x1F\x7F] | "\\" ["\\])'
_ANY_INTEGER = '("-"? ("0" | [1-9] [0-9]{0,7}))'
_DECIMALS = '("." [0-9]{1,4})'


@functools.lru_cache(maxsize=64)
def decision_grammar(tools: tuple[ToolSpec, ...]) -> str:
    """GBNF for an answer that may call one of `tools`; without any it only says something.

    Raises ValueError where a tool's schema is not JSON text of an object.
    """
    made = _Rules()
    ways = [rf"{literal(SAY)} [^\x00-\x20\x7F{{}}<>] {WORD_CHAR}*"]
    for tool in tools:
        begin = literal(f'{CALL}{{"name": {_json(tool.name)}, "arguments": ')
        ways.append(f'{begin} {made.of_tool(tool)} "}}"')
    made.add("root", " | ".join(ways))
    return made.text()


def literal(text: str) -> str:
    """`text` as a GBNF literal."""
    return '"' + "".join(_escaped(char) for char in text) + '"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    return f"\\U{ord(char):08X}" if ord(char) > 0xFFFF else f"\\u{ord(char):04X}"


class _Rules:
    """Named rules, made while schemas are walked through."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._defs: Mapping[str, Any] = {}

    def text(self) -> str:
        return "".join(f"{name} ::= {body}\n" for name, body in self._rules.items())

    def add(self, name: str, body: str) -> str:
        self._rules[name] = body
        return name

    def of_tool(self, tool: ToolSpec) -> str:
        schema = json.loads(tool.schema or "{}")
        if not isinstance(schema, dict):
            raise ValueError(f"the schema of tool {tool.name!r} is no object")  # noqa: TRY004 - of the text, not ours
        self._defs = schema
        return self._object({"type": "object", **schema}, MAX_DEPTH)

    def _named(self, body: str) -> str:
        """A rule of that body, each body once."""
        known = next((name for name, other in self._rules.items() if other == body), None)
        return known or self.add(f"r{len(self._rules)}", body)

    def _value(self, schema: Any, depth: int) -> str:
        """An expression for one JSON value; it can stand in a sequence."""
        if not isinstance(schema, dict) or depth <= 0:
            return self._anything()
        if "$ref" in schema:
            return self._value(self._referred(str(schema["$ref"])), depth - 1)
        if "const" in schema:
            return literal(_json(schema["const"]))
        if "enum" in schema:
            return _either([literal(_json(value)) for value in schema["enum"]])
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return _either([self._value(one, depth - 1) for one in schema[several]])
        if len(both := schema.get("allOf", [])) == 1:
            return self._value(both[0], depth - 1)
        kind = schema.get("type")
        if isinstance(kind, list):
            return _either([self._value({**schema, "type": one}, depth) for one in kind])
        makers: dict[str, Callable[[], str]] = {
            "object": lambda: self._object(schema, depth),
            "array": lambda: self._array(schema, depth),
            "string": lambda: self._string(schema),
            "integer": lambda: self._named(_integer(schema)),
            "number": lambda: self._named(_number(schema)),
            "boolean": lambda: '("true" | "false")',
            "null": lambda: '"null"',
        }
        return makers.get(str(kind), self._anything)()

    def _referred(self, ref: str) -> Any:
        """What `#/a/b` points to in the tool's schema, or None."""
        found: Any = self._defs
        for step in ref.removeprefix("#").strip("/").split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found

    def _anything(self) -> str:
        return _either([self._string({}), self._named(_number({})), '"true"', '"false"', '"null"'])

    def _object(self, schema: Mapping[str, Any], depth: int) -> str:
        properties = schema.get("properties") or {}
        if not properties and isinstance(schema.get("additionalProperties"), dict):
            pair = f'{self._string({"minLength": 1})} ": " {self._value(schema["additionalProperties"], depth - 1)}'
            return f'"{{" ({pair} (", " {pair}){{0,{MAX_ITEMS - 1}}})? "}}"'
        required = set(schema.get("required") or ())
        pairs = [
            (f"{literal(_json(name) + ': ')} {self._value(one, depth - 1)}", name in required)
            for name, one in properties.items()
        ]
        return f'"{{" {self._members(pairs)} "}}"' if pairs else '"{}"'

    def _members(self, pairs: Sequence[tuple[str, bool]]) -> str:
        """Pairs in order, those that are not required now and then; a comma between two."""
        first = after = '""'
        for pair, required in reversed(pairs):
            here, later = f"{pair} {after}", f'", " {pair} {after}'
            if not required:
                here, later = f"({here} | {first})", f"({later} | {after})"
            first, after = self._named(here), self._named(later)
        return first

    def _array(self, schema: Mapping[str, Any], depth: int) -> str:
        least = int(schema.get("minItems", 0))
        most = max(least, min(int(schema.get("maxItems", MAX_ITEMS)), MAX_ITEMS))
        if most == 0:
            return '"[]"'
        item = self._value(schema.get("items", {}), depth - 1)
        some = f'{item} (", " {item}){{{max(0, least - 1)},{most - 1}}}'
        return f'"[" {some} "]"' if least else f'"[" ({some})? "]"'

    def _string(self, schema: Mapping[str, Any]) -> str:
        if made := FORMATS.get(str(schema.get("format"))):
            return self._named(f'"\\"" {made} "\\""')
        least = int(schema.get("minLength", 0))
        most = max(least, min(int(schema.get("maxLength", MAX_STRING)), MAX_STRING))
        return self._named(f'"\\"" {self._named(_CHAR)}{{{least},{most}}} "\\""')


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _either(expressions: Sequence[str]) -> str:
    return f"({' | '.join(dict.fromkeys(expressions))})"


def _bounds(schema: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The least and the greatest integer that a schema allows."""
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    lows = [math.ceil(least)] if least is not None else []
    lows += [math.floor(above) + 1] if above is not None else []
    highs = [math.floor(most)] if most is not None else []
    highs += [math.ceil(below) - 1] if below is not None else []
    return max(lows, default=None), min(highs, default=None)


def _integer(schema: Mapping[str, Any]) -> str:
    least, most = _bounds(schema)
    if (least is None and most is None) or (least is not None and most is not None and least > most):
        return _ANY_INTEGER  # no bounds, or none that can be kept
    widest: int = 10**8 - 1
    low = least if least is not None else min(most or 0, 0) - widest
    high = most if most is not None else max(low, 0) + widest
    return _range(low, high)


def _range(low: int, high: int) -> str:
    """All integers from `low` to `high`."""
    if high - low < ENUMERABLE:
        return _either([f'"{number}"' for number in range(low, high + 1)])
    parts = []
    if low < 0:
        parts.append(f'"-" {_either(_digits(max(1, -high), -low))}')
    if high >= 0:
        parts += _digits(max(low, 0), high)
    return _either(parts)


def _digits(low: int, high: int) -> list[str]:
    """Expressions for the integers from `low` to `high`, none of them negative."""
    made = []
    while low <= high:
        top = min(high, 10 ** len(str(low)) - 1)
        made.append(_same_length(str(low), str(top)))
        low = top + 1
    return made


def _same_length(low: str, high: str) -> str:
    """Numbers of as many digits as both have, from `low` to `high`."""
    if not low:
        return '""'
    rest = len(low) - 1
    if set(low) == {"0"} and set(high) == {"9"}:
        return f"[0-9]{{{len(low)}}}"
    if low[0] == high[0]:
        return f'"{low[0]}" {_same_length(low[1:], high[1:])}'
    parts = [f'"{low[0]}" {_same_length(low[1:], "9" * rest)}', f'"{high[0]}" {_same_length("0" * rest, high[1:])}']
    if int(high[0]) - int(low[0]) > 1:
        between = f"[{int(low[0]) + 1}-{int(high[0]) - 1}]"
        parts.insert(1, f"{between} {_same_length('0' * rest, '9' * rest)}")
    return _either(parts)


def _number(schema: Mapping[str, Any]) -> str:
    """Integers of the range, and between them numbers with up to four decimals."""
    least, most = _bounds(schema)
    if least is None and most is None:
        return f"({_ANY_INTEGER} {_DECIMALS}?)"
    whole = _integer(schema)
    low = max(least or 0, 0)
    high = most - 1 if most is not None else low + 10**8 - 1
    return _either([whole, f"{_range(low, high)} {_DECIMALS}"]) if low <= high else whole
