"""What may be said: HCLr.fst (words of sounds of frames) and Gr.fst (words after words), which Vosk puts together.

They lie apart so that a grammar can take Gr's place while it runs: with a ready HCLG.fst grammars are ignored.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from tests.models.recipe import sentences
from tests.models.recipe.acoustic import Acoustic
from tests.models.recipe.corpus import UNKNOWN
from tests.models.recipe.fst import Fst
from tests.models.recipe.kaldi import begins, stays

POSITIONS: Final = ("begin", "internal", "end", "singleton")
SILENT: Final = 1
"""The phone that is silence; each other sound is four phones, by its position in a word."""
PAUSE: Final = 0.3
"""How probable a pause is before a word."""
WORD_COST: Final = 1.0
"""Against a word of many words."""
STATE_COST: Final = math.log(2)
FOLLOWS: Final = 0.7
"""The share of bigrams; the rest is any word."""
UNKNOWN_SHARE: Final = 0.3
"""An unknown word is so probable as this share of a known one."""
SAMPLES: Final = 20_000

Bigrams = Mapping[str, Mapping[str, float]]


def bigrams(seed: int) -> Bigrams:
    """How often a word follows a word in what people ask."""
    chance = random.Random(seed)
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for _ in range(SAMPLES):
        words = sentences.asked(chance).split()
        for before, word in zip(words, words[1:], strict=False):
            counted[before][word] += 1
    return {
        before: {word: count / after.total() for word, count in sorted(after.items())}
        for before, after in sorted(counted.items())
    }


def phone(sound: int, position: str) -> int:
    """The number of a phone, from 1."""
    return SILENT if sound == 0 else 2 + len(POSITIONS) * (sound - 1) + POSITIONS.index(position)


def phones(acoustic: Acoustic, said: Sequence[str]) -> list[int]:
    numbers = [acoustic.sounds.index(sound) for sound in said]
    if len(numbers) == 1:
        return [phone(numbers[0], "singleton")]
    inside = [phone(number, "internal") for number in numbers[1:-1]]
    return [phone(numbers[0], "begin"), *inside, phone(numbers[-1], "end")]


def lexicon_fst(acoustic: Acoustic, words: Sequence[str]) -> Fst:
    """From frames (transition ids) to words (from 1), as many as one likes, with pauses before and after each."""
    made = Fst()
    start = made.state()
    made.final[start] = 0.0
    pause = made.state()
    made.arc(start, begins(SILENT), 0, STATE_COST - math.log(PAUSE), pause)
    made.arc(pause, stays(SILENT), 0, STATE_COST, pause)
    made.arc(pause, 0, 0, 0.0, start)
    no_pause = -math.log(1 - PAUSE) + STATE_COST + WORD_COST
    for number, word in enumerate(words, 1):
        for said, weight in acoustic.lexicon[word]:
            before, writes, cost = start, number, no_pause - math.log(weight)
            for one in phones(acoustic, said):
                state = made.state()
                made.arc(before, begins(one), writes, cost, state)
                made.arc(state, stays(one), 0, STATE_COST, state)
                before, writes, cost = state, 0, STATE_COST
            made.arc(before, 0, 0, 0.0, start)
    return made


def grammar_fst(words: Sequence[str], follows: Bigrams) -> Fst:
    """Any word at first, and after each word those that follow it or, for a price, any other."""
    made = Fst()
    anything = made.state()
    made.final[anything] = 0.0
    states = {word: made.state() for word in words}
    weights = {word: UNKNOWN_SHARE if word == UNKNOWN else 1.0 for word in words}
    total = sum(weights.values())
    for number, word in enumerate(words, 1):
        made.final[states[word]] = 0.0
        made.arc(anything, number, number, -math.log(weights[word] / total), states[word])
    for word in words:
        after = follows.get(word, {})
        for other, share in after.items():
            number = words.index(other) + 1
            made.arc(states[word], number, number, -math.log(FOLLOWS * share), states[other])
        made.arc(states[word], 0, 0, -math.log(1 - FOLLOWS) if after else 0.0, anything)
    return made
