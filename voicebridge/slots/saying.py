"""How the agent says a value back."""

from __future__ import annotations

from datetime import date, time
from typing import Final

from voicebridge.conversation.form import Slot

_MONTHS: Final = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                  "November", "December")
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SIGNS: Final = {"-": "dash", "/": "slash", ".": "dot", "_": "underscore", "'": "apostrophe", "@": "at", "+": "plus"}
YEAR_UNSAID_DAYS: Final = 300
"""Within so many days a date needs no year."""


def ordinal(number: int) -> str:
    tail = "th" if 11 <= number % 100 <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{tail}"


def say_date(that: date, today: date) -> str:
    """"Tuesday, December 1st"; with the year where it is far off: "March 2nd, 1984"."""
    plain = f"{_MONTHS[that.month - 1]} {ordinal(that.day)}"
    if 0 <= (that - today).days <= YEAR_UNSAID_DAYS:
        return f"{_WEEKDAYS[that.weekday()]}, {plain}"
    return f"{plain}, {that.year:04d}"


def say_time(that: time) -> str:
    """"2:30 pm", "3 pm", "noon"."""
    if that in (time(0), time(12)):
        return "noon" if that.hour else "midnight"
    hour, half = that.hour % 12 or 12, "pm" if that.hour >= 12 else "am"
    return f"{hour}:{that.minute:02d} {half}" if that.minute else f"{hour} {half}"


def say_digits(digits: str) -> str:
    """Digit by digit, in groups of three and four with a rest between: "5 5 5, 0 1 4 2"."""
    lead, digits = ("plus ", digits[1:]) if digits.startswith("+") else ("", digits)
    return lead + ", ".join(" ".join(group) for group in grouped(digits))


def grouped(digits: str) -> list[str]:
    """Threes, with fours at the end where they come out even; four alone stay together."""
    length = len(digits)
    if length <= 4:
        return [digits]
    fours = length % 3 if length % 3 * 4 <= length else 0
    threes, out, at = (length - 4 * fours), [], 0
    for size in [3] * (threes // 3) + ([threes % 3] if threes % 3 else []) + [4] * fours:
        out.append(digits[at : at + size])
        at += size
    return out


def say_spelled(signs: str) -> str:
    """"S, M, I, T, H"."""
    return ", ".join(_SIGNS.get(sign, sign.upper()) for sign in signs)


def say_email(address: str) -> str:
    for sign, name in (("@", "at"), (".", "dot"), ("_", "underscore"), ("-", "dash"), ("+", "plus")):
        address = address.replace(sign, f" {name} ")
    return " ".join(address.split())


def say_choice(slot: Slot, value: str) -> str:
    """The value's own words; where it is a code, the first of the other ways to say it."""
    choice = next((choice for choice in slot.choices if choice.value == value), None)
    if choice and choice.words and any(char.isdigit() for char in value):
        return choice.words[0]
    return value.replace("_", " ").replace("-", " ")
