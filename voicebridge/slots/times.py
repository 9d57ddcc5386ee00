"""Times of day as English callers say them: "half past two", "three thirty p.m.", "quarter to nine", "at 15:00"."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Final

from voicebridge.conversation.form import Slot
from voicebridge.slots.language import MAX_FOUND, Asked, Context, Found
from voicebridge.slots.line import Line, line
from voicebridge.slots.saying import say_time

_H: Final = r"(?P<h>1\d|2[0-4]|0?\d)"
_M: Final = r"(?P<m>[0-5]\d|oh [1-9]|5)"
_AP: Final = r"(?: (?P<ap>am|pm))"
_AT: Final = r"(?:at|around|about|approximately|roughly|by|from|after|before|until|till|towards|between|make it|maybe)"
_END: Final = (
    r"(?= ?$| (?:and|please|if|would|is|or|on|in|works|then|with|that|thanks|thank|so|but|instead|not|sharp|tomorrow|"
    r"today|tonight|this|next|no|sorry|i|we|for|my|under|monday|tuesday|wednesday|thursday|friday|saturday|sunday|"
    r"\x00))"
)
_Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[int, int] | None]]
MORNING: Final = re.compile(r"(?<!good )\b(?:morning|breakfast)\b")
EVENING: Final = re.compile(r"(?<!good )\b(?:afternoon|evening|tonight|dinner|pm)\b")
ALONE_WORDS: Final = 3
_GOES_ON: Final = re.compile(r"[\s,]*(?:in the|at night|o'? ?clock|a\.? ?m|p\.? ?m)\b", re.IGNORECASE)
NIGHT: Final = re.compile(r"(?<!good )\bnight\b")


def find_times(text: str, asked: Asked, context: Context) -> list[Found]:
    """Times as HH:MM (24 hours); "at three" is taken as the slot's opening hours have it."""
    found = _found(line(text), asked, context)
    for sound in (1, 2) if asked.by_sound and not found else ():
        found = found or [each for each in _found(line(text, sound), asked, context) if _is_heard(each, text)]
    return found


def _is_heard(found: Found, text: str) -> bool:
    """Whether a word that only sounds like an hour is one: "to" alone may be, "let me talk to somebody" has none."""
    alone = len(text[found.start : found.end].split()) == 1
    return not alone or len(text.split()) <= ALONE_WORDS or _GOES_ON.match(text[found.end :]) is not None


def _found(said: Line, asked: Asked, context: Context) -> list[Found]:
    taken = _relative(said.text, context.now)
    for pattern, read in (*_SURE, *(_ASKED if asked.lenient else ())):
        for match in pattern.finditer(said.text):
            if len(taken) >= MAX_FOUND or any(match.start() < end and match.end() > start for start, end, _ in taken):
                continue
            if (clock := read(match)) is not None and (that := _settled(clock, match, said.text, asked.slot)):
                taken.append((match.start(), match.end(), that))
    if not taken:
        taken = _moved(said.text, asked)
    return [
        Found(*said.span(start, end), that.strftime("%H:%M"), say_time(that))
        for start, end, that in sorted(taken) if within(that, asked.slot)
    ]


def _settled(clock: tuple[int, int], match: re.Match[str], text: str, slot: Slot) -> time | None:
    """Morning or afternoon, by what is said with it, else by the hours that are open, else by custom."""
    hour, minute = clock
    if hour == 24:
        hour = 0
    if hour > 23 or minute > 59:
        return None
    half = match.groupdict().get("ap") or ""
    exact = hour == 0 or hour > 12 or bool(re.match(r"(?:\D* )?0\d[:.]?\d\d", match.group()))
    if exact or (not half and _exact_words(match.group())):
        return time(hour, minute)
    half = half or _half_of_day(text, hour)
    early, late = time(hour % 12, minute), time(hour % 12 + 12, minute)
    if half:
        return early if half == "am" else late
    if within(early, slot) != within(late, slot):
        return early if within(early, slot) else late
    return early if 7 <= hour < 12 else late


def _exact_words(said: str) -> bool:
    return said.split()[-1] in {"noon", "midday", "midnight"}


def _half_of_day(text: str, hour: int) -> str:
    if MORNING.search(text) and not EVENING.search(text):
        return "am"
    if EVENING.search(text) and not MORNING.search(text):
        return "pm"
    if NIGHT.search(text):
        return "pm" if 5 <= hour < 12 else "am"
    return ""


def within(that: time, slot: Slot) -> bool:
    """Whether the slot's `opens` and `closes` allow it; a closing time before the opening one is past midnight."""
    if not slot.opens and not slot.closes:
        return True
    said, opens, closes = that.strftime("%H:%M"), slot.opens or "00:00", slot.closes or "24:00"
    return opens <= said <= closes if opens <= closes else said >= opens or said <= closes


def _plain(match: re.Match[str]) -> tuple[int, int]:
    return int(match["h"]), int((match.groupdict().get("m") or "0").replace("oh ", ""))


def _half(match: re.Match[str]) -> tuple[int, int] | None:
    hour = int(match["h"])
    return (hour, 30) if 1 <= hour <= 12 else None


def _past_to(match: re.Match[str]) -> tuple[int, int] | None:
    hour, minutes = int(match["h"]), 15 if "quarter" in match.group() else int(match["m"])
    if not 1 <= minutes <= 59:
        return None
    if match["way"] in {"past", "after"}:
        return hour, minutes
    return ((hour - 1) % 24 or (12 if hour == 1 else 0), 60 - minutes)


def _run(match: re.Match[str]) -> tuple[int, int] | None:
    """"530", "1015", "1500"."""
    digits = match["run"]
    return int(digits[:-2]), int(digits[-2:])


def _word(match: re.Match[str]) -> tuple[int, int]:
    return (0, 0) if "midnight" in match.group() else (12, 0)


def _rules(*rules: tuple[str, Callable[[re.Match[str]], tuple[int, int] | None]]) -> list[_Rule]:
    return [(re.compile(rf"(?<!\S)(?:{pattern})(?!\S)"), read) for pattern, read in rules]


_WAY: Final = r"(?P<way>past|after|to|before|of|till|until)"
_O: Final = r"(?: o'clock)?"
_SURE: Final = _rules(
    (r"(?:12 )?(?:noon|midday|midnight)", _word),
    (rf"half (?:past |after )?{_H}{_O}{_AP}?", _half),
    (rf"(?:a )?quarter {_WAY} {_H}{_O}{_AP}?", _past_to),
    (rf"(?<!from )(?P<m>[1-5]?\d) minutes? {_WAY} {_H}{_O}{_AP}?", _past_to),
    (rf"(?<!from )(?<!between )(?P<m>5|10|20|25) {_WAY} {_H}{_O}{_AP}?", _past_to),
    (rf"(?<!from )(?<!between )(?P<m>[1-5]?\d) (?P<way>past) {_H}{_O}{_AP}?", _past_to),
    (rf"{_H}[:.](?P<m>[0-5]\d){_AP}", _plain),
    (rf"{_H}[:](?P<m>[0-5]\d)(?: hours| h)?", _plain),
    (rf"{_H} {_M}{_AP}", _plain),
    (rf"(?P<run>(?:1\d|2[0-4]|0?\d)[0-5]\d)(?:{_AP}| hours)", _run),
    (rf"{_H} o'clock{_AP}?", _plain),
    (rf"{_H}{_AP}", _plain),
    (rf"(?:{_AT}) {_H} (?P<m>[0-5]\d|oh [1-9]){_END}", _plain),
    (rf"(?:{_AT}) {_H}[.](?P<m>[0-5]\d){_END}", _plain),
    (rf"(?:{_AT}) (?P<run>(?:1\d|2[0-3]|0?\d)[0-5][05]){_END}", _run),
    (rf"(?:{_AT}) {_H}{_END}", _plain),
    (rf"{_H}(?: (?P<m>[0-5]\d))? (?:in the (?:morning|afternoon|evening)|at night|tonight|this (?:afternoon|evening))",
     _plain),
    (rf"(?:morning|afternoon|evening|tonight) {_H}(?: (?P<m>[0-5]\d))?{_END}", _plain),
)
_ASKED: Final = _rules(
    (rf"{_H} {_M}", _plain),
    (rf"{_H}[.](?P<m>[0-5]\d)", _plain),
    (r"(?P<run>(?:1\d|2[0-3]|0?\d)[0-5]\d)", _run),
    (rf"{_H}(?! (?:past|to|of|after|before|till|minutes?|hours?|people|days?)(?!\S))", _plain),
)
_IN: Final = re.compile(
    r"(?<!\S)in (?:(?P<half>half an hour)|(?P<quarter>(?:a )?quarter of an hour)|(?P<one>an|a|1|\d{1,2}) "
    r"(?P<unit>hours?|minutes?)(?P<and> and a half)?)(?!\S)"
)
_LATER: Final = re.compile(
    r"(?<!\S)(?:(?P<half>half an hour)|(?P<one>an|a|\d{1,2}) (?P<unit>hours?|minutes?)(?P<and> and a half)?) "
    r"(?P<way>later|earlier|sooner|after that|before that)(?!\S)"
)


def _length(match: re.Match[str]) -> timedelta:
    if match["half"]:
        return timedelta(minutes=30)
    if match.groupdict().get("quarter"):
        return timedelta(minutes=15)
    count = int(match["one"]) if match["one"].isdigit() else 1
    minutes = count * (60 if match["unit"].startswith("hour") else 1)
    return timedelta(minutes=minutes + (30 if match["and"] else 0))


def _relative(text: str, now: datetime) -> list[tuple[int, int, time]]:
    """"In half an hour"."""
    if (match := _IN.search(text)) is None:
        return []
    return [(match.start(), match.end(), (now + _length(match)).time().replace(second=0, microsecond=0))]


def _moved(text: str, asked: Asked) -> list[tuple[int, int, time]]:
    """"An hour later", "in the afternoon": from the time that the slot holds."""
    try:
        held = datetime.fromisoformat(f"2000-01-01T{asked.known.value}") if asked.known else None
    except ValueError:
        held = None
    if held is None:
        return []
    if (match := _LATER.search(text)) is not None:
        way = -1 if match["way"] in {"earlier", "sooner", "before that"} else 1
        return [(match.start(), match.end(), (held + way * _length(match)).time())]
    if asked.lenient and (half := _half_of_day(text, held.hour % 12 or 12)):
        hour = held.hour % 12 + (12 if half == "pm" else 0)
        return [(0, len(text), held.time().replace(hour=hour))] if hour != held.hour else []
    return []
