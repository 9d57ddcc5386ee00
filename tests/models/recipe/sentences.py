"""What is said: the words that the tiny Vosk model knows, sentences of them, and sentences.txt for other English."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SENTENCES: Final = Path(__file__).parent / "sentences.txt"

DIGITS: Final = "zero one two three four five six seven eight nine".split()
CLOCK: Final = [*DIGITS[1:], "ten", "eleven", "twelve"]
TEENS: Final = "eleven twelve thirteen fourteen fifteen twenty thirty forty fifty".split()
DAYS: Final = "monday tuesday wednesday thursday friday saturday sunday".split()
PARTS: Final = "morning afternoon evening".split()
DESKS: Final = "billing sales support".split()
PEOPLE: Final = "human agent operator person".split()
THINGS: Final = "appointment order account payment".split()
OTHER: Final = (
    "yes no okay please hello hi thank you thanks goodbye what are your opening hours is on at i want to would like"
    " need speak talk with a an the my for of help when do open closed can me number repeat stop wait transfer call"
    " back and in it main menu status next week that how much have today tomorrow cancel change book check ten"
).split()
VOCABULARY: Final = sorted({*CLOCK, *DIGITS, *TEENS, *DAYS, *PARTS, *DESKS, *PEOPLE, *THINGS, *OTHER})

FILL: Final = {
    "digit": DIGITS, "clock": CLOCK, "one": CLOCK[:10], "teen": TEENS, "day": DAYS, "part": PARTS, "desk": DESKS,
    "who": PEOPLE, "thing": THINGS, "do": "cancel change book check".split(), "when": ["today", "tomorrow", *PARTS],
    "my": ["my", "an", "the"], "whose": ["my", "your"], "half": ["thirty", "fifteen"], "speak": ["speak", "talk"],
    "to": ["to", "with"], "a": ["a", "an"], "count": ["number", "account number", "order number"],
    "may": ["can i", "i want to", "i need to", "i would like to"],
    "three": ["{digit} {digit} {digit}", "{digit} {digit} {digit} {digit}"],
    "few": ["{digit} {digit}", "{three}", "{three} {digit}", "{three} {digit} {digit}"],
    "many": ["{three}", "{three} {digit}", "{three} {digit} {digit}"],
}  # fmt: skip
PATTERNS: Final = """\
hello | hi | yes | no | yes please | no thank you | no thanks | thank you | thanks goodbye | goodbye | okay
what are your opening hours | when are you open on {day} | are you open {when} | are you closed on {day}
i want to {do} {my} {thing} | i would like to {do} my {thing} please | can i {do} an appointment for {day}
{whose} appointment is on {day} at {clock} | {day} {part} at {one} | {when} at {one} {half}
{may} {speak} {to} {a} {who} | {who} please | {desk} please | transfer me to {desk} | i need help with my {thing}
what is the status of my order | my {count} is {many} | {few} | main menu | repeat that please | stop | wait
call me back | call me back on {day} | next {day} | next week | how much is it | do you have an appointment {when}
{teen} {one} | cancel it please | can you help me and check my order
"""
ASKED: Final = [text.strip() for text in PATTERNS.replace("\n", "|").split("|") if text.strip()]
MOST_WORDS: Final = 6


def asked(chance: random.Random) -> str:
    """What somebody says to a company's telephone, in the vocabulary."""
    text = chance.choice(ASKED)
    while "{" in text:
        text = re.sub(r"\{(\w+)\}", lambda found: chance.choice(FILL[found[1]]), text)
    return text


def jumbled(chance: random.Random, words: Sequence[str] = VOCABULARY, most: int = MOST_WORDS) -> str:
    """Up to `most` of the words in no order."""
    return " ".join(chance.choice(words) for _ in range(chance.randint(1, most)))


def general() -> list[str]:
    """The sentences of sentences.txt, which we wrote."""
    return SENTENCES.read_text(encoding="utf-8").splitlines()


def strangers() -> list[str]:
    """Words of sentences.txt that the Vosk model is not to know, in alphabetical order."""
    found = set(re.findall(r"[a-z]{3,12}", " ".join(general()).lower()))
    return sorted(found - set(VOCABULARY))
