"""What is taken out of what was said before it is stored, shown, sent or logged.

`[card]`, `[number]` and `[email]` stand for payment cards' numbers (Luhn), for other numbers of five or more digits in
a row, however they are written or read out, and for addresses. Dates, times of day and prices stay.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

from voicebridge.conversation.readout import Number, Numeral, holds_card, numbers
from voicebridge.operating import Kind

KINDS: Final[tuple[Kind, ...]] = ("card", "number", "email")
LEAST: Final = 5
"""Digits in a row from which a number is one that could be a person's."""
ANSWER: Final = 3
"""The same where a number was asked for: it may come in groups."""
NUMBERED: Final = frozenset({"digits", "phone", "number"})
"""Kinds of slots that are answered by digits."""
_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
_AMOUNT = r"(?:\d{1,3}(?:[.,]\d{3}){1,2}|\d{1,6})(?:[.,]\d{1,2})?"
_PLAIN: Final = re.compile(
    rf"(?<!\d)(?:{_YEAR}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])|{_DAY}[./]{_MONTH}[./]{_YEAR}|{_MONTH}/{_DAY}/{_YEAR}"
    r"|(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
    rf"|(?<=[$€£¥]){_AMOUNT}|(?<=[$€£¥]\s){_AMOUNT}"
    rf"|{_AMOUNT}(?=\s?(?:[$€£¥%]|(?:euros?|eur|dollars?|usd|pounds?|gbp|chf|cents?|per ?cent|prozent)\b)))(?!\d)",
    re.IGNORECASE,
)
_OUTSIDE: Final = frozenset(" \t\r\n@＠﹫,;:<>()[]\"{}")
"""What ends an address that is written."""
_STOPS: Final = frozenset(
    ["is", "s", "was", "it", "its", "it's", "my", "mine", "me", "the", "an", "a", "to", "e", "mail", "email", "emails",
     "e-mail", "address", "send", "sent", "under", "write", "reach", "use", "yes", "no", "and", "or", "so", "okay",
     "that", "that's", "um", "uh", "ist", "lautet", "meine", "die", "adresse", "es", "mon", "le", "correo", "mi", "la",
     "el", "una", "indirizzo", "mio", "i"]
)  # fmt: skip
"""Words before an address that are none of it."""
_DOTS: Final = frozenset(("dot", "point", "period", "punkt", "punto", "ponto", "punt", "kropka", "prick"))
_ATS: Final = frozenset(
    ("at", "ät", "arobase", "arroba", "chiocciola", "apenstaartje", "klammeraffe", "małpa", "snabela")
)
_MAILS: Final = frozenset(("gmail", "googlemail", "hotmail", "icloud", "gmx", "protonmail"))
"""Of whom a domain's first word says enough."""
_INNER: Final = frozenset((".", "-", "_"))
"""What stands within a written part of an address."""
LOCAL_WORDS: Final = 12
DOMAIN_WORDS: Final = 12
_WORD: Final = re.compile(r"[\w'’-]+")
_SPELLED: Final = re.compile(r"(?:\b\w\b\W*){3}")
_APART: Final = re.compile(r"[\s,]*")
_POSSIBLE: Final = re.compile(r"[@＠﹫]|\d|[^\W\d_]{2}")


@dataclass(frozen=True, slots=True)
class Hidden:
    """What `mark` stands for: from `begin` to `end` of a text."""

    begin: int
    end: int
    mark: str


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without what was hidden."""

    text: str
    hidden: tuple[Hidden, ...] = ()

    def at(self, position: int) -> int:
        """Where a position of the old text is in the new one; within what is hidden: behind its mark."""
        moved = position
        for gone in self.hidden:
            if gone.begin < position:
                moved += len(gone.mark) - (min(gone.end, position) - gone.begin)
        return moved


def redact(text: str, kinds: Iterable[Kind] = KINDS, *, least: int = LEAST) -> str:
    """The text with marks in place of what it tells of people. What is a mark already stays. Never fails.

    `least`: digits in a row that are a number.
    """
    return _redacted(text, tuple(kinds), least).text


def redact_parts(
    parts: Sequence[str], kinds: Iterable[Kind] = KINDS, *, glue: str = " ", least: int = LEAST, echo: bool = True
) -> tuple[Redacted, ...]:
    """Texts that follow each other, such as turns or clauses: a number may go on in the next one.

    `glue` is what stands between them. Each part that holds a piece of a number gets its mark, or with `echo` off only
    the first.
    """
    ends = list(accumulate(len(part) + len(glue) for part in parts))
    found = _redacted(glue.join(parts), tuple(kinds), least).hidden
    made = []
    for part, end in zip(parts, ends, strict=True):
        begin, blank = end - len(part) - len(glue), len(part) - len(part.lstrip())
        here = tuple(
            Hidden(
                max(gone.begin - begin, blank if echo else 0), min(gone.end - begin, len(part)),
                gone.mark if echo or gone.begin >= begin else "",
            )
            for gone in found
            if gone.begin < begin + len(part) and gone.end > begin + (blank if echo else 0)
        )  # fmt: skip
        made.append(_without(part, here))
    return tuple(made)


def redact_answer(text: str, kinds: Iterable[Kind] = KINDS, *, asked: str, goes_on: bool = False) -> str:
    """What a caller says who was `asked` for something (a slot's kind): where that is digits, they go wholly.

    `goes_on`: he has told a part of it before.
    """
    kinds = tuple(kinds)
    if asked in NUMBERED and "number" in kinds:
        digits = "".join(number.digits for number in numbers(text, misheard=True))
        if len(digits) >= (1 if goes_on else ANSWER):
            return "[card]" if "card" in kinds and holds_card(digits) else "[number]"
    if asked == "email" and "email" in kinds:
        told = "@" in text or not _ATS.isdisjoint(_WORD.findall(text.lower())) or _SPELLED.search(text)
        if told or goes_on:
            return "[email]"
    return redact(text, kinds)


def redact_data(value: Any, redacted: Callable[[str], str]) -> Any:
    """All texts and numbers of a JSON-able value."""
    if isinstance(value, dict):
        return {name: redact_data(item, redacted) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_data(item, redacted) for item in value]
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if redacted(str(value)) == str(value) else redacted(str(value))
    return value


@lru_cache(maxsize=512)
def _redacted(text: str, kinds: tuple[Kind, ...], least: int) -> Redacted:
    if not kinds or not _POSSIBLE.search(text):
        return Redacted(text)
    found = sorted(_hidden(text, kinds, least), key=lambda gone: (gone.begin, -gone.end))
    apart: list[Hidden] = []
    for gone in found:
        if apart and gone.begin < apart[-1].end:
            last = apart[-1]
            apart[-1] = Hidden(last.begin, max(last.end, gone.end), last.mark)
        else:
            apart.append(gone)
    return _without(text, tuple(apart))


def _without(text: str, hidden: tuple[Hidden, ...]) -> Redacted:
    for gone in reversed(hidden):
        text = f"{text[: gone.begin]}{gone.mark}{text[gone.end :]}"
    return Redacted(text, hidden)


def _hidden(text: str, kinds: tuple[Kind, ...], least: int) -> Iterator[Hidden]:
    if "email" in kinds:
        yield from _written(text)
        yield from _spoken(text)
    if "number" in kinds or "card" in kinds:
        yield from _numbers(text, kinds, least)


def _written(text: str) -> Iterator[Hidden]:
    """Every @ with what stands around it, a blank between them or not."""
    behind = 0
    for found in re.finditer("[@＠﹫]", text):
        begin, end = found.span()
        begin -= text[behind:begin].endswith(" ")
        end += text.startswith(" ", end)
        while begin > behind and text[begin - 1] not in _OUTSIDE:
            begin -= 1
        while end < len(text) and text[end] not in _OUTSIDE:
            end += 1
        begin, end = _trimmed(text, begin, end, found.start())
        if end - begin > 1:
            yield Hidden(begin, end, "[email]")
            behind = end


def _trimmed(text: str, begin: int, end: int, at: int) -> tuple[int, int]:
    """Without the stops of the sentence around it."""
    while begin < at and not text[begin].isalnum():
        begin += 1
    while end > at + 1 and not text[end - 1].isalnum():
        end -= 1
    return begin, end


def _spoken(text: str) -> Iterator[Hidden]:
    """"john smith at example dot com" or "at example.com": an "at", and a "dot" soon behind it, or a known name."""
    if _ATS.isdisjoint(_WORD.findall(low := text.lower())):
        return
    words = list(_WORD.finditer(low))
    for at, word in enumerate(words):
        if at and word.group() in _ATS and (last := _domain(low, words, at)):
            yield Hidden(_local(low, words, at), words[last].end(), "[email]")


def _domain(text: str, words: Sequence[re.Match[str]], at: int) -> int:
    """The last word of the domain behind "at"; 0 where there is none."""
    last = 0
    for place in range(at + 1, min(at + DOMAIN_WORDS, len(words))):
        apart, word = text[words[place - 1].end() : words[place].start()], words[place].group()
        written = apart == "." and place > at + 1 and len(word) > 1 and word.isalpha()
        dotted = written or words[place - 1].group() in _DOTS or word in _DOTS
        if not (written or _APART.fullmatch(apart)) or (last and not dotted):
            break
        known = word in _MAILS if place == at + 1 else words[place - 1].group() in _DOTS and place > at + 2
        last = place if written or known else last
    return last


def _local(text: str, words: Sequence[re.Match[str]], at: int) -> int:
    """Where the part before "at" begins: behind the last word that is none of an address, or a full stop."""
    first = at
    while first and at - first < LOCAL_WORDS:
        apart = text[words[first - 1].end() : words[first].start()]
        if words[first - 1].group() in _STOPS or not (apart in _INNER or _APART.fullmatch(apart)):
            break
        first -= 1
    return words[first].start()


def _numbers(text: str, kinds: tuple[Kind, ...], least: int) -> Iterator[Hidden]:
    plain = [found.span() for found in _PLAIN.finditer(text)] if any(char.isdigit() for char in text) else []
    begins = [begin for begin, _ in plain]

    def harmless(part: Numeral) -> bool:
        at = bisect_left(begins, part.begin + 1) - 1
        return at >= 0 and part.end <= plain[at][1]

    for number in numbers(text, misheard=least < LEAST):
        if len(number.digits) < least or all(harmless(part) for part in number.parts) or _times(text, number):
            continue
        if "card" in kinds and holds_card(number.digits):
            yield _whole(text, number, "[card]")
        elif "number" in kinds:
            yield _whole(text, number, "[number]")


def _whole(text: str, number: Number, mark: str) -> Hidden:
    """With the plus or the bracket before it."""
    begin = number.begin
    while begin and (text[begin - 1] == "+" or (text[begin - 1] == "(" and ")" in text[begin : number.end])):
        begin -= 1
    return Hidden(begin, number.end, mark)


def _times(text: str, number: Number) -> bool:
    """Whether it is a list of times of day, read out: "nine fifteen, ten thirty, eleven"."""
    if any(part.kind not in ("unit", "teen", "tens", "pair") for part in number.parts):
        return False
    groups: list[list[Numeral]] = [[number.parts[0]]]
    for before, part in zip(number.parts, number.parts[1:], strict=False):
        if "," in text[before.end : part.begin]:
            groups.append([])
        groups[-1].append(part)
    return len(groups) > 1 and any(len(group) > 1 for group in groups) and all(_time(group) for group in groups)


def _time(parts: Sequence[Numeral]) -> bool:
    hour, *minutes = parts
    if hour.kind not in ("unit", "teen") or not 1 <= int(hour.digits) <= 12:
        return False
    kinds = tuple(part.kind for part in minutes)
    return kinds in ((), ("teen",), ("tens",), ("pair",), ("tens", "unit")) or (
        kinds == ("unit", "unit") and minutes[0].digits == "0"
    )
