"""What is said about a value: that it is taken back, replaced or corrected, and which slot is meant."""

from __future__ import annotations

import re
from typing import Final

from voicebridge.conversation.form import Slot
from voicebridge.slots.line import line
from voicebridge.slots.terms import name_words, stem
from voicebridge.slots.wordlist import either, phrases

_DROPPED: Final = re.compile(
    r"\b(?:" + either(
        "not|isn't|wasn't|instead of|rather than|don't want|don't need|except|no longer|other than",
        "any ?(?:day|time|thing|one)? but|everything but|can't (?:do|make|come|manage)(?: it)?|doesn't work|won't work",
    ) + r")(?: (?:on|at|for|the|a|an|want|this|next|by))*$"
)
_MOVED: Final = re.compile(r"\b(?:move|change|switch|swap|shift|reschedule|changed|moved)\b.*\bfrom(?: the)?$")
_AFTER: Final = re.compile(either(
    "(?:is|was) (?:wrong|not|out|no good|bad|impossible)|(?:doesn't|won't|does not|will not) work",
    "isn't (?:right|it|good|possible)",
) + r"(?!\S)")
_REPAIRED: Final = phrases(
    "no|sorry|i mean|i meant|wait|actually|or rather|rather|make (?:that|it)|correction|scratch that|instead|better",
    "let's say|i'd rather|not that|apologies|oops|excuse me|but|in fact",
)
_CORRECTS: Final = re.compile(
    r"\b(?:" + either(
        "(?:make|change|move|switch|put|set) (?:it|that|this)(?: to| for)?|i said|i meant|i mean|it's|it is|"
        "it should be",
        "should be|rather|instead|let's (?:say|do|make it)|say|i'd prefer|i prefer|prefer|how about|what about|better",
        "actually|sorry|to be|take|try|no|nope|not quite",
    ) + r")\b[\s,.:]*", re.IGNORECASE)


_PLAIN_BEFORE: Final = frozenset({"", "the", "my", "that", "your", "a", "this", "right", "wrong", "telephone", "phone"})
"""Before "number": any other word says which number, and it is another slot's ("order number")."""


_RESERVES: Final = phrases("but(?! (?:thank|yes|yeah|okay|that's fine))|except|apart from|only not|with 1 change")


def dropped(before: str) -> bool:
    """Whether what stands before a value takes it back: "not Monday"."""
    said = line(before).text
    return bool(_DROPPED.search(said) or _MOVED.search(said))


def dropped_after(after: str) -> bool:
    """Whether what follows a value does: "Monday doesn't work"."""
    return bool(_AFTER.match(line(after).text))


def repaired(between: str) -> bool:
    """Whether what stands between two values says that the second replaces the first."""
    return bool(_REPAIRED.search(line(between).text))


def reserves(text: str) -> bool:
    """"Yes, but": not a yes to all of it."""
    return bool(_RESERVES.search(line(text).text))


def corrects(text: str) -> int:
    """Where a correction's new value begins; -1 where none is announced."""
    found = list(_CORRECTS.finditer(text))
    return found[-1].end() if found else -1


def named(text: str, slot: Slot) -> int:
    """Where the mention of the slot ends, -1 without one."""
    own, before = name_words(slot), ""
    for match in re.finditer(r"[^\W\d_]+", text):
        word = stem(match.group())
        if word in own and (word not in {"number", "code"} or before in own or before in _PLAIN_BEFORE):
            return match.end()
        before = word
    return -1
