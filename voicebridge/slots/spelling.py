"""Words spelled out: "S M I T H", "b as in bravo", "double t", "sierra mike", "capital A", "see aitch"."""

from __future__ import annotations

import re
from typing import Final

from voicebridge.slots.digits import SINGLE, TIMES
from voicebridge.slots.language import MASK, Asked, Context, Found
from voicebridge.slots.line import HESITATIONS, TENS, UNITS, Word, straight
from voicebridge.slots.saying import say_spelled
from voicebridge.slots.wordlist import listed

NATO: Final = {word: word[0] for word in listed(
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa "
    "quebec romeo sierra tango uniform victor whiskey whisky yankee zulu"
)} | {"alfa": "a", "xray": "x", "x-ray": "x", "tanco": "t", "zero": "0"}
SOUNDS: Final = {
    "bee": "b", "be": "b", "see": "c", "sea": "c", "cee": "c", "dee": "d", "ee": "e", "eff": "f", "ef": "f", "gee": "g",
    "jee": "g", "aitch": "h", "haitch": "h", "age": "h", "eye": "i", "jay": "j", "kay": "k", "cay": "k", "el": "l",
    "ell": "l", "em": "m", "en": "n", "and": "n", "oh": "o", "pee": "p", "pea": "p", "queue": "q", "cue": "q",
    "are": "r", "ar": "r", "ess": "s", "es": "s", "tee": "t", "tea": "t", "you": "u", "yu": "u", "vee": "v",
    "ex": "x", "why": "y", "wye": "y", "zee": "z", "zed": "z", "said": "z",
}
"""Counted as letters only between letters; a few of them are common words."""
_SAFE_SOUNDS: Final = frozenset(SOUNDS) - {"be", "see", "and", "are", "you", "why", "said", "oh", "age", "sea", "eye"}
SIGNS: Final = {"dash": "-", "hyphen": "-", "slash": "/", "underscore": "_", "apostrophe": "'"}
_CASES: Final = {"capital": True, "uppercase": True, "upper": True, "big": True, "capitol": True,
                 "lowercase": False, "lower": False, "small": False}
_SKIPPED: Final = frozenset({"case", "letter", "then", "comma", "followed", "by", "number", "digit", "next", "space",
                             "with", "a"}) | HESITATIONS
_AS_IN: Final = ("as in", "like in", "as", "for", "like", "is for", "in")
_X_RAY: Final = re.compile(r"\bx[ -]ray", re.IGNORECASE)
_TOKEN: Final = re.compile(rf"{MASK}+|\d+|[^\W\d_]+(?:'[^\W\d_]+)*|-(?=\s)|/")


def spelled_words(text: str) -> list[Word]:
    """Letters' own tokens; the case is kept."""
    text = _X_RAY.sub("xray ", straight(text))
    return [Word(match.group(), match.start(), match.end()) for match in _TOKEN.finditer(text)]


def find_spelled(text: str, asked: Asked, context: Context) -> list[Found]:
    """Signs in upper case; too few of them are `partial`. Unasked ones need three letters in a row."""
    slot = asked.slot
    runs = runs_of(text)
    if not asked.lenient:
        runs = []
    elif not runs:
        runs = _whole_word(text)
    if not runs:
        return []
    start, end, value = _joined(runs, slot.most)
    if slot.most is not None and len(value) > slot.most:
        return []
    partial = slot.least is not None and len(value) < slot.least
    return [Found(start, end, value, say_spelled(value), partial)]


def _joined(runs: list[tuple[int, int, str]], most: int | None) -> tuple[int, int, str]:
    """All of it, or the longest run where all is too long."""
    value = "".join(run for _, _, run in runs)
    if most is None or len(value) <= most:
        return runs[0][0], runs[-1][1], value
    return max(runs, key=lambda run: len(run[2]) if len(run[2]) <= most else 0)


def _whole_word(text: str) -> list[tuple[int, int, str]]:
    """A recogniser writes letters as one word now and then ("Smith" for S M I T H); alone, it is taken so."""
    said = [word for word in spelled_words(text) if word.text.lower() not in _LEADS]
    if len(said) == 1 and len(said[0].text) == 1:
        return [(said[0].start, said[0].end, said[0].text.upper())]
    if len(said) != 1 or not said[0].text.isalnum() or len(said[0].text) < 2 or said[0].text.lower() in _NO_WORD:
        return []
    return [(said[0].start, said[0].end, said[0].text.upper())]


_LEADS: Final = frozenset(listed(
    "it's its it is that's that the name my letter just okay yes so well um uh please spelled spelt"
))
_NO_WORD: Final = frozenset(listed(
    "no yeah yep nope what sorry pardon hello why right wrong correct sure hi stop cancel"
))


def runs_of(text: str) -> list[tuple[int, int, str]]:
    """(start, end, signs) of each stretch that is spelled out."""
    said = spelled_words(text)
    runs: list[tuple[int, int, str]] = []
    index = 0
    while index < len(said):
        end, signs, letters = _run(said, index)
        if letters >= 2 or (letters == 1 and len(signs) > 1) or (signs and len(said) == 1):
            runs.append((said[index].start, said[end - 1].end, signs))
        index = max(end, index + 1)
    return runs


def _run(said: list[Word], index: int) -> tuple[int, str, int]:
    """(index after it, its signs, how many of them were letters said as such) of the spelling that begins here."""
    signs, letters, times, upper, last = "", 0, 1, True, index
    at = index
    while at < len(said):
        as_in = _as_in(said, at)
        sign, used, is_letter = as_in or _sign(said, at, inside=letters > 0)
        word = said[at].text.lower()
        if sign:
            signs += (sign.upper() if upper else sign.lower()) * times
            letters += (2 if as_in else is_letter) * times
            times, upper, last = 1, True, at + used
        elif word in TIMES:
            times, used = TIMES[word], 1
            if times == 2 and at + 1 < len(said) and said[at + 1].text.lower() in {"u", "you", "yu"}:
                signs, letters, used, times = signs + "W", letters + 2, 2, 1
                last = at + 2
        elif word in _CASES:
            upper, used = _CASES[word], 1
        elif at > index and word in _SKIPPED:
            used = 1
        else:
            break
        at += used
    return last, signs, letters


def _sign(said: list[Word], at: int, *, inside: bool) -> tuple[str, int, bool]:
    """The sign said at `at`, how many words it takes, and whether it is a letter."""
    raw = said[at].text
    word = raw.lower()
    if len(raw) == 1 and raw.isalpha() and not (word in {"a", "i"} and not _spelled_beside(said, at)):
        return word, 1, True
    if word in NATO and (_spelled_beside(said, at) or inside):
        return NATO[word], 1, NATO[word].isalpha()
    if word.isdigit():
        return word, 1, False
    if word in TENS and at + 1 < len(said) and 1 <= UNITS.get(said[at + 1].text.lower(), 0) <= 9:
        return str(TENS[word] + UNITS[said[at + 1].text.lower()]), 2, False
    if word in TENS:
        return str(TENS[word]), 1, False
    if word in UNITS and word not in {"oh", "o"}:
        return str(UNITS[word]), 1, False
    if word in SINGLE and word not in {"oh", "o"}:
        return SINGLE[word], 1, False
    if inside and word in SIGNS:
        return SIGNS[word], 1, False
    if word in SOUNDS and (_spelled_beside(said, at) or (inside and word in _SAFE_SOUNDS)):
        return SOUNDS[word], 1, True
    if inside and len(raw) <= 3 and raw.isalpha() and word not in _SHORT_WORDS and _spelled_beside(said, at):
        return word, 1, True  # "S M Id H": two letters written as a word
    if raw.isupper() and len(raw) >= 2 and raw.isalpha() and word not in _SHORT_WORDS:
        return word, 1, True
    return "", 1, False


_SHORT_WORDS: Final = frozenset(listed(
    "as at by do go he hi if in is it me my no of on or so to up us we yes the for not was his her our out all but "
    "can has had how its let now one too two use who yep pin"
)
)


def _is_sign(said: list[Word], at: int) -> bool:
    if not 0 <= at < len(said):
        return False
    word = said[at].text.lower()
    if word in TIMES or word in SIGNS or word in _CASES or word in SINGLE:
        return True
    return len(word) == 1 or word in NATO or word in _SAFE_SOUNDS


def _spelled_beside(said: list[Word], at: int) -> bool:
    """Whether a letter stands right before or after."""
    return _is_sign(said, at - 1) or _is_sign(said, at + 1)


def _as_in(said: list[Word], at: int) -> tuple[str, int, bool] | None:
    """"B as in bravo", "b for Bertie", "bee like boat"; the word tells the letter where that was misheard."""
    word = said[at].text.lower()
    is_letter = len(word) == 1 or word in SOUNDS or word in {"he", "the", "we"}
    for joint in _AS_IN:
        parts = joint.split()
        ahead = [token.text.lower() for token in said[at + 1 : at + 1 + len(parts)]]
        if ahead != parts or at + 1 + len(parts) >= len(said) or not is_letter:
            continue
        example = said[at + 1 + len(parts)].text.lower()
        if len(example) < 3 or example in {"the", "and", "you", "double", "triple", "four", "one", "two"}:
            continue
        if joint in {"as", "for", "like", "in"} and example[0] != (word if len(word) == 1 else SOUNDS.get(word, "")):
            continue
        return example[0], 2 + len(parts), True
    return None
