"""Where in a spoken sentence its words begin, from its phonemes."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate

PAUSES = frozenset(",.;:!?…—。！？、，")
SILENT = frozenset(" ˈˌ'‿-\"()«»") | PAUSES
LENGTHS = {"ː": 0.7, "ˑ": 0.4, " ": 0.3, "ˈ": 0.0, "ˌ": 0.0}
PAUSE_LENGTH = 2.5


def estimated_ends(phonemes: Sequence[str]) -> list[float]:
    """When each phoneme ends, as a share of the sentence: a pause for a comma, nothing for a stress, else the same."""
    last = max((at for at, sound in enumerate(phonemes) if sound not in SILENT), default=-1)
    lengths = [
        (PAUSE_LENGTH if sound in PAUSES else LENGTHS.get(sound, 1.0)) if at <= last else 0.0
        for at, sound in enumerate(phonemes)
    ]
    ends = list(accumulate(lengths))
    return [end / (ends[-1] or 1.0) for end in ends]


def word_beginnings(spoken: Sequence[str], alone: Sequence[Sequence[str]]) -> list[int]:
    """Indices into `spoken` at which the words begin; ascending. `alone`: the phonemes of each word by itself.

    A word that sounds like nothing begins with the next one. Words melt ("in the") and numbers are several, so that
    both are laid side by side where the spaces do not tell.
    """
    groups = [at for at, sound in enumerate(spoken) if sound not in SILENT and (at == 0 or _parted(spoken, at))]
    heard = [index for index, word in enumerate(alone) if any(sound not in SILENT for sound in word)]
    begins = dict(zip(heard, groups, strict=False)) if len(groups) == len(heard) else _laid_beside(spoken, alone)
    found, following = [], len(spoken)
    for index in reversed(range(len(alone))):
        following = min(following, begins.get(index, following))
        found.append(following)
    return found[::-1]


def _parted(spoken: Sequence[str], at: int) -> bool:
    """A space lies between this sound and the one before."""
    while at > 0 and spoken[at - 1] in SILENT:
        at -= 1
        if spoken[at] == " ":
            return True
    return at == 0


def _laid_beside(spoken: Sequence[str], alone: Sequence[Sequence[str]]) -> dict[int, int]:
    sounds = [(sound, at) for at, sound in enumerate(spoken) if sound not in SILENT]
    words = [(sound, index) for index, word in enumerate(alone) for sound in word if sound not in SILENT]
    if not sounds or not words:
        return {}
    matcher = SequenceMatcher(None, [sound for sound, _ in words], [sound for sound, _ in sounds], autojunk=False)
    known = [(-1, -1)]  # pairs of positions in `words` and `sounds` that belong together
    known += [(block.a + k, block.b + k) for block in matcher.get_matching_blocks() for k in range(block.size)]
    known.append((len(words), len(sounds)))
    begins: dict[int, int] = {}
    for at, (_, index) in enumerate(words):
        if index not in begins:
            begins[index] = sounds[min(len(sounds) - 1, _between(known, at))][1]
    return begins


def _between(known: Sequence[tuple[int, int]], at: int) -> int:
    after = bisect.bisect_left(known, (at, -1))
    (low, low_to), (high, high_to) = known[max(0, after - 1)], known[after]
    if high == at:
        return high_to
    return max(0, low_to + round((high_to - low_to) * (at - low) / (high - low)))
