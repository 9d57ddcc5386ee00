"""Dates as English callers say them: "Tuesday", "a week on Monday", "the third of December", "in two weeks".

Own rules: of 14 such phrases dateparser 1.5 read 6 right, parsedatetime 2.6 the date of 6, recurrent 0.4 of 7; none of
them "the third", "December third" or "a week on Monday". "Next Friday" is the Friday of the week after this one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from rapidfuzz import fuzz, process

from voicebridge.slots import calendar
from voicebridge.slots.datewords import FUZZY, HOLIDAYS, MISHEARD, MONTHS, RISKY, SHORT, WEEKDAYS
from voicebridge.slots.language import MAX_FOUND, Asked, Context, Found
from voicebridge.slots.line import Line, line
from voicebridge.slots.saying import say_date

FUZZY_SCORE: Final = 80
_WD: Final = rf"(?P<wd>(?:{'|'.join(WEEKDAYS)})(?:'?s)?|{'|'.join(SHORT)})"
_MON: Final = rf"(?P<mon>{'|'.join(MONTHS)})"
_YEAR: Final = r"(?P<y>(?:19|20)\d\d|(?:19|20) (?:\d\d|oh \d))"
_SHORT_YEAR: Final = r"(?P<y>\d\d)(?! \d| oh)"
_THE: Final = r"(?:the )?"
_WD_BEFORE: Final = rf"(?:{_WD}(?: on)? )?"
_DAY: Final = r"(?P<d>#?\d{1,2})"
_N: Final = r"(?P<n>\d{1,3}|a couple of|a couple|a few|a|an|one)"
_END: Final = (
    r"(?= ?$| (?:at|and|please|if|would|is|in|or|from|around|about|between|works|then|with|for|of|that|thanks|thank|"
    r"so|by|but|instead|not|after|before|until|till|to|no|sorry|i|we|my|morning|afternoon|evening|\x00|\d))"
)
Reckon = Callable[[re.Match[str], date, bool], date | None]


def find_dates(text: str, asked: Asked, context: Context) -> list[Found]:
    """Dates as YYYY-MM-DD. None in the past unless the slot allows it."""
    said = line(text)
    found = _found(said, asked, context)
    if found is None and asked.by_sound and (mended := _mended(said)) is not said:
        found = _found(mended, asked, context)
    if found is None and asked.by_sound:
        found = _found(line(text, 2), asked, context, only_bare=True)
    return found or []


def _found(said: Line, asked: Asked, context: Context, *, only_bare: bool = False) -> list[Found] | None:
    """None where nothing looks like a date; one that cannot be (the 31st of February) is found and left out."""
    today, past = context.now.date(), asked.slot.past
    taken: list[tuple[int, int, date | None]] = []
    patterns = [] if only_bare else [*(_BORN if past else ()), *_SURE]
    for pattern, reckon in patterns:
        for match in pattern.finditer(said.text):
            if len(taken) >= MAX_FOUND or any(match.start() < end and match.end() > start for start, end, _ in taken):
                continue
            that = _numeric(match, context) if reckon is None else _reckoned(reckon, match, today, past)
            taken.append((match.start(), match.end(), that))
    taken = taken or _relative(said, asked)
    for pattern, reckon in _ASKED if asked.lenient else ():
        taken = taken or [(match.start(), match.end(), _reckoned(reckon, match, today, past))
                          for match in pattern.finditer(said.text) if reckon]
    out = []
    for start, end, found in sorted(taken, key=lambda each: each[0]):
        start, that = _shifted(said.text, start, found)
        if that is not None and (that >= today or past):
            out.append(Found(*said.span(start, end), that.isoformat(), say_date(that, today)))
    return out if taken else None


def _reckoned(reckon: Reckon, match: re.Match[str], today: date, past: bool) -> date | None:
    try:
        return reckon(match, today, past)
    except (ValueError, OverflowError):  # beyond the calendar's years
        return None


def _mended(said: Line) -> Line:
    """With what sounds like a weekday, "tomorrow" or a month in its place."""
    texts = []
    for word in said.words:
        text = MISHEARD.get(word.text, word.text)
        if text.isalpha() and len(text) >= 5 and text not in MONTHS and text not in WEEKDAYS:
            best = process.extractOne(text, FUZZY, scorer=fuzz.ratio, score_cutoff=FUZZY_SCORE)
            text = best[0] if best else text
        texts.append(text)
    if texts == [word.text for word in said.words]:
        return said
    starts, at = [], 0
    for text in texts:
        starts.append(at)
        at += len(text) + 1
    return Line(" ".join(texts), said.words, tuple(starts))


def _weekday(match: re.Match[str]) -> int:
    names = WEEKDAYS | SHORT | RISKY
    said = match["wd"]
    return names[said] if said in names else names[re.sub(r"'?s$", "", said)]


def _count(match: re.Match[str]) -> int:
    said = match["n"]
    return int(said) if said.isdigit() else {"a couple of": 2, "a couple": 2, "a few": 3}.get(said, 1)


def _year(match: re.Match[str], today: date) -> int | None:
    said = match["y"] or ""
    if not said:
        return None
    if len(said) == 2:
        year = today.year // 100 * 100 + int(said)
        return year - 100 if year > today.year else year
    return int(said.replace(" oh ", "0").replace(" ", ""))


def _day_of_month(match: re.Match[str], today: date, past: bool) -> date | None:
    number, month = int(match["d"].lstrip("#")), MONTHS[match["mon"]]
    return calendar.month_day(today, month, number, _year(match, today), past=past)


def _numbered(match: re.Match[str], today: date, past: bool) -> date | None:
    """"The fifth of the third, eighty-four"."""
    return calendar.month_day(today, int(match["m"]), int(match["d"]), _year(match, today), past=past)


def _relative_month(match: re.Match[str], today: date, _: bool) -> date | None:
    first = calendar.plus_months(today.replace(day=1), {"next": 1, "last": -1}.get(match["which"], 0))
    return calendar.day(first.year, first.month, int(match["d"].lstrip("#")))


def _nth(match: re.Match[str], today: date, past: bool) -> date | None:
    nth = -1 if match["nth"] == "last" else int(match["nth"].lstrip("#"))
    weekday = _weekday(match)
    if match["mon"]:
        month = MONTHS[match["mon"]]
        years = (today.year - 1, today.year) if past else (today.year, today.year + 1)
        days = [calendar.nth_weekday(year, month, weekday, nth) for year in years]
        fit = [that for that in days if that and (that <= today if past else that >= today)]
        return (fit[-1] if past else fit[0]) if fit else None
    first = calendar.plus_months(today.replace(day=1), 1 if "next" in match.group() else 0)
    return calendar.nth_weekday(first.year, first.month, weekday, nth)


def _span(match: re.Match[str], today: date, _: bool) -> date:
    count, unit = _count(match), match["unit"].rstrip("s")
    count = -count if match.group().endswith(("ago", "back")) else count
    if unit in {"month", "year"}:
        return calendar.plus_months(today, count * (12 if unit == "year" else 1))
    return today + timedelta(days=count * {"day": 1, "week": 7, "fortnight": 14, "night": 1}[unit])


def _weeks_on(match: re.Match[str], today: date, _: bool) -> date:
    weeks = _count(match) * (2 if match["unit"].startswith("fortnight") else 1)
    what = match["what"]
    start = {"today": today, "now": today, "tomorrow": today + timedelta(days=1)}.get(what)
    if start is None:
        start = calendar.coming(today, _weekday(match))
    return start + timedelta(weeks=weeks)


def _week_suffix(match: re.Match[str], today: date, _: bool) -> date:
    """"Monday week", "today week"."""
    weeks = 2 if match["unit"] == "fortnight" else 1
    start = {"today": today, "tomorrow": today + timedelta(days=1)}.get(match["what"])
    return (start or calendar.coming(today, _weekday(match))) + timedelta(weeks=weeks)


def _bare(match: re.Match[str], today: date, past: bool) -> date:
    weekday = _weekday(match)
    if past:
        return today - timedelta(days=(today.weekday() - weekday) % 7 or 7)
    return calendar.coming(today, weekday)


def _which(match: re.Match[str], today: date, _: bool) -> date:
    weekday, which = _weekday(match), match["which"]
    if which in {"last", "past", "previous"}:
        return today - timedelta(days=(today.weekday() - weekday) % 7 or 7)
    if which == "next":
        return calendar.in_week(today, weekday, 1)
    return calendar.coming(today, weekday, today_counts=which == "this")


def _week(weeks: int) -> Reckon:
    return lambda match, today, _: calendar.in_week(today, _weekday(match), weeks)


def _after_next(match: re.Match[str], today: date, _: bool) -> date:
    return calendar.coming(today, _weekday(match)) + timedelta(weeks=1)


def _nth_coming(match: re.Match[str], today: date, _: bool) -> date:
    """"Two Fridays from now"."""
    return calendar.coming(today, _weekday(match)) + timedelta(weeks=_count(match) - 1)


def _in_weeks(match: re.Match[str], today: date, _: bool) -> date:
    return calendar.in_week(today, _weekday(match), _count(match) * (2 if "fortnight" in match.group() else 1))


def _days(days: int) -> Reckon:
    return lambda _, today, __: today + timedelta(days=days)


def _holiday(match: re.Match[str], today: date, past: bool) -> date | None:
    return calendar.month_day(today, *HOLIDAYS[match.group()], None, past=past)


def _month_end(match: re.Match[str], today: date, past: bool) -> date | None:
    if match["mon"]:
        first = calendar.month_day(today.replace(day=1), MONTHS[match["mon"]], 1, None, past=past)
        return calendar.month_end(first) if first else None
    return calendar.month_end(calendar.plus_months(today.replace(day=1), 1 if "next" in match.group() else 0))


def _with_number(match: re.Match[str], today: date, past: bool) -> date | None:
    return calendar.weekday_number(today, _weekday(match), int(match["d"].lstrip("#")), past=past)


def _number(match: re.Match[str], today: date, past: bool) -> date | None:
    return calendar.day_number(today, int(match["d"].lstrip("#")), past=past)


def _numeric(match: re.Match[str], context: Context) -> date | None:
    """3/4, 3/4/2027, 3.4.2027, 2027-04-03 and, of birthdays, "oh three oh four nineteen ninety"."""
    today = context.now.date()
    if "y" in match.groupdict():
        parts = [int(match["a"]), int(match["b"]), _year(match, today) or 0]
    else:
        parts = [int(part) for part in re.split(r"\D", match.group())]
    if "-" in match.group():
        return calendar.day(*parts)
    first, second = parts[:2]
    month_first = "." not in match.group() and (second > 12 or (context.month_first and first <= 12))
    month, number = (first, second) if month_first else (second, first)
    year = parts[2] if len(parts) > 2 else None
    if year is not None and year < 100:
        year += 2000 if year <= today.year % 100 + 10 else 1900
    return calendar.month_day(today, month, number, year, past=False) if 1 <= month <= 12 else None


def _shifted(text: str, start: int, that: date | None) -> tuple[int, date | None]:
    """"The day after Christmas"."""
    if that is None or (match := _SHIFT.search(text[:start])) is None:
        return start, that
    days = (7 if match["unit"] == "week" else 1) * (-1 if match["way"] == "before" else 1) * int(match["n"] or 1)
    try:
        return match.start(), that + timedelta(days=days)
    except OverflowError:
        return start, None


def _relative(said: Line, asked: Asked) -> list[tuple[int, int, date | None]]:
    """"A day later": from what the slot holds."""
    if asked.known is None or (match := _LATER.search(said.text)) is None:
        return []
    days = (7 if "week" in match.group() else 1) * (int(match["n"]) if (match["n"] or "").isdigit() else 1)
    if re.search(r"earlier|sooner|before|previous", match.group()):
        days = -days
    try:
        return [(match.start(), match.end(), date.fromisoformat(asked.known.value) + timedelta(days=days))]
    except (ValueError, OverflowError):
        return []


_SHIFT: Final = re.compile(r"(?:the )?\b(?:(?P<n>\d{1,2}) )?(?P<unit>day|week)s? (?P<way>after|before) (?:the )?$")
_LATER: Final = re.compile(
    r"\b(?:(?P<n>a|\d{1,2}) )?(?:day|week)s? (?:later|earlier|sooner|before|after)\b"
    r"|\bthe (?:next|following|previous) (?:day|week)\b"
)
_Rules = list[tuple[re.Pattern[str], Reckon | None]]


def _rules(*rules: tuple[str, Reckon | None]) -> _Rules:
    return [(re.compile(rf"(?<!\S)(?:{pattern})(?!\S)"), reckon) for pattern, reckon in rules]


_BORN: Final = _rules(
    (rf"{_YEAR} {_THE}{_DAY} (?:of )?{_MON}", _day_of_month),
    (rf"{_YEAR} {_MON} {_THE}{_DAY}", _day_of_month),
    (rf"{_THE}{_DAY} (?:day )?(?:of )?{_MON}(?: in)? {_SHORT_YEAR}", _day_of_month),
    (rf"(?<!of )(?<!\d ){_MON} {_THE}{_DAY}(?: in)? {_SHORT_YEAR}", _day_of_month),
    (rf"{_THE}#(?P<d>\d{{1,2}}) (?:of )?{_THE}#(?P<m>1[0-2]|[1-9]) {_SHORT_YEAR}", _numbered),
    (rf"(?:oh )?(?P<a>\d{{1,2}}) (?:oh )?(?P<b>\d{{1,2}}) {_YEAR}", None),
)
_SURE: Final = _rules(
    (r"(?:\d{4}-\d{1,2}-\d{1,2}|\d{1,2}/\d{1,2}(?:/\d{2,4})?|\d{1,2}\.\d{1,2}\.\d{2,4})", None),
    (rf"{_THE}day after tomorrow", _days(2)),
    (rf"{_THE}day before yesterday", _days(-2)),
    (rf"{_THE}(?P<nth>#[1-5]|last) {_WD} (?:of|in) (?:{_MON}|next month|this month|the month)", _nth),
    (rf"{_WD_BEFORE}{_THE}{_DAY} (?:day )?(?:of )?{_MON}(?:(?: in)? {_YEAR})?", _day_of_month),
    (rf"{_WD_BEFORE}{_MON} {_THE}{_DAY}(?:(?: in)? {_YEAR})?", _day_of_month),
    (rf"{_THE}{_DAY} of the month", _number),
    (rf"{_WD_BEFORE}{_THE}{_DAY} of (?P<which>next|this|the|last) month", _relative_month),
    (rf"(?P<which>next|this) month (?:on )?{_THE}(?P<d>#\d{{1,2}})", _relative_month),
    (rf"{_THE}#(?P<d>\d{{1,2}}) (?:of )?{_THE}#(?P<m>1[0-2]|[1-9])(?: {_YEAR})?", _numbered),
    (rf"{_N} (?P<unit>weeks?|fortnights?)(?: on| from| after| next)? (?P<what>today|now|tomorrow|{_WD})", _weeks_on),
    (rf"(?P<what>{_WD}|today|tomorrow) (?:a )?(?P<unit>week|fortnight)", _week_suffix),
    (rf"{_THE}week after next (?:on )?{_WD}", _week(2)),
    (rf"next week(?:'s)? (?:on )?{_WD}", _week(1)),
    (rf"this week(?:'s)? (?:on )?{_WD}", _week(0)),
    (rf"last week(?:'s)? (?:on )?{_WD}", _week(-1)),
    (rf"{_THE}{_WD} (?:of |in )?last week", _week(-1)),
    (rf"{_N} {_WD} from now", _nth_coming),
    (rf"not (?:this |on )?{_WD} (?:but )?(?:the )?next(?: 1)?", _after_next),
    (r"not tomorrow (?:but )?the day after", _days(2)),
    (rf"{_THE}{_WD} (?:of |in )?{_THE}week after next", _week(2)),
    (rf"{_THE}{_WD} (?:of |in )?(?:next week|{_THE}following week|{_THE}week after)", _week(1)),
    (rf"{_THE}{_WD} (?:of |in )?this week", _week(0)),
    (rf"{_THE}{_WD} after next", _after_next),
    (rf"in {_N} (?P<unit>weeks?|fortnights?)(?:'? time)? on {_WD}", _in_weeks),
    (rf"{_THE}{_WD} in {_N} (?P<unit>weeks?|fortnights?)(?:'? time)?", _in_weeks),
    (rf"{_THE}(?P<which>next|this|coming|last|past|previous)(?: coming)? {_WD} {_THE}{_DAY}(?= |$)", _with_number),
    (rf"(?:this |next |{_THE}coming )?{_WD}(?: on)? {_THE}(?P<d>#\d{{1,2}})", _with_number),
    (rf"{_THE}(?P<which>next|this|coming|last|past|previous)(?: coming)? {_WD}", _which),
    (rf"in {_N} (?P<unit>days?|weeks?|months?|fortnights?|years?)(?:'?s?'? time)?", _span),
    (rf"{_N} (?P<unit>days?|weeks?|months?|fortnights?|years?) (?:from now|from today|ago|hence|back)", _span),
    (rf"{_N} (?P<unit>weeks?|fortnights?)'? time", _span),
    (rf"(?:{'|'.join(sorted(HOLIDAYS, key=len, reverse=True))})", _holiday),
    (rf"{_THE}end of (?:{_MON}|the month|this month|next month)", _month_end),
    (rf"{_THE}last day (?:of|in) (?:{_MON}|the month|this month|next month)", _month_end),
    (r"(?:tomorrow|tomorrow's)", _days(1)),
    (r"(?:today|tonight|this (?:morning|afternoon|evening)|later today|right now)", _days(0)),
    (r"yesterday|last night", _days(-1)),
    (_WD, _bare),
    (rf"(?:on|for|by|from|until|till|to|since) the #?(?P<d>\d{{1,2}})(?! \d){_END}", _number),
)
_ASKED: Final = _rules(
    (r"(?<!a )(?<!1 )(?:the )?#(?P<d>\d{1,2})(?! 1\b)", _number),
    (r"the (?P<d>\d{1,2})", _number),
    (r"(?:(?<=^)|(?<=it's )|(?<=on ))(?P<d>\d{1,2})(?: please)?(?=$)", _number),
    (rf"(?P<wd>{'|'.join(RISKY)})", _bare),
)
