"""Leaves out of a text what was secret: values that are named, however they were said, and payment cards' numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

MASK = "***"
CARD_DIGITS = range(14, 20)
CARD_BEGINS = frozenset("23456")
"""Of the numbers of banks' and travel cards (ISO/IEC 7812). Phone numbers as long as these begin with 0."""

_SPOKEN_DIGITS = {
    "zero": "0", "oh": "0", "o": "0", "nought": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9", "to": "2", "too": "2", "for": "4", "won": "1", "ate": "8",
}
_TEENS = {
    "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13", "fourteen": "14", "fifteen": "15", "sixteen": "16",
    "seventeen": "17", "eighteen": "18", "nineteen": "19",
}
_TENS = {
    "twenty": "2", "thirty": "3", "forty": "4", "fifty": "5", "sixty": "6", "seventy": "7", "eighty": "8",
    "ninety": "9",
}
_TIMES = {"double": 2, "triple": 3, "treble": 3}
_WORD = re.compile(r"[^\W_]+")


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """Without these values, written or read out digit by digit, and without card numbers."""
    digits = [found for secret in secrets if (found := re.sub(r"\D", "", secret)) and len(found) >= 3]
    for begin, end, number in reversed(list(_numbers(text))):
        if any(secret in number for secret in digits) or _holds_card(number):
            text = f"{text[:begin]}{MASK}{text[end:]}"
    for secret in secrets:
        if secret.strip():
            text = re.sub(_spaced(secret), MASK, text, flags=re.IGNORECASE)
    return text


def _spaced(secret: str) -> str:
    """A secret also where it is spelled: "s, m, i - t h"."""
    letters = [re.escape(letter) for letter in secret if not letter.isspace()]
    return r"(?<!\w)" + r"[\s,.\-]*".join(letters) + r"(?!\w)"


def _numbers(text: str) -> Iterator[tuple[int, int, str]]:
    """(begin, end, digits) of every run of digits, written or spoken, that only spaces and stops interrupt."""
    begin = end = -1
    digits, times, tens = "", 1, ""
    for word in _WORD.finditer(text):
        found = _digits_of(word.group().lower())
        again = _TIMES.get(word.group().lower())
        apart = begin >= 0 and re.search(r"[^\s,.\-/]", text[end : word.start()])
        if (found is None and again is None) or apart:
            if digits + tens:
                yield begin, end, digits + _full(tens)
            begin, digits, times, tens = -1, "", 1, ""
        if found is None and again is None:
            continue
        begin = word.start() if begin < 0 else begin
        end = word.end()
        if again is not None:
            times = again
            continue
        assert found is not None
        if tens:  # "forty seven" is 47, "forty" alone 40
            single = len(found) == 1 and found != "0" and not word.group().isdigit()
            digits += tens if single else _full(tens)
            tens = ""
        if word.group().lower() in _TENS:
            tens = found
        else:
            digits += found * times
        times = 1
    if digits + tens:
        yield begin, end, digits + _full(tens)


def _digits_of(word: str) -> str | None:
    if word.isdecimal():
        return "".join(str(int(letter)) for letter in word)
    return _SPOKEN_DIGITS.get(word) or _TEENS.get(word) or _TENS.get(word)


def _full(tens: str) -> str:
    return f"{tens}0" if tens else ""


def _holds_card(number: str) -> bool:
    """Whether a payment card's number is in it: one of their lengths, beginnings, and a right check digit (Luhn)."""
    return any(
        number[first] in CARD_BEGINS and _luhn(number[first : first + count])
        for count in CARD_DIGITS
        for first in range(len(number) - count + 1)
    )


def _luhn(number: str) -> bool:
    doubled = [sum(divmod(int(digit) * 2, 10)) for digit in number[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in number[-1::-2])) % 10 == 0
