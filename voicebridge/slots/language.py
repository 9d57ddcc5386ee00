"""What a language brings along so that forms work in it: one reader a kind, and what says yes, no and "leave it"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from voicebridge.conversation.form import Answer, Slot, SlotKind, SlotValue

MAX_CHARS: Final = 500
"""Half a minute of speech. What lies beyond is not read, which bounds the time, but for free text."""
TEXT_CHARS: Final = 2000
MAX_FOUND: Final = 12
"""Nobody says more dates, times or numbers in one breath."""
NEAR: Final = 80
"""So many characters around a value are looked at for what is said about it."""
MASK: Final = "\x00"
"""Stands for every character that another slot has already taken; no reader's pattern matches it."""


@dataclass(frozen=True, slots=True)
class Context:
    """When and in which language it is said; `month_first` settles what 3/4 is."""

    now: datetime
    language: str = "en"
    month_first: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """One slot as a reader gets it.

    `lenient`: it was asked for (or named), so that a bare "three" counts; else only what cannot be mistaken does.
    `known`: what it holds already, for "an hour later". `by_sound`: "for" may be a four, "thirsty" a Thursday.
    """

    slot: Slot
    lenient: bool = False
    known: SlotValue | None = None
    by_sound: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A value that stands at `text[start:end]`. `partial`: too short to be whole, more may follow."""

    start: int
    end: int
    value: str
    spoken: str
    partial: bool = False


Reader = Callable[[str, Asked, Context], list[Found]]
"""Gets the utterance (what others took is MASK) and gives every value in it, in the order of the words."""


@dataclass(frozen=True, slots=True)
class Language:
    """`readers` lacks the kinds that the language cannot read yet. The functions get words as they were said.

    `answer`, `cancels` (in a sentence), `only_cancels` (nothing else is said), `meta` ("what did you say?") and
    `reserves` ("yes, but") judge a whole utterance. `dropped` and `dropped_after` tell whether what stands before or
    after a value takes it back ("not Monday", "Monday doesn't work"), `repaired` whether what stands between two says
    that the second replaces the first. `corrects` gives where the new value begins in "make it four", `named` where the
    mention of a slot ends in "the time should be four"; -1 where there is none.
    """

    code: str
    readers: Mapping[SlotKind, Reader]
    answer: Callable[[str], Answer]
    cancels: Callable[[str], bool]
    only_cancels: Callable[[str], bool]
    meta: Callable[[str], bool]
    dropped: Callable[[str], bool]
    dropped_after: Callable[[str], bool]
    repaired: Callable[[str], bool]
    corrects: Callable[[str], int]
    named: Callable[[str, Slot], int]
    reserves: Callable[[str], bool]
