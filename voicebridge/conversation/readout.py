"""Numbers in a text, however they are written or read out: "4 7-11", "+49 (30) 1234", "four seven double one".

Shared by what hides them: the masking of secrets for a human (`handoff`) and the redaction of all that is kept
(`trace`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from voicebridge.conversation.numerals import LINKS, MAYBE, PAUSES, SCALES, TEENS, TENS, TIMES, UNITS, compound, folded

CARD_DIGITS: Final = range(13, 20)
CARD_BEGINS: Final = frozenset("23456")
"""Of the numbers of banks' and travel cards (ISO/IEC 7812). Phone numbers as long as these begin with 0."""

Kind = Literal["written", "unit", "teen", "tens", "pair", "times", "scale", "link", "pause", "maybe"]
_WORD: Final = re.compile(r"(?P<digits>\d+)|[^\W\d_]+")
_GAP: Final = re.compile(r"[\s,.;:/\\|()+\-‐-―_'’\"*#~=&·•…\u00ad\u200b-\u200f\u2060\ufeff]*")
DIX: Final = "dix"
VINGT: Final = ("vingt", "vingts")
_DIGITS: Final = ("written", "unit", "teen", "tens", "pair")


@dataclass(frozen=True, slots=True)
class Numeral:
    """A word of a number. `digits` as it stands alone: "4", "15", "2" for twenty, "47"."""

    begin: int
    end: int
    kind: Kind
    digits: str = ""
    word: str = ""

    @property
    def single(self) -> bool:
        return self.kind in ("unit", "maybe") or (self.kind == "written" and len(self.digits) == 1)


@dataclass(frozen=True, slots=True)
class Number:
    """A run of numerals with nothing between them but blanks, stops and what is said in between."""

    parts: tuple[Numeral, ...]
    digits: str

    @property
    def begin(self) -> int:
        return self.parts[0].begin

    @property
    def end(self) -> int:
        return self.parts[-1].end


def numbers(text: str, *, misheard: bool = False) -> Iterator[Number]:
    """Every number in a text, from left to right.

    `misheard`: also count at its ends what a recogniser makes of digits ("for seven one one"); between digits such
    words always count.
    """
    run: list[Numeral] = []
    for numeral in _numerals(text):
        if run and not _GAP.fullmatch(text, run[-1].end, numeral.begin):
            yield from _number(run, misheard)
            run = []
        run.append(numeral)
    yield from _number(run, misheard)


def _numerals(text: str) -> Iterator[Numeral]:
    """The words of numbers; no others."""
    for word in _WORD.finditer(text):
        if word["digits"]:
            yield Numeral(word.start(), word.end(), "written", "".join(str(int(digit)) for digit in word["digits"]))
        elif (meaning := _meaning(word.group())) is not None:
            yield Numeral(word.start(), word.end(), *meaning)


@lru_cache(maxsize=4096)
def _meaning(word: str) -> tuple[Kind, str, str] | None:
    """Its kind, its digits, and the word folded; None of a word that is none of a number."""
    known = folded(word)
    tables: tuple[tuple[Kind, Mapping[str, str]], ...] = (
        ("unit", UNITS), ("tens", TENS), ("teen", TEENS), ("maybe", MAYBE)
    )  # fmt: skip
    for kind, table in tables:
        if known in table:
            return kind, table[known], known
    words: tuple[tuple[Kind, Collection[str]], ...] = (
        ("times", TIMES), ("scale", SCALES), ("link", LINKS), ("pause", PAUSES)
    )  # fmt: skip
    for kind, among in words:
        if known in among:
            return kind, "", known
    both = compound(known)
    return ("pair", both, known) if both else None


def _number(run: Sequence[Numeral], misheard: bool) -> Iterator[Number]:
    """The numbers in a run: where it is bridged by words that may mean something else, perhaps more than one."""
    made: list[Numeral] = []
    for at, numeral in enumerate(run):
        if _breaks(run, at, misheard):
            yield from _whole(made)
            made = []
        else:
            made.append(numeral)
    yield from _whole(made)


def _breaks(run: Sequence[Numeral], at: int, misheard: bool) -> bool:
    """Whether a word that joins digits does not join these: "nine thirty to eleven" are two times."""
    numeral = run[at]
    if numeral.kind not in ("link", "maybe", "pause"):
        return False
    before = _beside(reversed(run[:at]))
    behind = _beside(run[at + 1 :])
    if numeral.kind == "pause":
        return before is None or behind is None
    if numeral.kind == "link" and before is not None and before.kind == "tens" and behind is not None:
        return behind.kind != "unit" and (before.word, behind.kind) != ("soixante", "teen")
    if numeral.kind == "maybe" and misheard:
        return False
    return before is None or behind is None or not (before.single and behind.single)


def _beside(side: Iterable[Numeral]) -> Numeral | None:
    return next((numeral for numeral in side if numeral.kind in _DIGITS), None)


def _whole(run: Sequence[Numeral]) -> Iterator[Number]:
    """Without what stands before the first digit and behind the last: "double" alone is none."""
    parts = list(run)
    while parts and not parts[0].digits and parts[0].kind != "times":
        parts.pop(0)
    while parts and not parts[-1].digits:
        parts.pop()
    if parts:
        yield Number(tuple(parts), _value(parts))


def _value(parts: Sequence[Numeral]) -> str:
    """All the digits: "forty seven" is 47, "forty" alone 40, "double seven" 77."""
    digits, tens, times = "", "", 1
    for part in parts:
        if part.kind == "times":
            times = TIMES[part.word]
            continue
        if not part.digits:
            continue
        before, tens = tens, ""
        if before and part.word == DIX and before in "68":  # soixante-dix, quatre-vingt-dix: "sept" may follow
            tens = str(int(before) + 1)
            continue
        if before:
            together = _together(before, part)
            digits += together or f"{before}0"
            if together:
                continue
        if part.word in VINGT and digits.endswith("4"):  # quatre-vingt
            digits, tens = digits[:-1], "8"
        elif part.kind == "tens":
            tens = part.digits
        else:
            digits, times = digits + part.digits * times, 1
    return digits + (f"{tens}0" if tens else "")


def _together(tens: str, part: Numeral) -> str:
    """Tens and what follows as one number; "" where they are two. French goes on to nineteen behind 60 and 80."""
    if part.kind == "unit" and part.digits != "0":
        return tens + part.digits
    if part.kind == "teen" and tens in "68":
        return f"{int(tens) + 1}{part.digits[1]}"
    return ""


def holds_card(digits: str) -> bool:
    """Whether a payment card's number is in it: one of their lengths, beginnings, and a right check digit (Luhn)."""
    return any(
        digits[first] in CARD_BEGINS and _luhn(digits[first : first + count])
        for count in CARD_DIGITS
        for first in range(len(digits) - count + 1)
    )


def _luhn(digits: str) -> bool:
    doubled = [sum(divmod(int(digit) * 2, 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0
