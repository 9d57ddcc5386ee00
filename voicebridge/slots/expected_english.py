"""What English callers answer to a slot's question, a word or phrase an entry, from the readers' own tables."""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_lowercase
from typing import Final

from voicebridge.conversation.form import SlotKind
from voicebridge.slots.datewords import HOLIDAYS, MONTHS, WEEKDAYS
from voicebridge.slots.digits import PLURALS, SINGLE, TIMES
from voicebridge.slots.line import ORDINALS, SCALES, TENS, UNITS
from voicebridge.slots.spelling import NATO, SIGNS
from voicebridge.slots.wordlist import listed

_SHORT_MONTHS: Final = 4
_LETTERS: Final = tuple(ascii_lowercase) + tuple(f"{letter}." for letter in ascii_lowercase)
"""Vosk's English models write "b", older ones "b."; what a model lacks is left out by the engine."""
_YES: Final = tuple(listed("yes yeah yep yup sure okay ok correct right exactly absolutely definitely certainly fine"))
_YES_MORE: Final = ("that's right", "that is right", "that's correct", "that is correct", "of course", "go ahead",
                    "yes please", "sounds good", "that's fine", "that works", "i do", "please do")  # fmt: skip
_NO: Final = ("no", "nope", "nah", "no thanks", "no thank you", "not really", "wrong", "incorrect", "that's wrong",
              "that's not right", "i don't think so", "don't")  # fmt: skip
REPAIRS: Final = (
    "no", "sorry", "wait", "actually", "i mean", "i meant", "not", "make it", "instead", "rather", "no wait",
    "cancel", "stop", "forget it", "never mind", "start over", "go back", "help",
    "repeat", "repeat that", "say that again", "what", "pardon", "hold on", "one moment", "i don't know",
    "operator", "agent", "a human", "a person", "speak to someone", "hello", "goodbye",
)  # fmt: skip
"""To leave it, to put it right, to have it said again or to get somebody else."""
_POLITE: Final = ("please", "thanks", "thank you", "um", "uh", "well", "so", "and", "it's", "it is", "that's", "okay")
_NUMBERS: Final = (*UNITS, *(name for name in TENS if name != "fourty"))
_DIGITS: Final = (*(name for name in SINGLE if name not in {"fife", "niner"}), *TIMES, "dash", "plus")
_PLACES: Final = tuple(f"the {nth}{end}" for nth in ("first", "second", "third", "fourth", "fifth", "last")
                       for end in ("", " one"))  # fmt: skip

ENGLISH: Final[Mapping[SlotKind, tuple[str, ...]]] = {
    "yes_no": (*_YES, *_YES_MORE, *_NO),
    "digits": (*_DIGITS, *PLURALS, *_NUMBERS, "hundred", "thousand"),
    "phone": (*_DIGITS, *PLURALS, *_NUMBERS, "hundred", "thousand", "area code"),
    "number": (*_NUMBERS, *SCALES, "a hundred", "a dozen", "half a dozen", "a couple", "a couple of", "a pair", "none",
               "just me", "just one", "of us", "people", "both of us", "alone", "once", "twice", "for", "about"),
    "date": (*WEEKDAYS, *(name for name in MONTHS if len(name) > _SHORT_MONTHS or name in {"may", "june", "july"}),
             *(name for name in HOLIDAYS if not any(sign.isdigit() for sign in name)), *ORDINALS, *_NUMBERS,
             "thirty first", "today", "tomorrow", "tonight", "yesterday", "the day after tomorrow", "this", "next",
             "last", "next week", "this week", "next month", "the end of the month", "a week on", "a week from",
             "in a week", "in two weeks", "in a month", "week", "weeks", "days", "month", "from now", "in", "on", "the",
             "of", "oh", "hundred", "thousand", "morning", "afternoon", "evening"),
    "time": (*_NUMBERS, "o'clock", "oh", "half past", "quarter past", "quarter to", "a quarter to", "a quarter past",
             "half", "quarter", "past", "to", "till", "minutes", "noon", "midday", "midnight", "a.m.", "p.m.", "a.m",
             "p.m", "am", "pm", "a m", "p m", "in the morning", "in the afternoon", "in the evening", "at night",
             "morning", "afternoon", "evening", "tonight", "at", "around", "about", "before", "after", "in an hour",
             "in half an hour", "now", "as soon as possible", "earlier", "later"),
    "choice": (*_PLACES, "number one", "number two", "number three", "number four", "number five", "the", "one"),
    "spelled": (*_LETTERS, *NATO, *_DIGITS, *SIGNS, *UNITS, "as in", "capital", "double", "for", "like", "then",
                "underscore", "space"),
}  # fmt: skip
"""Kinds that are not here are open: names, free text, addresses."""
ANYWHERE: Final = (*REPAIRS, *_POLITE)
