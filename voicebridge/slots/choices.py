"""One of a slot's choices: in its own words, nearly so, by the word that only it has, or by its place in the list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rapidfuzz import fuzz

from voicebridge.conversation.form import Slot
from voicebridge.slots.language import NEAR, Asked, Context, Found
from voicebridge.slots.line import Line, line
from voicebridge.slots.repair import dropped
from voicebridge.slots.saying import say_choice
from voicebridge.slots.terms import stem
from voicebridge.slots.wordlist import listed

FUZZY_SCORE: Final = 78
"""Of 100 (rapidfuzz' ratio, blanks apart), where the choices were asked for."""
SHORT_SCORE: Final = 86
"""For words of less than seven letters, of which one is much."""
UNASKED_SCORE: Final = 90
MARGIN: Final = 8
"""So far the best has to be before the second."""
_NO_KEY: Final = frozenset(listed(
    "a an the of and or for to in on with one 1 please thing type kind my i it at option number"
))
_UNASKED_SHORT: Final = frozenset({"yes", "no", "one", "two", "other", "none", "any", "both", "all"})


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to say a choice: `text` as `line` has it, and its telling words."""

    value: str
    text: str
    words: frozenset[str]


@lru_cache(maxsize=128)
def ways(slot: Slot) -> tuple[_Way, ...]:
    out = []
    for choice in slot.choices:
        for said in (choice.value.replace("_", " ").replace("-", " "), *choice.words):
            text = line(said).text or said.lower()
            out.append(_Way(choice.value, text, frozenset(stem(word) for word in text.split()) - _NO_KEY))
    return tuple(out)


def find_choices(text: str, asked: Asked, context: Context) -> list[Found]:
    """The choices meant; one that nobody asked for only in its own words."""
    said, slot = line(text), asked.slot
    if not said.text or not slot.choices:
        return []
    found = _exact(said, text, asked)
    if found:
        return found
    if asked.lenient:
        for find in (_by_key, _by_place):
            if hit := find(said, text, slot):
                return [hit]
    hit = _fuzzy(said, slot, FUZZY_SCORE if asked.lenient else UNASKED_SCORE, unasked=not asked.lenient)
    return [hit] if hit else []


def _made(said: Line, start: int, end: int, slot: Slot, value: str) -> Found:
    return Found(*said.span(start, end), value, say_choice(slot, value))


def _exact(said: Line, text: str, asked: Asked) -> list[Found]:
    """Whole phrases; a longer one hides those within it ("not tubeless" against "tubeless")."""
    hits: list[tuple[int, int, str]] = []
    for way in sorted(ways(asked.slot), key=lambda way: -len(way.text)):
        if not asked.lenient and (way.text in _UNASKED_SHORT or len(way.text) < 3):
            continue
        for match in re.finditer(rf"(?<!\S){re.escape(way.text)}(?:s|es)?(?!\S)", said.text):
            if not any(match.start() < end and match.end() > start for start, end, _ in hits):
                hits.append((match.start(), match.end(), way.value))
    if len({value for _, _, value in hits}) > 1:
        hits = _without_bare_numbers(hits, said.text)
    return [_made(said, start, end, asked.slot, value) for start, end, value in sorted(hits)]


def _without_bare_numbers(hits: list[tuple[int, int, str]], text: str) -> list[tuple[int, int, str]]:
    """"The basic one": where a choice is called "one" too, the word that tells more is meant."""
    kept = [hit for hit in hits if not text[hit[0] : hit[1]].isdigit()]
    return kept or hits


def _by_key(said: Line, text: str, slot: Slot) -> Found | None:
    """By words that belong to one choice alone ("the full one")."""
    owners: dict[str, set[str]] = {}
    for way in ways(slot):
        for word in way.words:
            owners.setdefault(word, set()).add(way.value)
    votes: dict[str, tuple[int, int]] = {}
    for spoken, at in zip(said.words, said.starts, strict=True):
        key = stem(spoken.text)
        owner = owners.get(key) or _near(key, owners)
        if owner and len(owner) == 1 and not dropped(text[max(spoken.start - NEAR, 0) : spoken.start]):
            value = next(iter(owner))
            start, _ = votes.get(value, (at, 0))
            votes[value] = (start, at + len(spoken.text))
    if len(votes) != 1:
        return None
    value, (start, end) = next(iter(votes.items()))
    return _made(said, start, end, slot, value)


def _near(word: str, owners: dict[str, set[str]]) -> set[str] | None:
    """The owners of the telling word that sounds most like this one ("bassic"); none where two are near."""
    if len(word) < 4:
        return None
    scored = sorted(((fuzz.ratio(word, key), key) for key in owners if len(key) >= 4), reverse=True)
    if not scored or scored[0][0] < FUZZY_SCORE:
        return None
    if len(scored) > 1 and scored[1][0] > scored[0][0] - MARGIN and owners[scored[0][1]] != owners[scored[1][1]]:
        return None
    return owners[scored[0][1]]


_PLACE: Final = re.compile(
    r"(?<!\S)(?:(?:the )?#(?P<nth>\d{1,2})(?: (?:1|option|choice|of those|please|item|thing))?|"
    r"(?:option|number|choice|answer|item) (?P<n>\d{1,2}|to|for|b|a|c|d)|"
    r"(?:the )?(?P<end>last|latter|former|middle|final|bottom|top)"
    r"(?: (?:1|option|choice))?)(?!\S)"
)
_ALONE: Final = re.compile(
    r"(?:(?:the|it's|just|please|i'd like|i'll take|i take|i want|okay|yes) )*(?P<n>\d{1,2}|to|for)(?: please)?$"
)


def _by_place(said: Line, text: str, slot: Slot) -> Found | None:
    count = len(slot.choices)
    hits = [(match, place) for match in _PLACE.finditer(said.text)
            if (place := _place(match, count)) and not _is_dropped(said, text, match)]
    if not hits and (alone := _ALONE.match(said.text)) is not None and (place := _number(alone["n"], count)):
        hits = [(alone, place)]
    if len({place for _, place in hits}) != 1:
        return None
    match, place = hits[0]
    return _made(said, match.start(), match.end(), slot, slot.choices[place - 1].value)


def _is_dropped(said: Line, text: str, match: re.Match[str]) -> bool:
    start, _ = said.span(match.start(), match.end())
    return dropped(text[max(start - NEAR, 0) : start])


def _number(said: str, count: int) -> int:
    """The place from 1 on; 0 where there is none such."""
    place = {"to": 2, "for": 4, "a": 1, "b": 2, "c": 3, "d": 4}.get(said) or (int(said) if said.isdigit() else 0)
    return place if 1 <= place <= count else 0


def _place(match: re.Match[str], count: int) -> int:
    if match["end"]:
        if match["end"] == "middle":
            return (count + 1) // 2 if count % 2 else 0
        return 1 if match["end"] in {"former", "top"} else count
    return _number(match["nth"] or match["n"], count)


def _telling(slot: Slot) -> Callable[[list[str]], bool]:
    """Whether words are more than what several choices have in common ("a bike")."""
    counts = Counter(word for value in {way.value for way in ways(slot)}
                     for word in frozenset().union(*(way.words for way in ways(slot) if way.value == value)))
    return lambda words: any(stem(word) not in _NO_KEY and counts[stem(word)] < 2 for word in words)


def _fuzzy(said: Line, slot: Slot, score: int, *, unasked: bool) -> Found | None:
    """What sounds most like the words of one choice, in any stretch of about as many words."""
    words, telling = [word.text for word in said.words][:40], _telling(slot)
    best: dict[str, tuple[float, int, int]] = {}
    for way in ways(slot):
        squeezed = way.text.replace(" ", "")
        if len(squeezed) < (6 if unasked else 4):
            continue
        size, enough = len(way.text.split()), max(score, SHORT_SCORE if len(squeezed) < 7 else 0)
        for length in range(max(1, size - 1), size + 2):
            for start in range(len(words) - length + 1):
                if not telling(words[start : start + length]):
                    continue
                alike = fuzz.ratio("".join(words[start : start + length]), squeezed, score_cutoff=enough)
                if alike and alike > best.get(way.value, (0.0, 0, 0))[0]:
                    best[way.value] = (alike, start, start + length)
    ranked = sorted(best.items(), key=lambda item: -item[1][0])
    if not ranked or (len(ranked) > 1 and ranked[1][1][0] > ranked[0][1][0] - MARGIN):
        return None
    value, (_, start, end) = ranked[0]
    return _made(said, said.starts[start], said.starts[end - 1] + len(said.words[end - 1].text), slot, value)
