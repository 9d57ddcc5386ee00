"""Rows in words: which wording is said, and with what in it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from voicebridge.conversation.templates import fields, fill
from voicebridge.slots.saying import say_date, say_time
from voicebridge_sql.settings import Words

OTHER: Final = "other"
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_TIME: Final = re.compile(r"\d{2}:\d{2}(?::\d{2})?")


@dataclass(frozen=True, slots=True)
class Speech:
    """How the rows of one run are told."""

    words: Words
    arguments: Mapping[str, Any]
    language: str
    today: date

    def of(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Each row in its words, one behind the other; a row for which there are none is left out."""
        return " ".join(text for text in (self._row({**self.arguments, **row}) for row in rows) if text)

    def _row(self, values: Mapping[str, Any]) -> str:
        say = self.words.say
        if isinstance(say, dict):
            say = say.get(spelled(values.get(self.words.say_by)), say.get(OTHER, ""))
        for text in (say,) if isinstance(say, str) else say:
            wanted = fields(text)
            if all(values.get(name) is not None for name in wanted):
                return fill(text, {name: self._spoken(values[name]) for name in wanted})
        return ""

    def _spoken(self, value: Any) -> str:
        """Dates and times of day as people say them (English so far; elsewhere in ISO form)."""
        text = spelled(value)
        if not self.language.startswith("en"):
            return text
        try:
            if _DATE.fullmatch(text):
                return say_date(date.fromisoformat(text), self.today)
            return say_time(time.fromisoformat(text)) if _TIME.fullmatch(text) else text
        except ValueError:
            return text  # it only looks like one


def refusal(words: Words, rule: str) -> str:
    """What is said of a write that the database's own rule does not allow."""
    said = words.conflict
    return said if isinstance(said, str) else said.get(rule, said.get(OTHER, ""))


def spelled(value: Any) -> str:
    """A value as text: dates and times in ISO form, whole numbers without ".0"."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float() | Decimal() if math.isfinite(value) and value == int(value):
            return str(int(value))
        case datetime():
            return value.isoformat(" ", "minutes")
        case time():
            return value.isoformat("seconds" if value.second else "minutes")
        case date():
            return value.isoformat()
    return str(value)


def unknown_fields(words: Words, known: Iterable[str]) -> list[str]:
    """The fields of `say` that no column and no argument has."""
    wanted = {name for text in words.wordings() for name in fields(text)}
    return sorted((wanted | ({words.say_by} - {""})) - set(known))
