"""Digits one by one, for numbers that are names: PINs, order numbers, telephone numbers.

"double five", "triple two", "forty-four", "nine hundred", "oh", what a recogniser makes of them ("for", "to", "ate"),
and all that mixed. Where a number word can be read in two ways, the one that fits the slot's length wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from voicebridge.conversation.form import Slot
from voicebridge.slots.language import MASK, Asked, Context, Found
from voicebridge.slots.line import HESITATIONS, SCALES, TENS, UNITS, Word, words
from voicebridge.slots.saying import say_digits
from voicebridge.slots.terms import ask_words, name_words, stem

SINGLE: Final = {name: str(value) for name, value in UNITS.items() if value < 10} | {
    "oh": "0", "o": "0", "nil": "0", "nought": "0", "naught": "0", "niner": "9", "fife": "5",
}
SOUNDS: Final = {
    "to": "2", "too": "2", "tu": "2", "for": "4", "fore": "4", "won": "1", "ate": "8", "owe": "0", "tree": "3",
    "free": "3", "line": "9", "sicks": "6", "near": "0", "eh": "8", "tour": "2", "nein": "9", "fine": "5",
}
"""Counted as a digit only beside another one."""
TIMES: Final = {"double": 2, "triple": 3, "treble": 3, "quadruple": 4}
JOINS: Final = frozenset(["and", "dash", "hyphen", "then", "comma", "space", "point", "dot", "minus"]) | HESITATIONS
PLURALS: Final = {f"{name}s": digit for name, digit in SINGLE.items()} | {"sixes": "6", "zeroes": "0", "ohs": "0"}
_BACK: Final = frozenset(["no", "sorry", "wait", "correction", "actually", "mean"])
PHONE_LEAST: Final = 6
PHONE_MOST: Final = 15


@dataclass(slots=True)
class _Run:
    """Digits said in one go; `ways` are the readings, the likeliest first."""

    start: int
    end: int
    ways: list[str]


def find_digits(text: str, asked: Asked, context: Context) -> list[Found]:
    """Digits; too few of them are `partial`. Unasked ones need the slot's word before them and its length."""
    return _find(text, asked, least=asked.slot.least or 1, most=asked.slot.most)


def find_phones(text: str, asked: Asked, context: Context) -> list[Found]:
    """Telephone numbers as plain digits, a leading + kept."""
    return _find(text, asked, least=asked.slot.least or PHONE_LEAST, most=asked.slot.most or PHONE_MOST)


def _find(text: str, asked: Asked, *, least: int, most: int | None) -> list[Found]:
    runs = [run for segment in _segments(words(text)) if (run := _together(segment)) is not None]
    if not runs:
        return []
    phone = asked.slot.kind == "phone"
    fits = [_fit(run, least, most, phone) for run in runs]
    if not asked.lenient:
        return [
            Found(run.start, run.end, fit, say_digits(fit)) for run, fit in zip(runs, fits, strict=True)
            if fit and _is_meant(text[: run.start], fit, asked.slot)
        ]
    best = next((at for at in reversed(range(len(runs))) if fits[at]), None)
    if best is not None:
        tail = "".join(run.ways[0] for run in runs[best + 1 :])
        value = fits[best]
        if tail and len(tail) < len(value):  # "four four oh seven, sorry, eight"
            value = value[: -len(tail)] + tail
        return [Found(runs[best].start, runs[-1].end, value, say_digits(value))]
    run = max(runs, key=lambda run: len(run.ways[0]))
    value = run.ways[0] if phone else run.ways[0].lstrip("+")
    short = len(value.lstrip("+")) < least
    return [Found(run.start, run.end, value, say_digits(value), partial=True)] if value and short else []


def _fit(run: _Run, least: int, most: int | None, phone: bool) -> str:
    for way in run.ways:
        value = way if phone else way.lstrip("+")
        digits = value.lstrip("+")
        half = len(digits) // 2
        if most is not None and len(digits) > most and digits[:half] == digits[half:]:
            digits = digits[:half]  # said twice, to be sure
            value = ("+" if value.startswith("+") else "") + digits
        if len(digits) >= least and (most is None or len(digits) <= most):
            return value
    return ""


def _is_meant(before: str, value: str, slot: Slot) -> bool:
    """Whether unasked digits are this slot's: it is named shortly before, or they look like a telephone number."""
    near = [stem(word.text) for word in words(before)[-6:]]
    if slot.kind == "phone":
        return value.startswith("+") or (
            len(value) >= 7 and not {"order", "account", "customer", "invoice", "reference", "pin"} & set(near)
        )
    own = (name_words(slot) | ask_words(slot)) - {"number", "code"}
    return any(word in own for word in near) and len(value) >= max(slot.least or 3, 2)


def _segments(said: tuple[Word, ...]) -> list[list[Word]]:
    """The words between one "no, sorry" and the next, and around what others took."""
    out: list[list[Word]] = [[]]
    for word in said:
        if word.text in _BACK or word.text == MASK:
            out.append([])
        else:
            out[-1].append(word)
    return [segment for segment in out if segment]


def _together(segment: list[Word]) -> _Run | None:
    """The longest run of digits; where it is too short, all of them ("area code 555, and then 0142")."""
    runs, index = [], 0
    while index < len(segment):
        end = _run_end(segment, index)
        if end > index and (run := _read(segment[index:end])) is not None:
            runs.append(run)
        index = max(end, index + 1)
    if not runs:
        return None
    longest = max(runs, key=lambda run: len(run.ways[0]))
    if len(runs) > 1:
        joined = "".join(run.ways[0] for run in runs)
        in_parts = any(word.text in {"area", "prefix", "dialling"} for word in segment)
        longest.ways.insert(0 if in_parts else len(longest.ways), joined)
    return longest


def _is_digit(word: Word) -> bool:
    text = word.text
    return text in SINGLE or text in TENS or text in UNITS or text in PLURALS or text[:1].isdigit()


def _run_end(segment: list[Word], index: int) -> int:
    """Where the digits that begin here end; `index` itself where none begin."""
    end, last = index, index
    while end < len(segment):
        text = segment[end].text
        plus = end == index and text in {"plus", "+"}
        if plus or _is_digit(segment[end]) or text in SCALES or text in TIMES or text in SOUNDS:
            last = end + 1
        elif end == index or text not in JOINS:
            break
        end += 1
    return last


def _read(run: list[Word]) -> _Run | None:
    sounds_only = not any(_is_digit(word) for word in run)
    if sounds_only and (len(run) < 3 or any(word.text not in SOUNDS for word in run)):
        return None  # "for to ate" is some, "for to" is not
    edges = [run]
    while edges[-1] and edges[-1][0].text in SOUNDS:
        edges.append(edges[-1][1:])
    trimmed = edges[-1]
    while trimmed and trimmed[-1].text in SOUNDS:
        trimmed = trimmed[:-1]
    written = any(word.text[:1].isdigit() and len(word.text) > 1 for word in run)
    order = [trimmed, *edges] if written else [*edges, trimmed]
    ways: list[str] = []
    for edge in order:
        for split in (False, True):
            way = _digits(edge, split=split)
            if way and way not in ways:
                ways.append(way)
    return _Run(run[0].start, run[-1].end, ways) if ways else None


def _digits(run: list[Word], *, split: bool) -> str:
    """`split`: "forty four" is 40 4 and "nine hundred four" 900 4."""
    out, index, times = "", 0, 1
    said = [word.text for word in run]
    while index < len(said):
        piece, used = _piece(said, index, split=split or _stands_alone(run, index))
        if said[index] in TIMES:
            times, used = TIMES[said[index]], 1
        elif said[index] in {"plus", "+"} and not out:
            out, used = "+", 1
        elif piece:
            out += piece[0] * (times - 1) + piece
            times = 1
        index += max(used, 1)
    return out


def _stands_alone(run: list[Word], index: int) -> bool:
    """"Thirty, one two three" and "thirty one two three four": the tens are not part of thirty-one."""
    if run[index].text not in TENS or index + 1 >= len(run):
        return False
    if run[index + 1].start - run[index].end > 1:  # a comma between them
        return True
    after = [word.text in SINGLE for word in run[index + 1 : index + 5]]
    return len(after) == 4 and all(after)


def _piece(said: list[str], index: int, *, split: bool) -> tuple[str, int]:
    """The digits of the number at `index`, and how many words it takes."""
    word, after = said[index], said[index + 1] if index + 1 < len(said) else ""
    if after in PLURALS and word in UNITS and 1 <= UNITS[word] <= 9:
        return PLURALS[after] * UNITS[word], 2
    if word in TENS:
        if not split and SINGLE.get(after, "0") != "0":
            return str(TENS[word] + int(SINGLE[after])), 2
        piece, used = str(TENS[word]), 1
    elif word in SINGLE or word in SOUNDS:
        piece, used = SINGLE.get(word) or SOUNDS[word], 1
    elif word in UNITS:
        piece, used = str(UNITS[word]), 1
    elif word[:1].isdigit():
        piece, used = re.sub(r"\D", "", word), 1
    else:
        return "", 1
    scale = said[index + used] if index + used < len(said) else ""
    if scale not in {"hundred", "thousand"} or piece == "0":
        return piece, used
    return _scaled(piece, scale, said, index + used + 1, split=split, used=used + 1)


def _scaled(piece: str, scale: str, said: list[str], at: int, *, split: bool, used: int) -> tuple[str, int]:
    """"Nine hundred", "two thousand and four": what follows is added where it is the last, or has an "and"."""
    zeros = 2 if scale == "hundred" else 3
    skip = 1 if said[at : at + 1] == ["and"] else 0
    rest, rest_used = _piece(said, at + skip, split=False) if at + skip < len(said) else ("", 0)
    is_last = at + skip + rest_used >= len(said)
    if rest and len(rest) <= zeros and not split and (skip or is_last or len(rest) == 2) and rest.strip("0"):
        return piece + rest.zfill(zeros), used + skip + rest_used
    return piece + "0" * zeros, used
