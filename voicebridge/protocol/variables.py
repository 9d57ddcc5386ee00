"""Text made safe for what a PBX reads again: channel variables, AGI commands, SIP headers.

Whatever comes from a caller, a model or a tool passes here before it is written into the PBX. A newline in an AGI
command would be a second command, `${...}` and `$[...]` are the dialplan's own, and commas, semicolons and brackets cut
arguments apart.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

FORBIDDEN: Final = frozenset('"\\${}[],;')
DEFAULT_LIMIT: Final = 250
"""Bytes. What fits into a SIP header without trouble, and well into an AGI command (2047)."""
NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
"""Of a channel variable that we read or write."""

_SPACE_CATEGORIES: Final = frozenset({"Cc", "Cs", "Zl", "Zp", "Zs"})
_JOINERS: Final = frozenset("\u200c\u200d")
"""Invisible, but letters of Persian and Hindi are written with them; other format characters are dropped."""


def clean(value: str, limit: int = DEFAULT_LIMIT) -> str:
    """One line of at most `limit` bytes of UTF-8 (whole characters), free of FORBIDDEN and control characters.

    What separates words becomes one space, the rest of what is not allowed is left out. Cleaning twice changes nothing.
    """
    kept = []
    for letter in value:
        category = unicodedata.category(letter)
        if category in _SPACE_CATEGORIES:
            kept.append(" ")
        elif letter not in FORBIDDEN and (category != "Cf" or letter in _JOINERS):
            kept.append(letter)
    return capped(" ".join("".join(kept).split()), limit).rstrip()


def capped(value: str, limit: int) -> str:
    """The beginning of `value` that fits into `limit` bytes of UTF-8, no character cut in two."""
    return value.encode("utf-8", "replace")[: max(0, limit)].decode("utf-8", "ignore")
