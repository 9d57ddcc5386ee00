"""An utterance as the English readers match it: lower case, numbers as digits, no punctuation; spans lead back.

"Tuesday, the twenty-first, at half-past two" -> `tuesday the #21 at half past 2`. Ordinals bear a #.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from voicebridge.slots.language import MASK
from voicebridge.slots.wordlist import listed

UNITS: Final = {name: value for value, name in enumerate(
    listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
)}
TENS: Final = {name: 10 * value for value, name in enumerate(
    ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2
)} | {"fourty": 40}
SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 1_000_000}
ORDINALS: Final = {name: value for value, name in enumerate(
    listed(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
), 1
)} | {"thirtieth": 30}
HESITATIONS: Final = frozenset(listed(
    "um uh er erm uhm uhh umm hm hmm ehm ah eh"
))
HOMOPHONES: Final = {
    "for": "four", "fore": "four", "won": "one", "ate": "eight", "tree": "three", "free": "three", "dirty": "thirty",
    "niner": "nine", "fife": "five", "sicks": "six", "too": "two", "tu": "two", "forth": "fourth", "ait": "eight",
}
"""What a small recogniser writes for a number said alone ("to" for two apart, as `line(..., sound=2)` has it)."""

_TOKEN: Final = re.compile(
    rf"{MASK}+|\d{{4}}-\d{{1,2}}-\d{{1,2}}|\d{{1,2}}/\d{{1,2}}(?:/\d{{2,4}})?|\d{{1,2}}\.\d{{1,2}}\.\d{{2,4}}"
    r"|\d{1,2}[:.]\d{2}(?!\d)|\d{1,3}(?:,\d{3})+(?!\d)|\d+\.\d+|\d+(?=(?:st|nd|rd|th)\b)|\d+"
    r"|(?:(?<=\d)(?:st|nd|rd|th)\b)|[^\W\d_]+(?:'[^\W\d_]+)*|[+@]",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Word:
    """`text` in lower case; `start` and `end` in the utterance."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Line:
    """`text` is the words with one blank between; `starts[i]` is where word i begins in it."""

    text: str
    words: tuple[Word, ...]
    starts: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place in the utterance of `text[start:end]`."""
        first = max(bisect_right(self.starts, start) - 1, 0)
        last = max(bisect_left(self.starts, end) - 1, first)
        return (self.words[first].start, self.words[last].end) if self.words else (0, 0)


def straight(text: str) -> str:
    """Typographic apostrophes and dashes as plain ones; the length stays."""
    return text.translate(_STRAIGHT)


_STRAIGHT: Final = {ord(odd): plain for odd, plain in zip("’‘`´–—−", "''''---", strict=True)}


@lru_cache(maxsize=256)
def words(text: str) -> tuple[Word, ...]:
    """The utterance's words, numbers as they are written."""
    found: list[Word] = []
    for match in _TOKEN.finditer(straight(text)):
        word = match.group().lower()
        if word in {"st", "nd", "rd", "th"} and found and found[-1].end == match.start() and found[-1].text.isdigit():
            found[-1] = Word(f"#{int(found[-1].text)}", found[-1].start, match.end())
        elif word.startswith(MASK):
            found.append(Word(MASK, match.start(), match.end()))
        else:
            found.append(Word(word, match.start(), match.end()))
    return tuple(found)


@lru_cache(maxsize=256)
def line(text: str, sound: int = 0) -> Line:
    """`sound` 1 reads homophones as numbers ("for" as four), 2 also "to" as two."""
    said = [word for word in words(text) if word.text not in HESITATIONS]
    if sound:
        swaps = HOMOPHONES | ({"to": "two"} if sound > 1 else {})
        said = [Word(swaps.get(word.text, word.text), word.start, word.end) for word in said]
    canonical = tuple(_numbers(_joined(said)))
    starts, at = [], 0
    for word in canonical:
        starts.append(at)
        at += len(word.text) + 1
    return Line(" ".join(word.text for word in canonical), canonical, tuple(starts))


_PAIRS: Final = {
    ("a", "m"): "am", ("p", "m"): "pm", ("o", "clock"): "o'clock", ("a", "clock"): "o'clock",
    ("of", "clock"): "o'clock",
    ("to", "day"): "today", ("to", "morrow"): "tomorrow", ("mid", "day"): "midday", ("mid", "night"): "midnight",
    ("o", "clocks"): "o'clock", ("have", "passed"): "half past", ("half", "passed"): "half past",
    ("has", "passed"): "half past", ("week", "end"): "weekend",
}
_SINGLE: Final = {"oclock": "o'clock", "o'clocks": "o'clock", "o": "oh", "p.m": "pm", "passed": "past", "til": "till",
                  "nought": "oh", "naught": "oh", "ok": "okay", "alright": "all right", "cannot": "can not"}


_CLOCKS: Final = {
    "for": "four", "to": "two", "too": "two", "won": "one", "ate": "eight", "free": "three", "tree": "three",
}
"""Before "o'clock" these are hours, whatever the recogniser wrote."""


def _after(said: list[Word], index: int) -> tuple[str, str]:
    """The two words behind the one at `index`."""
    ahead = [word.text for word in said[index + 1 : index + 3]] + ["", ""]
    return (ahead[0], ahead[1]) if ahead[0] not in {"o'clock", "oclock"} else ("o", "clock")


def _joined(said: list[Word]) -> list[Word]:
    out: list[Word] = []
    index = 0
    while index < len(said):
        word = said[index]
        pair = _PAIRS.get((word.text, said[index + 1].text)) if index + 1 < len(said) else None
        if pair is not None:
            word = Word(pair, word.start, said[index + 1].end)
            index += 1
        elif word.text in _CLOCKS and (follow := _after(said, index)) and _PAIRS.get(follow) == "o'clock":
            word = Word(_CLOCKS[word.text], word.start, word.end)
        elif word.text.endswith("ish") and (number := word.text[:-3].rstrip("-")) in UNITS:
            word = Word(number, word.start, word.end)
        else:
            word = Word(_SINGLE.get(word.text, word.text), word.start, word.end)
        out.append(word)
        index += 1
    return out


def _numbers(said: list[Word]) -> list[Word]:
    """Number words as digits, as many words a number as belong together."""
    out: list[Word] = []
    index = 0
    while index < len(said):
        value, used, ordinal = cardinal([word.text for word in said[index : index + 12]])
        if not used:
            out.append(said[index])
            index += 1
            continue
        text = f"#{value}" if ordinal else str(value)
        first = said[index]
        if used == 1 and first.text.isdigit():
            text = first.text  # keeps leading zeros
        out.append(Word(text, first.start, said[index + used - 1].end))
        index += used
    return out


def cardinal(said: list[str]) -> tuple[int, int, bool]:
    """The number at the beginning of `said`: (value, words used, is an ordinal); none uses 0 words."""
    value, used, ordinal = _below_hundred(said)
    if not used and said[:1] in (["a"], ["an"]) and said[1:2] and said[1] in SCALES:
        value, used = 1, 1
    if not used or ordinal:
        return value, used, ordinal
    total = 0
    while used < len(said) and said[used] in SCALES and value:
        scale = SCALES[said[used]]
        used += 1
        value *= scale
        skip = 1 if said[used : used + 1] == ["and"] else 0
        more, more_used, more_ordinal = _below_hundred(said[used + skip :])
        if scale > 100:
            total, value = total + value, 0
            ahead = used + skip + more_used
            if not more_used or (more >= scale):
                break
            value, used, ordinal = more, ahead, more_ordinal
        elif more_used and more < scale and not _is_written(said[used + skip]):
            value, used, ordinal = value + more, used + skip + more_used, more_ordinal
        if ordinal:
            break
    return total + value, used, ordinal


def _is_written(word: str) -> bool:
    return word[:1].isdigit() or word.startswith("#")


def _below_hundred(said: list[str]) -> tuple[int, int, bool]:
    if not said:
        return 0, 0, False
    first, second = said[0], said[1] if len(said) > 1 else ""
    if first in TENS:
        if 1 <= UNITS.get(second, 0) <= 9:
            return TENS[first] + UNITS[second], 2, False
        if 1 <= ORDINALS.get(second, 0) <= 9:
            return TENS[first] + ORDINALS[second], 2, True
        return TENS[first], 1, False
    if first in UNITS:
        return UNITS[first], 1, False
    if first in ORDINALS:
        return ORDINALS[first], 1, True
    if first.isdecimal() and len(first) <= 15 and first.isascii():
        return int(first), 1, False
    return 0, 0, False
