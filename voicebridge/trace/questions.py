"""What callers asked in vain, put together by wording: `is there parking` and `where can I park` are one question.

Two wordings belong together where most of the words that carry meaning in the shorter one are in the other, too.
Words that stand in many questions, and the little ones, carry none; what is left is compared by letters, so that
endings and a recogniser's mistakes do no harm.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from rapidfuzz import fuzz

from voicebridge.trace.findings import Miss, Question

ALIKE = 0.65
"""So much of the shorter wording's letters must be in words that are in the other: long words tell more."""
SAME_WORD = 84.0
"""RapidFuzz's ratio from which two words count as one."""
START = 3
"""Words that differ in so many first letters are never one."""
SAME_LINE = 88.0
"""The same of two questions of a form: the second begins with "Sorry?", and values in it change."""
COMMON = 0.25
"""A word in more of the questions than this share tells nothing (where there are many questions)."""
ENOUGH = 20
MOST_GROUPS = 400
"""Beyond that a new wording that fits no group is counted and not kept: a bound on time and memory."""
EXAMPLES = 5
IDS = 20

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_LITTLE_WORDS = """
    a about all also am an and any anything are as at be been but by call can could did do does for from get give got
    had has have hello here hi how if in is it its just know like me much my need no not of ok okay on one or our out
    please right say so some someone something still tell than thank thanks that the their them then there they thing
    this to too up us want was we well were what when where which who why will with would yes you your i'd i'm it's
    don't what's that's there's you're aber als auch auf bei bin bitte das dass dem den der des die ein eine einen er es
    für haben habe hat hätte ich ihr ihre im in ist ja kann können man mal mein mir mit nach nicht noch oder sie sind
    und uns von was wenn wer wie wir wo zu zum zur au aux avec avez ce cette dans de des du elle en est et ils je la le
    les leur ma mes moi mon ne nous où par pas pour puis que quel quelle qui sa se ses sont sur un une vous votre al con
    como cual cuando de del donde el ella es esta hay la las lo los me mi para pero por puede que se si son su tiene una
    uno y yo
"""
_LITTLE = frozenset(_LITTLE_WORDS.split())


@dataclass
class _Group:
    kind: str
    words: tuple[str, ...]
    texts: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    calls: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """One turn without an answer."""

    call_id: str
    text: str
    kind: str
    rule: str = ""


def grouped(asked: Sequence[Asked]) -> tuple[Question, ...]:
    """Those of most callers first."""
    dull = _dull(one.text for one in asked)
    shelf = _Shelf()
    for one in asked:
        group = shelf.group(one, lambda text: _telling(text, dull))
        if group is None:
            continue
        group.texts[one.text.strip()] += 1
        group.calls[one.call_id] = None
        if one.rule:
            group.rules[one.rule] += 1
    made = [_question(group) for group in shelf.groups]
    return tuple(sorted(made, key=lambda question: (-question.calls, -question.asked, question.text)))


class _Shelf:
    """The groups so far, found by their words."""

    def __init__(self) -> None:
        self.groups: list[_Group] = []
        self._known: dict[tuple[str, str, str], _Group] = {}
        self._by_word: dict[tuple[str, str, str], list[_Group]] = {}
        self._words = _Words()

    def group(self, one: Asked, telling: Callable[[str], tuple[str, ...]]) -> _Group | None:
        """The nearest group, a new one where none is near; None where there are too many already."""
        apart = (one.kind, one.rule if one.kind == "unsure" else "")
        key = (*apart, one.text.casefold())
        if key in self._known:
            return self._known[key]
        words = tuple(dict.fromkeys(self._words.stem(word) for word in telling(one.text)))
        near = {id(group): group for word in words for group in self._by_word.get((*apart, word), ())}
        found = max(near.values(), key=lambda group: _likeness(words, group.words), default=None)
        if found is None or _likeness(words, found.words) < ALIKE:
            found = self._new(one, words, apart)
        if found is not None:
            self._known[key] = found
        return found

    def _new(self, one: Asked, words: tuple[str, ...], apart: tuple[str, str]) -> _Group | None:
        if len(self.groups) >= MOST_GROUPS:
            return None
        made = _Group(one.kind, words)
        self.groups.append(made)
        for word in words:
            self._by_word.setdefault((*apart, word), []).append(made)
        return made


class _Words:
    """One word for all that are like it: the first that was seen."""

    def __init__(self) -> None:
        self._stems: dict[str, str] = {}
        self._by_start: dict[str, list[str]] = {}

    def stem(self, word: str) -> str:
        if word not in self._stems:
            self._stems[word] = self._like(word) or word
        return self._stems[word]

    def _like(self, word: str) -> str:
        """Among those that begin alike: misheard words seldom differ in their first letters."""
        start = word[:START]
        for other in self._by_start.get(start, ()):
            short, long = sorted((word, other), key=len)
            if (len(short) > START and long.startswith(short)) or fuzz.ratio(word, other) >= SAME_WORD:
                return other
        self._by_start.setdefault(start, []).append(word)
        return ""


def _likeness(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """0 to 1."""
    short, long = sorted((one, other), key=len)
    return sum(len(word) for word in short if word in long) / sum(map(len, short))


def _telling(text: str, dull: frozenset[str]) -> tuple[str, ...]:
    words = dict.fromkeys(_WORD.findall(text.casefold()))
    little = [word for word in words if word not in _LITTLE and not (len(word) < 3 and not word.isdigit())]
    return tuple(word for word in little if word not in dull) or tuple(little) or tuple(words) or (text.strip() or "?",)


def _dull(texts: Iterable[str]) -> frozenset[str]:
    different = {text.casefold() for text in texts}
    if len(different) < ENOUGH:
        return frozenset()
    seen = Counter(word for text in different for word in set(_WORD.findall(text)))
    return frozenset(word for word, count in seen.items() if count > COMMON * len(different))


def _question(group: _Group) -> Question:
    by_count = [text for text, _ in sorted(group.texts.items(), key=lambda item: (-item[1], len(item[0]), item[0]))]
    rules = [rule for rule, _ in group.rules.most_common()]
    return Question(
        by_count[0], group.kind, group.texts.total(), len(group.calls), tuple(by_count[:EXAMPLES]), tuple(rules),
        tuple(group.calls)[:IDS],
    )  # fmt: skip


# ---- questions of ours that were not understood


@dataclass
class _Line:
    text: str
    asked: int = 0
    again: int = 0
    calls: dict[str, None] = field(default_factory=dict)


class Repeats:
    """The questions of forms in the order in which they were asked: the same one twice running was not understood."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._known: dict[str, _Line] = {}

    def call(self, call_id: str, questions: Iterable[tuple[str, bool]]) -> None:
        """All questions of a call's forms, each with whether the caller had tried to answer the one before."""
        before = None
        for text, tried in questions:
            line = self._line(text)
            if line is None:
                continue
            if line is before and tried:
                line.again += 1
                line.calls[call_id] = None
            line.asked += 1
            before = line

    def found(self) -> tuple[Miss, ...]:
        """Most often repeated first."""
        missed = [line for line in self._lines if line.again]
        ordered = sorted(missed, key=lambda line: (-line.again, line.text))
        return tuple(Miss(line.text, line.again, line.asked, tuple(line.calls)[:IDS]) for line in ordered)

    def _line(self, text: str) -> _Line | None:
        if (known := self._known.get(text)) is not None:
            return known
        line = next((line for line in self._lines if fuzz.token_set_ratio(line.text, text) >= SAME_LINE), None)
        if line is None:
            if len(self._lines) >= MOST_GROUPS:
                return None
            line = _Line(text)
            self._lines.append(line)
        elif len(text) < len(line.text):
            line.text = text  # without the "Sorry?" before it
        if len(self._known) < 20 * MOST_GROUPS:
            self._known[text] = line
        return line
