"""What a caller may say to a slot's question, for recognisers that take a grammar.

A recogniser may put the phrases one after the other, in any order and as often as it likes. What it finds to be none
of them it hears with all its words, so that the lists need not be complete: they are what to prefer in doubt.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from voicebridge.conversation.form import Slot, SlotKind
from voicebridge.slots import expected_english

_Table = tuple[Mapping[SlotKind, tuple[str, ...]], tuple[str, ...]]
TABLES: Final[dict[str, _Table]] = {"en": (expected_english.ENGLISH, expected_english.ANYWHERE)}
"""By language: what each kind's answers are made of, and what may be said to any question. A new one is a line here."""


@lru_cache(maxsize=256)
def phrases(slot: Slot, language: str) -> tuple[str, ...]:
    """Words and phrases in lower case, each said alone or one after the other; empty where anything may be said."""
    kinds, anywhere = TABLES.get(language.lower().replace("_", "-").split("-")[0], ({}, ()))
    own: list[str] = []
    if slot.kind == "choice" and slot.choices:
        said = (way for each in slot.choices for way in (each.value.replace("_", " ").replace("-", " "), *each.words))
        own = [" ".join(way.lower().split()) for way in said]
    elif slot.kind not in kinds:
        return ()
    return tuple(dict.fromkeys([*own, *kinds.get(slot.kind, ()), *anywhere]))
