"""Speech as a synthesiser makes it, cut to what is said, and text cut into what is said in one go."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from voicebridge.conversation.clauses import ends_sentence
from voicebridge.engines.base import Voice, WordMark

LEAD_S = 0.01
INNER_TRAIL_S = 0.06
SENTENCE_TRAIL_S = 0.15
SENTENCE_END = re.compile(r"[.?!…。！？][\"')\]”’]*\s*$")
MAX_CHARS = 240
"""Of a piece: what a neural voice takes for a sentence costs memory with the square of its length."""
SOFT_CHARS = 120
"""From here on a piece ends at a comma."""
MAX_TOKEN = 100
WIDE_ENDS = "。！？"
_TOKEN = re.compile(rf"[^\s{WIDE_ENDS}]{{1,{MAX_TOKEN}}}[{WIDE_ENDS}]{{0,9}}|[{WIDE_ENDS}]{{1,9}}")
_PAUSE = re.compile(r"[,;:–—、，；：]$")


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a synthesiser made: 16-bit little-endian mono, and where words begin (empty: not known).

    `estimated`: the marks were not told by the engine.
    """

    pcm: bytes
    rate: int
    marks: tuple[WordMark, ...] = ()
    estimated: bool = False


Synthesiser = Callable[[str, Voice], Spoken]
"""(text, voice) -> speech. ValueError: cannot do that."""


def trimmed(spoken: Spoken, sentence_ends: bool) -> Spoken:
    """10 ms of silence before the words; after them 60 ms, or 150 ms at the end of a sentence."""
    samples = np.frombuffer(spoken.pcm, "<i2")
    level = np.abs(samples.astype(np.int32))
    loud = np.flatnonzero(level > max(32, int(level.max(initial=0)) // 200))
    if not len(loud):
        return Spoken(b"", spoken.rate)
    begin = max(0, int(loud[0]) - int(LEAD_S * spoken.rate))
    end = int(loud[-1]) + 1
    trail = int((SENTENCE_TRAIL_S if sentence_ends else INNER_TRAIL_S) * spoken.rate)
    kept = samples[begin : end + trail]
    pcm = kept.tobytes() + bytes(2 * max(0, end + trail - len(samples)))
    marks = (WordMark(m.start, m.end, min(max(0, m.sample - begin), len(pcm) // 2)) for m in spoken.marks)
    return Spoken(pcm, spoken.rate, tuple(marks), spoken.estimated)


def pieces(text: str) -> list[tuple[int, int]]:
    """[start, end) of each sentence, and of the parts of long ones; joined they are the whole text, never empty."""
    tokens = list(_TOKEN.finditer(text))
    found, start = [], 0
    for token, follower in zip(tokens, tokens[1:], strict=False):
        if _ends_piece(token.group(), follower.group(), follower.end() - start, token.end() - start):
            found.append((start, follower.start()))
            start = follower.start()
    return [*found, (start, len(text))]


def _ends_piece(word: str, follower: str, longer: int, length: int) -> bool:
    """Whether a piece of `length` characters ends with `word`; with the next one it would have `longer`."""
    if word[-1] in WIDE_ENDS or ends_sentence(word.rstrip("\"')]”’»"), follower):
        return True
    return longer > MAX_CHARS or (length >= SOFT_CHARS and _PAUSE.search(word) is not None)
