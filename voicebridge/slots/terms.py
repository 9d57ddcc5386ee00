"""The words by which callers mean a slot: from its name, its kind and its question."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from voicebridge.conversation.form import Slot
from voicebridge.slots.wordlist import listed

_OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "date": ("date", "day"), "time": ("time", "hour"), "phone": ("phone", "telephone", "number", "mobile"),
    "name": ("name",), "email": ("email", "mail", "e-mail"), "number": (), "digits": ("number", "code"),
    "spelled": ("spelling",), "yes_no": (), "choice": (), "text": (),
}
_COMMON: Final = frozenset(listed(
    "a an and any are at be by can could do does for from get give go have how i in is it kind like many may me "
    "much my of on one or please shall should so tell that the there they this to us we what whats when where which "
    "who will with would you your need want let know long time day date say name number right now all type big many"
)
)


def stem(word: str) -> str:
    """Without the plural's s."""
    word = word.lower().strip("'")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=256)
def name_words(slot: Slot) -> frozenset[str]:
    """What mentions the slot: "the pick-up date" for `pickup_date`, and the kind's own words."""
    own = {stem(part) for part in re.split(r"[_\W]+", slot.name.lower()) if part}
    return frozenset(own | {stem(word) for word in _OF_KIND[slot.kind]})


@lru_cache(maxsize=256)
def ask_words(slot: Slot) -> frozenset[str]:
    """The nouns (more or less) of the slot's name and question."""
    own = {stem(part) for part in re.split(r"[_\W]+", slot.name.lower()) if part}
    asked = {stem(part) for text in slot.ask for part in re.findall(r"[^\W\d_]+", text.lower())}
    return frozenset(own | {word for word in asked if word not in _COMMON and len(word) > 2})
