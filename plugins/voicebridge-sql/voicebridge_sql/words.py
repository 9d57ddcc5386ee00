"""Rows in words: which wording is said, and with what in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from voicebridge.conversation.templates import fields, fill
from voicebridge_sql.settings import Words

OTHER: Final = "other"


def told(words: Words, rows: Sequence[Mapping[str, Any]], arguments: Mapping[str, Any]) -> str:
    """Each row in its words, one behind the other; a row for which there are none is left out."""
    return " ".join(text for text in (_row(words, {**arguments, **row}) for row in rows) if text)


def _row(words: Words, values: Mapping[str, Any]) -> str:
    say = words.say
    if isinstance(say, dict):
        say = say.get(spelled(values.get(words.say_by)), say.get(OTHER, ""))
    for text in (say,) if isinstance(say, str) else say:
        if all(values.get(name) is not None for name in fields(text)):
            return fill(text, {name: spelled(values[name]) for name in fields(text)})
    return ""


def spelled(value: Any) -> str:
    """ISO dates and times of day stay as they are: the agent reads them as dates. Whole numbers lose their ".0"."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    iso = getattr(value, "isoformat", None)
    if iso is None:
        return "" if value is None else str(value)
    text = str(iso())
    return text.removesuffix(":00") if text.count(":") == 2 and "T" not in text and "+" not in text else text


def unknown_fields(words: Words, known: Iterable[str]) -> list[str]:
    """The fields of `say` that no column and no argument has."""
    wanted = {name for text in words.wordings() for name in fields(text)}
    return sorted((wanted | ({words.say_by} - {""})) - set(known))
