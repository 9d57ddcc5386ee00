"""What a language's table of endings holds. A new language is a file like `german` and a line in `__init__`."""

from __future__ import annotations

from dataclasses import dataclass, field


def split(text: str) -> frozenset[str]:
    """Words, separated by white space."""
    return frozenset(text.split())


def lines(text: str) -> frozenset[str]:
    """Phrases of several words, separated by commas."""
    return frozenset(phrase.strip() for phrase in text.split(",") if phrase.strip())


@dataclass(frozen=True, slots=True)
class Endings:
    """All lower-case, as `backchannel.words` gives them.

    `open` words and `open_phrases` (two or three words) ask for more when they come last. Those that are also in
    `may_close` may be the end all the same, where the recogniser heard one. `askers` begin a question; `whole` phrases
    end a caller's turn wherever they come last ("that's all"); `yes` and `no` are bare answers to a yes/no question.
    """

    open: frozenset[str]
    open_phrases: frozenset[str] = field(default=frozenset())
    may_close: frozenset[str] = field(default=frozenset())
    askers: frozenset[str] = field(default=frozenset())
    whole: frozenset[str] = field(default=frozenset())
    yes: frozenset[str] = field(default=frozenset())
    no: frozenset[str] = field(default=frozenset())
