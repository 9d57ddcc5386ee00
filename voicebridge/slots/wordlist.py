"""Lists of words as they are written down here: in one text, with blanks between."""

from __future__ import annotations


def listed(text: str) -> list[str]:
    return text.split()
