"""Words with `{names}` in them, filled with what was understood and what a tool gave back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from voicebridge.conversation.form import SlotValue

_FIELD = re.compile(r"\{(\w+)\}")
LONGEST = 400
"""Characters of one value: more is no sentence."""


def fields(template: str) -> set[str]:
    """The names that a template wants."""
    return set(_FIELD.findall(template))


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its names replaced. A name that is not there leaves nothing; values are never templates."""
    return re.sub(r"\s+", " ", _FIELD.sub(lambda found: values.get(found[1], ""), template)).strip()


def sayable(data: str, values: Iterable[SlotValue] = ()) -> dict[str, str]:
    """What templates may use: the fields of a tool's result (JSON text; those that are no lists or objects) and, before
    them, what the caller said, as it is spoken."""
    try:
        made = json.loads(data) if data else {}
    except ValueError:
        made = {}
    known = {
        str(name): _words(value)
        for name, value in (made.items() if isinstance(made, dict) else ())
        if isinstance(value, str | int | float | bool)
    }
    return known | {value.slot: value.spoken for value in values}


def _words(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:LONGEST]
