"""Comparing what was said with what was heard: words without their spelling, and how many of them are wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

from num2words import num2words

SAME = {
    "okay": "ok", "e-mail": "email", "voice-mail": "voicemail", "goodbye": "good bye", "cannot": "can not",
    "'": "", "’": "", "-": " ", "#": " pound ", "*": " star ", "$": " dollars ", "%": " percent ",
}  # fmt: skip


def words(text: str) -> list[str]:
    """Lower case, no punctuation, numbers in words."""
    text = text.lower()
    for one, other in SAME.items():
        text = text.replace(one, other)
    text = re.sub(r"\d+", lambda found: f" {num2words(int(found[0]))} ".replace("-", " "), text)
    return re.findall(r"[a-z]+", text)


def errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """The fewest words to change, put in or leave out (Levenshtein's distance)."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        before, row[0] = row[0], number
        for at, other in enumerate(heard, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (word != other))
    return row[-1]


def error_rate(said: str, heard: str) -> float:
    """Wrong words by words said."""
    wanted = words(said)
    return errors(wanted, words(heard)) / len(wanted) if wanted else 0.0
