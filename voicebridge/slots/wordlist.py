"""Lists of words and phrases as they are written down here: several to a line of text."""

from __future__ import annotations

import re


def listed(text: str) -> list[str]:
    """Words with blanks between."""
    return text.split()


def either(*lines: str) -> str:
    """Alternatives of a regular expression, some a line."""
    return "|".join(lines)


def phrases(*lines: str) -> re.Pattern[str]:
    """Any of these expressions, as whole words of a `Line`'s text."""
    return re.compile(rf"(?<!\S)(?:{either(*lines)})(?!\S)")
