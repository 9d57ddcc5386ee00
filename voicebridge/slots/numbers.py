"""Whole numbers: "twenty-one", "a dozen", "just me", "four of us"."""

from __future__ import annotations

import re
from typing import Final

from voicebridge.conversation.form import Slot
from voicebridge.slots.language import MAX_FOUND, Asked, Context, Found
from voicebridge.slots.line import Line, line
from voicebridge.slots.terms import ask_words, stem

_PHRASES: Final = [(re.compile(rf"(?<!\S)(?:{pattern})(?!\S)"), value) for pattern, value in (
    (r"half a dozen|half dozen", 6), (r"2 dozen", 24), (r"3 dozen", 36), (r"(?:a |1 )?dozen", 12),
    (r"(?:a )?couple(?: of)?|a pair(?: of)?|(?:the )?both of us|the 2 of us", 2),
    (r"me and my \w+|my \w+ and (?:i|me|myself)", 2),
    (r"(?:just|only) (?:me|myself|the 1|1)|by myself|on my own|alone|a single 1|a single|once", 1),
    (r"twice", 2), (r"thrice", 3), (r"none|nobody|no 1|no one|not any|nil|oh", 0),
)]
_NUMBER: Final = re.compile(
    r"(?<![\w#.:/])(?P<minus>minus |negative )?(?P<n>\d{1,3}(?:,\d{3})+|\d{1,15})(?![\d#.:/])(?!\w)"
)
_SUM: Final = re.compile(
    r"(?<!\S)(?:(?P<a>\d{1,3}) (?:adults?|people|grown ups?|of us) (?:and|plus)|(?P<me>me|myself) (?:and|plus)) "
    r"(?P<b>\d{1,3}|a|an)(?: (?:child|children|kids?|bab(?:y|ies)|toddlers?|others?|friends?|more|guests?)| ?$)"
)
_TOO_FINE: Final = re.compile(r"(?: and a (?:half|quarter)| point \d| and a half)(?!\S)")
_PRONOUN: Final = re.compile(r"(?:#\d+|the|this|that|which|another|any|every|no|last|next|same|other|each) $")
_OF: Final = re.compile(r"(?:party of|table for|table of|group of|for|room for|order of) $")
_OF_END: Final = re.compile(r" ?$| (?:people|on|at|please|in|tomorrow|today|tonight|this|next|\x00)")
_OF_US: Final = re.compile(r" (?:of us|people|persons|guests|adults)(?!\S)")


def find_numbers(text: str, asked: Asked, context: Context) -> list[Found]:
    """Numbers within the slot's bounds. One that nobody asked for needs its noun: "four people", "for four"."""
    found = _found(line(text), asked)
    for sound in (1, 2) if asked.by_sound and not found else ():
        found = found or _found(line(text, sound), asked)
    return found


def _found(said: Line, asked: Asked) -> list[Found]:
    taken: list[tuple[int, int, int]] = []
    for match in _SUM.finditer(said.text) if asked.lenient else ():
        first, second = 1 if match["me"] else int(match["a"]), int(match["b"]) if match["b"].isdigit() else 1
        _take(taken, match.start(), match.end(), first + second)
    for pattern, value in _PHRASES if asked.lenient else _PHRASES[:5]:
        for match in pattern.finditer(said.text):
            if asked.lenient or _is_named(said.text, match.start(), match.end(), asked.slot):
                _take(taken, match.start(), match.end(), value)
    for match in _NUMBER.finditer(said.text):
        value = int(match["n"].replace(",", "")) * (-1 if match["minus"] else 1)
        if _TOO_FINE.match(said.text, match.end()):
            continue  # two and a half is not two
        pronoun = value == 1 and bool(_PRONOUN.search(said.text[: match.start()]))
        if asked.lenient and not pronoun or _is_named(said.text, match.start(), match.end(), asked.slot):
            _take(taken, match.start(), match.end(), value)
    return [
        Found(*said.span(start, end), str(value), str(value))
        for start, end, value in sorted(taken) if in_bounds(value, asked.slot)
    ]


def _take(taken: list[tuple[int, int, int]], start: int, end: int, value: int) -> None:
    if len(taken) < MAX_FOUND and not any(start < other_end and end > other for other, other_end, _ in taken):
        taken.append((start, end, value))


def _is_named(text: str, start: int, end: int, slot: Slot) -> bool:
    """Whether the number's noun is the slot's: one from its name or question, or people that are counted."""
    nouns = ask_words(slot)
    after = [stem(word) for word in text[end:].split()[:2]]
    if any(word in nouns for word in after):
        return True
    counts_people = bool(nouns & {"people", "person", "guest", "party", "seat", "adult", "cover", "diner", "visitor"})
    if not counts_people:
        return False
    if _OF_US.match(text, end):
        return True
    return bool(_OF.search(text[:start]) and _OF_END.match(text, end))


def in_bounds(value: int, slot: Slot) -> bool:
    return (slot.least is None or value >= slot.least) and (slot.most is None or value <= slot.most)
