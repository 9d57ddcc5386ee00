"""Any other language: what can be read without knowing it, and dates by `dateparser`.

Not there: name, spelled and yes_no, and so neither corrections nor "leave it"; `languages.missing` says so.
"""

from __future__ import annotations

import re
from datetime import datetime, time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from voicebridge.slots.choices import find_choices
from voicebridge.slots.digits import find_digits, find_phones
from voicebridge.slots.emails import find_emails
from voicebridge.slots.language import MASK, Asked, Context, Found, Language
from voicebridge.slots.numbers import in_bounds
from voicebridge.slots.times import within

if TYPE_CHECKING:
    from dateparser.date import DateDataParser

_CLOCK: Final = re.compile(
    r"(?<![\d:.])([01]?\d|2[0-3])(?:[:.]([0-5]\d)|\s?(?:h|uhr|heures?|horas?|uur)\b\s?([0-5]\d)?)(?![\d:])",
    re.IGNORECASE,
)
_NUMBER: Final = re.compile(r"(?<![\d.,:])-?\d{1,15}(?![\d:]|[.,]\d)")
DATE_CHARS: Final = 60


@lru_cache(maxsize=16)
def plain(code: str) -> Language:
    return Language(
        code=code,
        readers={
            "date": find_dates, "time": find_times, "number": find_numbers, "digits": find_digits, "phone": find_phones,
            "email": find_emails, "choice": find_choices, "text": find_texts,
        },
        answer=lambda _: "", cancels=lambda _: False, only_cancels=lambda _: False, meta=lambda _: False,
        dropped=lambda _: False, dropped_after=lambda _: False, repaired=lambda _: False, corrects=lambda _: -1,
        named=lambda _, __: -1, reserves=lambda _: False,
    )


@lru_cache(maxsize=16)
def _parser(code: str, today: datetime, past: bool) -> DateDataParser | None:
    """One a day: dateparser keeps every set of settings that it ever saw, so `today` has no time of day."""
    from dateparser.date import DateDataParser

    settings = {
        "RELATIVE_BASE": today, "PREFER_DATES_FROM": "past" if past else "future", "RETURN_AS_TIMEZONE_AWARE": False,
    }
    try:
        return DateDataParser(languages=[code], settings=settings)
    except ValueError:  # a language that dateparser does not know
        return None


def find_dates(text: str, asked: Asked, context: Context) -> list[Found]:
    """The date that the whole utterance says, where it was asked for; said back as YYYY-MM-DD."""
    said = text.replace(MASK, " ").strip(" .,!?")
    today = datetime.combine(context.now.date(), time())
    parser = _parser(context.language.split("-")[0], today, asked.slot.past)
    if not asked.lenient or not said or len(said) > DATE_CHARS or parser is None:
        return []
    try:
        that = parser.get_date_data(said).date_obj
    except (ValueError, OverflowError, TypeError):
        return []
    if that is None or (that.date() < context.now.date() and not asked.slot.past):
        return []
    value = that.date().isoformat()
    return [Found(0, len(text), value, value)]


def find_times(text: str, asked: Asked, context: Context) -> list[Found]:
    """"15:30", "15 h 30"."""
    found = []
    for match in _CLOCK.finditer(text):
        value = f"{int(match[1]):02d}:{match[2] or match[3] or '00'}"
        if within(time.fromisoformat(value), asked.slot):
            found.append(Found(match.start(), match.end(), value, value))
    return found


def find_numbers(text: str, asked: Asked, context: Context) -> list[Found]:
    """Numbers in digits, where they were asked for."""
    if not asked.lenient:
        return []
    return [
        Found(match.start(), match.end(), str(int(match.group())), str(int(match.group())))
        for match in _NUMBER.finditer(text) if in_bounds(int(match.group()), asked.slot)
    ]


def find_texts(text: str, asked: Asked, context: Context) -> list[Found]:
    value = " ".join(text.replace(MASK, " ").split())
    fits = asked.lenient and any(char.isalnum() for char in value) and len(value) >= (asked.slot.least or 1)
    return [Found(0, len(text), value[: asked.slot.most], value[: asked.slot.most])] if fits else []


