"""What a tool returned, made into JSON that is safe to pass on: plain, finite, bounded.

The cost is bounded too: a result of 5 MB or one that contains itself is given up on the way, not after.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from pydantic import BaseModel

DEEPEST = 24
MOST_DIGITS = 60
_TEXTS = (Decimal, UUID, PurePath)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class BadResult(Exception):
    """Nothing that JSON can hold; the text tells where."""


class TooLarge(Exception):
    """More than the tool may return."""


class _Budget:
    """Bytes that are left; a lower bound of the JSON text is taken off on the way."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise TooLarge


def to_json(value: Any, limit: int) -> str:
    """Compact JSON text of at most `limit` bytes. Raises BadResult, TooLarge."""
    text = json.dumps(plain(value, limit), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if len(text.encode()) > limit:
        raise TooLarge
    return text


def plain(value: Any, limit: int) -> Any:
    """The same in dicts, lists, strings and numbers. Raises BadResult, TooLarge."""
    return _plain(value, _Budget(limit), "result", 0)


def _plain(value: Any, budget: _Budget, where: str, depth: int) -> Any:
    if depth > DEEPEST:
        raise BadResult(f"{where[:80]} is nested deeper than {DEEPEST}")
    budget.take(1)
    if isinstance(value, Enum):
        value = value.value
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, budget)
        case int() | float():
            return _number(value, where)
        case _ if isinstance(value, datetime | date | time):
            return _text(value.isoformat(), budget)
        case timedelta():
            return value.total_seconds()
        case _ if isinstance(value, _TEXTS):
            return _text(str(value), budget)
        case list() | tuple() | set() | frozenset():
            return [_plain(item, budget, f"{where}[{n}]", depth + 1) for n, item in enumerate(value)]
    made = {}
    for key, item in _fields(value, where):
        made[_text(key, budget)] = _plain(item, budget, f"{where}.{key}", depth + 1)
    return made


def _fields(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    """One by one, so that a huge mapping is given up at its beginning."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str | int | Enum | date):
                raise BadResult(f"{where[:80]} has a key of type {type(key).__name__}")
            yield str(key.value if isinstance(key, Enum) else key), item
    elif isinstance(value, BaseModel):
        yield from {**value.__dict__, **(value.__pydantic_extra__ or {})}.items()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield field.name, getattr(value, field.name)
    else:
        raise BadResult(f"{where[:80]} is of type {type(value).__name__}, which is not data")


def _number(value: int | float, where: str) -> int | float:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BadResult(f"{where[:80]} is not a finite number")
        return float(value)
    if abs(value) >= 10**MOST_DIGITS:
        raise BadResult(f"{where[:80]} has more than {MOST_DIGITS} digits")
    return int(value)


def _text(value: str, budget: _Budget) -> str:
    budget.take(len(value))
    return str(value).encode("utf-8", "replace").decode()


def one_line(text: str, limit: int) -> str:
    """Words for the caller: no control characters, at most `limit` characters, cut at the end of a sentence or word."""
    kept = " ".join(_CONTROL.sub(" ", text[: 4 * limit]).encode("utf-8", "ignore").decode().split())
    if len(kept) <= limit:
        return kept
    kept = kept[:limit]
    ends = [match.end() for match in re.finditer(r"[.!?](?= )", kept)]
    return kept[: ends[-1]] if ends and ends[-1] > limit // 2 else kept.rpartition(" ")[0] or kept


def shorten(text: str, limit: int) -> str:
    """JSON text of at most `limit` bytes: the longest lists and strings lose their tails; scalars stay.

    What was left out is told by `"...": "n more"` in place of a list's tail. Raises TooLarge where nothing helps.
    """
    value = json.loads(text)
    longest = max(limit // 2, 1)
    while len(text.encode()) > limit:
        if longest == 0:
            raise TooLarge
        longest //= 2
        text = json.dumps(_shorter(value, longest), ensure_ascii=False, separators=(",", ":"))
    return text


def _shorter(value: Any, longest: int) -> Any:
    """Strings up to `longest` characters, lists up to a tenth of that."""
    match value:
        case str() if len(value) > longest:
            return value[:longest] + "..."
        case list():
            most = longest // 10
            kept = [_shorter(item, longest) for item in value[:most]]
            return kept + [f"... {len(value) - most} more"] if len(value) > most else kept
        case dict():
            return {key: _shorter(item, longest) for key, item in value.items()}
    return value
