"""Cutting a model's answer, as it comes, into clauses that can be spoken.

The first clause is short, so that the caller hears it soon; later ones are longer, for better prosody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

FIRST_MIN_WORDS: Final = 2
FIRST_SOFT_WORDS: Final = 6
"""From here on the first clause ends before the next word that begins a phrase."""
FIRST_MAX_WORDS: Final = 9
HURRY_SOFT_WORDS: Final = 3
HURRY_MAX_WORDS: Final = 6
"""For a first clause whose caller waits in silence already."""
LATER_MIN_WORDS: Final = 6
LATER_MAX_WORDS: Final = 22

# A clause may end before these.
_BEGINNERS: Final = frozenset(
    {
        "and", "or", "but", "so", "because", "if", "when", "while", "where", "which", "who", "that", "with", "for",
        "from", "to", "at", "in", "on", "by", "as", "until", "after", "before", "about",
        "including", "between", "unless",
    }
)
# It never ends behind these.
_LEADERS: Final = frozenset({"the", "a", "an", "our", "your", "my", "is", "are", "was", "of", "not", "very"})
# A full stop behind these is no end.
_ABBREVIATIONS: Final = frozenset(
    {
        "mr", "mrs", "ms", "dr", "prof", "st", "no", "vs", "etc", "approx", "e.g", "i.e", "a.m", "p.m", "inc", "ltd",
        "co",
        "jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec",
        "mon", "tue", "wed", "thu", "fri", "sat", "sun", "u.s", "u.k", "dept", "tel", "ext",
    }
)
_CLOSERS: Final = "\"')]”’»"
_END: Final = ".!?…"
_PAUSE: Final = ",;:–—"
# What chat models write around their words.
_MARKERS: Final = re.compile(r"<\|[^|>]{0,30}\|>|^\s*(?:assistant|agent|answer|ai)\s*:\s*", re.IGNORECASE)
_PARTIAL_MARKER: Final = re.compile(r"<(?:\|[^>]{0,31})?$")
_LABELS: Final = ("assistant:", "agent:", "answer:", "ai:")
_TOKEN: Final = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of the answer with its white space; the pieces joined are the whole text."""

    text: str
    ends_sentence: bool


class ClauseSplitter:
    """Fed text in any pieces; gives each clause as soon as it is certain where it ends."""

    def __init__(self) -> None:
        self._buffer = ""
        self._begun = False  # something other than a role marker has come
        self._given = 0
        self._soft, self._most = FIRST_SOFT_WORDS, FIRST_MAX_WORDS

    def feed(self, delta: str, *, hurry: bool = False) -> list[Clause]:
        """More text. In a `hurry` the first clause is cut sooner."""
        self._soft, self._most = (
            (HURRY_SOFT_WORDS, HURRY_MAX_WORDS) if hurry else (FIRST_SOFT_WORDS, FIRST_MAX_WORDS)
        )
        self._buffer += delta
        self._buffer = _MARKERS.sub("", self._buffer) if not self._begun else _strip_inner(self._buffer)
        if not self._begun:
            begun = self._buffer.strip().lower()
            if any(label.startswith(begun) for label in _LABELS):
                return []  # nothing yet, or it may still become "Assistant: "
            self._begun = True
        return self._cut()

    def finish(self) -> list[Clause]:
        """The rest."""
        found = self._cut()
        rest = _strip_inner(self._buffer)
        self._buffer = ""
        if rest.strip():
            found.append(Clause(rest, rest.rstrip(_CLOSERS + " \n").endswith(tuple(_END))))
        return found

    def _cut(self) -> list[Clause]:
        found: list[Clause] = []
        while (cut := self._next_cut()) is not None:
            end, sentence = cut
            found.append(Clause(self._buffer[:end], sentence))
            self._buffer = self._buffer[end:]
            self._given += 1
        return found

    def _next_cut(self) -> tuple[int, bool] | None:
        """Where the next clause ends and whether a sentence does, or None while that is not certain."""
        if _PARTIAL_MARKER.search(self._buffer):
            return None
        tokens = list(_TOKEN.finditer(self._buffer))
        for index, token in enumerate(tokens[:-1]):  # what the last one is, its end will tell
            count, word = index + 1, token.group().rstrip(_CLOSERS)
            follower = tokens[index + 1].group()
            if ends_sentence(word, follower):
                if count >= FIRST_MIN_WORDS or index + 1 < len(tokens) - 1 or self._given:
                    return token.end(), True
            elif self._ends_clause(word, count, follower):
                return token.end(), False
        return None

    def _ends_clause(self, word: str, count: int, follower: str) -> bool:
        pauses = word.endswith(tuple(_PAUSE)) or word in ("-", "–", "—")
        begins = follower.lower().strip(_CLOSERS + _PAUSE + _END) in _BEGINNERS
        inside = word.lower().strip(_CLOSERS) in _BEGINNERS | _LEADERS
        if self._given == 0:
            if pauses and count >= FIRST_MIN_WORDS + 1:
                return True
            if count >= self._soft and begins and not inside:
                return True
            return count >= self._most and not inside
        if pauses and count >= LATER_MIN_WORDS:
            return True
        return count >= LATER_MAX_WORDS and not inside


def ends_sentence(word: str, follower: str) -> bool:
    """Whether a sentence ends with `word`, its closing quotes and brackets taken off; `follower` comes next."""
    if not word.endswith(tuple(_END)):
        return False
    if word.endswith(("!", "?", "…")):
        return True
    bare = word.rstrip(".").lower().lstrip("(\"'“")
    if bare in ("a.m", "p.m"):
        return follower[:1].isupper()
    if bare in _ABBREVIATIONS or (len(bare) == 1 and bare.isalpha() and bare != "i"):
        return False
    return not (bare.isdigit() and len(bare) <= 2 and follower[:1].islower())


def _strip_inner(text: str) -> str:
    return re.sub(r"<\|[^|>]{0,30}\|>", "", text)
