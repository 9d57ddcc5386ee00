"""Text as it is spoken: numbers, times, money, telephone numbers, addresses and abbreviations in words.

Small synthesizers read "$1,400" or "9 am" badly or not at all. Every replacement remembers what it stands for, so that
a word mark in the spoken text leads back to the text as it was written (what the caller heard is kept as written).
Number words come from `num2words`; languages other than English get those and nothing that is only English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_CHARS: Final = 4000


@dataclass(frozen=True, slots=True)
class Span:
    """spoken[start:end] stands for original[orig_start:orig_end]."""

    orig_start: int
    orig_end: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Spoken:
    text: str
    spans: tuple[Span, ...]

    def original_position(self, at: int) -> tuple[int, int]:
        """(start, end) in the original of the word that the spoken character at `at` belongs to."""
        for span in self.spans:
            if span.start <= at < span.end or (at <= span.start and span is self.spans[0]):
                return span.orig_start, span.orig_end
            if at < span.start:
                return span.orig_start, span.orig_end
        last = self.spans[-1] if self.spans else Span(0, 0, 0, 0)
        return last.orig_start, last.orig_end


def speak(text: str, language: str = "en") -> Spoken:
    """Never raises; text beyond 4,000 characters is cut off."""
    text = text[:MAX_CHARS]
    base = language.split("-")[0]
    pieces: list[str] = []
    spans: list[Span] = []
    length = at = 0

    def put(original: tuple[int, int], said: str) -> None:
        nonlocal length
        if not said:
            return
        if pieces:
            pieces.append(" ")
            length += 1
        pieces.append(said)
        spans.append(Span(*original, length, length + len(said)))
        length += len(said)

    pattern = _ENGLISH if base == "en" else _ANY
    while (token := pattern.search(text, at)) is not None:
        for word in _WORDS.finditer(text, at, token.start()):
            put(word.span(), _plain(word.group(), base))
        name = token.lastgroup or ""
        said = _READERS[name](token.group(), base)
        tail = _TAIL.match(text, token.end())
        put((token.start(), tail.end() if tail else token.end()), (said + (tail.group() if tail else "")).strip())
        at = tail.end() if tail else token.end()
    for word in _WORDS.finditer(text, at):
        put(word.span(), _plain(word.group(), base))
    return Spoken("".join(pieces), tuple(spans))


_WORDS: Final = re.compile(r"\S+")
_TAIL: Final = re.compile(r"[.,;:!?…]+(?=\s|$)")
_ABBREVIATIONS: Final = {
    "mr.": "mister", "mrs.": "missus", "ms.": "miss", "dr.": "doctor", "prof.": "professor", "approx.": "approximately",
    "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus", "dept.": "department",
    "mon.": "Monday", "tue.": "Tuesday", "wed.": "Wednesday", "thu.": "Thursday", "fri.": "Friday", "sat.": "Saturday",
    "sun.": "Sunday", "jan.": "January", "feb.": "February", "aug.": "August", "sept.": "September", "oct.": "October",
    "nov.": "November", "dec.": "December", "&": "and", "+": "plus", "%": "percent", "@": "at", "=": "equals",
    "and/or": "and or",
}
_UNITS: Final = {
    "km": "kilometres", "m": "metres", "cm": "centimetres", "mm": "millimetres", "kg": "kilograms", "g": "grams",
    "mph": "miles per hour", "km/h": "kilometres per hour", "l": "litres", "ml": "millilitres", "kb": "kilobytes",
    "mb": "megabytes", "gb": "gigabytes", "min": "minutes", "hrs": "hours", "h": "hours", "sec": "seconds",
    "ft": "feet",
}
_MONEY: Final = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
_DAYS: Final = {"mon": "Monday", "tue": "Tuesday", "tues": "Tuesday", "wed": "Wednesday", "thu": "Thursday",
                "thur": "Thursday", "thurs": "Thursday", "fri": "Friday", "sat": "Saturday", "sun": "Sunday"}
_MARKUP: Final = re.compile(r"^[*_#`~>|\-•·]+|[*_#`~|]+(?=[.,;:!?]*$)")


def _plain(word: str, language: str) -> str:
    """A word that no pattern reads: without mark-up, emoji and control characters."""
    word = _MARKUP.sub("", word)
    if language == "en" and (known := _ABBREVIATIONS.get(word.lower())) is not None:
        return known
    kept = "".join(c for c in word if unicodedata.category(c)[0] in "LNPM" or c in "'+%&@$€£=")
    kept = re.sub(r"[*_#`~|<>\[\]{}\\^]", "", kept)
    if language == "en" and "/" in kept and not kept.startswith("/"):
        kept = kept.replace("/", " or ")
    return kept if any(c.isalnum() for c in kept) else ""


def number(value: str, language: str = "en", *, to: str = "cardinal") -> str:
    """Digits (with , and .) in words; digit by digit where they are too many to be a quantity."""
    digits = value.replace(",", "")
    if len(digits.partition(".")[0]) > 15:
        return " ".join(digits)
    try:
        from num2words import num2words

        said = num2words(float(digits) if "." in digits else int(digits), lang=language, to=to)
    except (ImportError, NotImplementedError, OverflowError, ValueError):
        return value
    return str(said).replace("-", " ").replace(",", "")


def _digits(value: str) -> str:
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return " ".join(names[int(char)] for char in value if char.isdecimal())


def _phone(value: str, _: str) -> str:
    groups = [group for group in re.split(r"\D+", value) if group]
    lead = "plus " if value.strip().startswith("+") else ""
    return lead + ", ".join(_digits(group) for group in groups)


def _money(value: str, language: str) -> str:
    sign = next(char for char in value if char in _MONEY)
    match = re.search(r"([\d,]*\d)(?:\.(\d+))?\s?([a-z]*)", value, re.IGNORECASE)
    assert match is not None
    unit, small = _MONEY[sign]
    whole, part, scale = match.group(1), match.group(2) or "", match.group(3)
    if scale or len(part) not in (0, 2):
        return f"{number(f'{whole}.{part}'.rstrip('.'), language)} {scale} {unit}s".replace("  ", " ")
    cents = int(part or "0")
    units = f"{number(whole, language)} {unit}{'' if whole == '1' else 's'}"
    if not cents:
        return units
    many = "pence" if small == "penny" else "cents"
    rest = f"{number(str(cents), language)} {small if cents == 1 else many}"
    return rest if not int(whole.replace(",", "")) else f"{units} and {rest}"


def _clock(hour: int, minute: int, half: str) -> str:
    said = number(str(hour))
    if minute:
        said += f" oh {number(str(minute))}" if minute < 10 else f" {number(str(minute))}"
    elif not half:
        said += " o'clock"
    return said + {"a": " A M", "p": " P M", "": ""}[half]


def _time(value: str, _: str) -> str:
    match = re.match(r"(\d{1,2})(?:[:.](\d{2}))?\s*([ap])?", value, re.IGNORECASE)
    assert match is not None
    hour, minute, half = int(match.group(1)), int(match.group(2) or 0), (match.group(3) or "").lower()
    if not half and hour > 12:
        hour, half = hour - 12, "p"
    return _clock(hour, minute, half)


def _range(value: str, language: str) -> str:
    """From one to the other; a sign that only one of them bears is said once, behind the second."""
    first, last = re.split(r"\s*[-–—]\s*", value, maxsplit=1)
    if first[0] in _MONEY:
        last = last if last[0] in _MONEY else first[0] + last
        first = first.lstrip("".join(_MONEY) + " ")
    return f"{_item(first.rstrip('% '), language)} to {_item(last, language)}"


def _item(value: str, language: str) -> str:
    if (day := _DAYS.get(value.lower().rstrip("."))) is not None:
        return day
    if value[0] in _MONEY:
        return _money(value, language)
    if value.endswith("%"):
        return _percent(value, language)
    if re.fullmatch(r"\d{1,2}(?:[:.]\d{2})?\s*[ap]\.?m\.?|\d{1,2}:\d{2}", value, re.IGNORECASE):
        return _time(value, language)
    return number(value, language)


def _ordinal(value: str, language: str) -> str:
    return number(re.sub(r"\D", "", value), language, to="ordinal")


def _percent(value: str, language: str) -> str:
    return f"{number(value.rstrip('% '), language)} percent"


def _unit(value: str, language: str) -> str:
    match = re.match(r"([\d.,]+)\s*(\S+)", value)
    assert match is not None
    return f"{number(match.group(1), language)} {_UNITS.get(match.group(2).lower(), match.group(2))}"


def _minus(value: str, language: str) -> str:
    return f"minus {number(value[1:], language)}"


def _degrees(value: str, language: str) -> str:
    match = re.match(r"([-−]?)([\d.]+)", value)
    assert match is not None
    return f"{'minus ' if match.group(1) else ''}{number(match.group(2), language)} degrees"


def _numero(_: str, __: str) -> str:
    return "number"


_MONTHS: Final = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                  "November", "December")


def _year(value: str, language: str) -> str:
    return number(value, language, to="year")


def _date(value: str, language: str) -> str:
    year, month, day = (int(part) for part in value.split("-"))
    if not 1 <= month <= 12 or not 1 <= day <= 31:
        return _digits(value)
    return f"{_MONTHS[month - 1]} {number(str(day), language, to='ordinal')}, {_year(str(year), language)}"


def _address(value: str, _: str) -> str:
    """E-mail and web addresses: said as people say them."""
    value = re.sub(r"^https?://(www\.)?", "", value, flags=re.IGNORECASE)
    value = value.replace("@", " at ").replace(".", " dot ").replace("/", " slash ").replace("-", " dash ")
    return re.sub(r"\s+", " ", value.replace("_", " underscore ")).strip()


def _code(value: str, _: str) -> str:
    return " ".join(_digits(char) if char.isdigit() else char.upper() for char in value if char.isalnum())


def _acronym(value: str, _: str) -> str:
    return " ".join(value)


def _day(value: str, _: str) -> str:
    return _DAYS.get(value.rstrip(".").lower(), value)


_UNIT_NAMES: Final = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_DAY_NAME: Final = r"(?:mon|tues?|wed|thu(?:rs?)?|fri|sat|sun)"
_NUMBER: Final = r"\d+(?:,\d{3})*(?:\.\d+)?"
_TO: Final = r"\s?[-–—]\s?"
_HALF: Final = r"\s?(?:[ap]\.m\.|[ap]m\b)"
_TIME_HALF: Final = r"\d{1,2}(?:[:.]\d{2})?" + _HALF
_PATTERNS: Final[dict[str, tuple[str, Callable[[str, str], str]]]] = {
    "address": (r"https?://[^\s,]+[\w/]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+|\bwww\.[\w-]+(?:\.[\w-]+)+", _address),
    "date": (r"\b\d{4}-\d{2}-\d{2}\b", _date),
    "prices": (rf"[$€£]\s?{_NUMBER}{_TO}[$€£]?\s?{_NUMBER}(?![\w%])", _range),
    "money": (rf"[$€£]\s?{_NUMBER}(?:\s?(?:thousand|million|billion)\b)?|\b{_NUMBER}\s?[€£]", _money),
    "times": (rf"\b\d{{1,2}}(?:[:.]\d{{2}})?(?:{_HALF})?\s?[-–—]\s?{_TIME_HALF}", _range),
    "clocks": (r"\b\d{1,2}:\d{2}\s?[-–—]\s?\d{1,2}:\d{2}\b", _range),
    "time": (rf"\b{_TIME_HALF}|\b(?:[01]?\d|2[0-3]):[0-5]\d\b", _time),
    "days": (rf"\b{_DAY_NAME}\.?{_TO}{_DAY_NAME}(?:\.(?=\s)|\b)", _range),
    "phone": (
        r"\+\d[\d ()-]{4,18}\d\b|\(0\d{1,4}\)\s?\d[\d -]{3,12}\d\b|\b0\d{1,4}(?:[ -]\d{2,8})+\b|\b1-\d{3}-\d{3}-\d{4}\b"
        r"|\b\d{3}[ -]\d{3,4}(?:[ -]\d{2,4})+\b|\b\d{3}-\d{4}\b|\b0\d{6,14}\b|\b\d{7,15}\b",
        _phone,
    ),
    "percents": (rf"\b{_NUMBER}\s?%?{_TO}{_NUMBER}\s?%", _range),
    "percent": (rf"\b{_NUMBER}\s?%", _percent),
    "degrees": (r"(?<!\S)[-−]?\d+(?:\.\d+)?\s?°\s?(?:[CF]\b)?", _degrees),
    "unit": (rf"\b{_NUMBER}\s?(?:{_UNIT_NAMES})\b", _unit),
    "numero": (r"(?<!\S)(?:no\.\s?|[№#]\s?)(?=\d)", _numero),
    "ordinal": (r"\b\d{1,4}(?:st|nd|rd|th)\b", _ordinal),
    "range": (r"\b\d{1,4}\s?[-–—]\s?\d{1,4}\b", _range),
    "code": (r"\b(?=\w*\d)(?=\w*[A-Za-z])[A-Za-z0-9]{2,10}\b", _code),
    "year": (r"\b(?:1[5-9]|20)\d{2}\b(?![,.]\d)", _year),
    "minus": (rf"(?<!\S)[-−]{_NUMBER}(?!\w)", _minus),
    "number": (rf"\b{_NUMBER}(?!\w)", number),
    "day": (rf"\b{_DAY_NAME}\.(?=\s)", _day),
    "acronym": (r"\b(?=[A-Z]*[BCDFGHJKLMNPQRSTVWXZ])[A-Z]{2,5}\b", _acronym),
}
_READERS: Final = {name: reader for name, (_, reader) in _PATTERNS.items()}
_ENGLISH: Final = re.compile("|".join(f"(?P<{n}>{p})" for n, (p, _) in _PATTERNS.items() if n != "acronym")
                             + f"|(?P<acronym>(?-i:{_PATTERNS['acronym'][0]}))", re.IGNORECASE)
_ANY: Final = re.compile(f"(?P<number>{_PATTERNS['number'][0]})")
