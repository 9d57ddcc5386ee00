"""Which of an agent's intents did the caller mean? Example sentences against what was said.

Two scores are blended: how close the meaning is (cosine of sentence embeddings, where there are some) and how many of
the telling words and word parts are shared (TF-IDF over word stems and character 4-grams; plain numpy, some ten
thousand numbers: scikit-learn would be 100 MB for the same). An utterance of several sentences is matched whole and
sentence by sentence. Below the threshold, or without a margin to the next intent, the answer is None: a wrong answer is
worse than an honest "I don't know". Between the two thresholds it is only perhaps what the caller meant.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Vector = Sequence[float]

SURE: Final = 0.55
PERHAPS: Final = 0.41
"""On the blended score, with embeddings."""
SURE_BY_WORDS: Final = 0.50
PERHAPS_BY_WORDS: Final = 0.38
"""On the lexical score alone."""
MARGIN: Final = 0.015
"""An intent that is no nearer than this to the next one is not sure."""
MEANING: Final = 0.85
"""Share of the meaning in the blended score."""
MAX_PARTS: Final = 4

_CONTRACTIONS: Final = (
    (r"\bwhat's\b", "what is"), (r"\bwhere's\b", "where is"), (r"\bhow's\b", "how is"), (r"\bi'm\b", "i am"),
    (r"\bcan't\b", "can not"), (r"\bwon't\b", "will not"), (r"\bdon't\b", "do not"), (r"\bdoesn't\b", "does not"),
    (r"\bi'd\b", "i would"), (r"\bi've\b", "i have"), (r"\bit's\b", "it is"), (r"\byou're\b", "you are"),
    (r"\bthat's\b", "that is"), (r"\byou've\b", "you have"), (r"\bisn't\b", "is not"), (r"\bi'll\b", "i will"),
)
_POLITE: Final = (
    r"um+", r"uh+", r"er+m?", r"well", r"hi there", r"hello there", r"hi", r"hello", r"hey",
    r"good (?:morning|afternoon|evening|day)", r"please", r"excuse me", r"sorry to bother you",
    r"i was (?:just )?wondering(?: if| whether)?", r"i am (?:just )?wondering(?: if| whether)?",
    r"i (?:would|just|also) (?:like|want(?:ed)?) to (?:know|ask)(?: you)?(?: if| whether)?",
    r"i want(?:ed)? to (?:know|ask)(?: if| whether)?", r"(?:could|can|would) you (?:please )?tell me(?: if| whether)?",
    r"do you (?:happen to )?know(?: if| whether)?",
    r"i (?:am calling|have a question|wanted to ask|need to know|have to ask)(?: about| because| if)?",
    r"quick question", r"just", r"actually", r"i guess", r"you know", r"like i said", r"by any chance",
    r"at the moment", r"thanks", r"thank you",
)
_POLITENESS: Final = re.compile(rf"\b(?:{'|'.join(_POLITE)})\b")
# What callers everywhere say in more than one word; an agent adds those of its trade.
_SYNONYMS: Final = (
    ("price", "cost", "costs", "prices", "much", "charge"),
    ("close", "shut"),
    ("child", "kid", "kids", "children"),
)
_STOP: Final = frozenset(
    {
        "a", "an", "the", "i", "you", "we", "it", "is", "are", "do", "does", "to", "of", "my", "me", "your", "in",
        "for", "and", "or", "if", "at", "on", "have", "has", "can", "could", "would", "will", "be", "am", "that",
        "this", "there", "so", "with", "get", "got", "what", "how", "any", "some", "one", "s", "was", "did", "want",
        "need", "like",
    }
)
_WORD: Final = re.compile(r"[a-z0-9]+(?:[-'][a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Match:
    """The nearest intent, or None where nothing is near enough; scores lie between 0 and 1.

    `sure` is false where it is only perhaps what was meant; `margin` tells how far behind the `runner_up` is. `best` is
    the nearest intent, near enough or not.
    """

    name: str | None
    sure: bool
    score: float
    margin: float
    runner_up: str | None
    best: str | None = None


NOTHING: Final = Match(None, False, 0.0, 0.0, None)


def normalised(text: str) -> str:
    """Lower case, contractions undone, politeness and hesitation taken out."""
    text = text.lower().replace("’", "'")
    for pattern, full in _CONTRACTIONS:
        text = re.sub(pattern, full, text)
    kept = _POLITENESS.sub(" ", text)
    kept = re.sub(r"[^\w\s'?.!-]", " ", kept if _WORD.search(kept) else text)
    return re.sub(r"\s+", " ", kept).strip(" .,!?-") or text.strip()


def _stem(word: str) -> str:
    for ending in ("ings", "ing", "ies", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


def _features(text: str, synonyms: Mapping[str, str]) -> Counter[str]:
    """Stems (and pairs of them) and character 4-grams of the telling words."""
    words = [part for word in _WORD.findall(text) for part in synonyms.get(word, word).split()]
    telling = [_stem(word) for word in words if word not in _STOP]
    counts: Counter[str] = Counter({f"w:{word}": 2 for word in telling})
    counts.update(f"p:{first} {second}" for first, second in zip(telling, telling[1:], strict=False))
    for word in telling:
        padded = f"_{word}_"
        counts.update(f"c:{padded[i : i + 4]}" for i in range(max(1, len(padded) - 3)))
    if not telling:
        counts.update(f"s:{word}" for word in words)
    return counts


class _Lexicon:
    """TF-IDF vectors of the examples."""

    def __init__(self, examples: Sequence[str], synonyms: Mapping[str, str]) -> None:
        self._synonyms = synonyms
        bags = [_features(example, synonyms) for example in examples]
        seen = Counter(feature for bag in bags for feature in bag)
        self._index = {feature: i for i, feature in enumerate(seen)}
        count = len(examples)
        self._idf = np.array([math.log((1 + count) / (1 + n)) + 1 for n in seen.values()], dtype=np.float32)
        self._unknown = math.log(1 + count) + 1
        self._rows = np.stack([self._vector(bag)[0] for bag in bags]) if bags else np.zeros((0, 1), np.float32)

    def _vector(self, bag: Counter[str]) -> tuple[npt.NDArray[np.float32], float]:
        row = np.zeros(len(self._index), dtype=np.float32)
        outside = 0.0
        for feature, n in bag.items():
            weight = 1 + math.log(n)
            if (at := self._index.get(feature)) is not None:
                row[at] = weight * self._idf[at]
            else:
                outside += (weight * self._unknown * 0.6) ** 2
        norm = math.sqrt(float(row @ row) + outside)
        return (row / norm if norm else row), norm

    def scores(self, text: str) -> npt.NDArray[np.float32]:
        row, _ = self._vector(_features(text, self._synonyms))
        made: npt.NDArray[np.float32] = self._rows @ row
        return made


class IntentMatcher:
    """One agent's intents. `vectors` gives the embedding (length 1) of every text of `example_texts`, or is None.

    `synonyms`: groups of words that mean the same; the first stands for the others.
    """

    def __init__(
        self,
        intents: Mapping[str, Sequence[str]],
        vectors: Mapping[str, Vector] | None,
        synonyms: Iterable[Sequence[str]] = (),
    ) -> None:
        self._spoken = [example for examples in intents.values() for example in examples]
        self._examples = [normalised(example) for example in self._spoken]
        self._names = [name for name, examples in intents.items() for _ in examples]
        self._lexicon = _Lexicon(
            self._examples, {word: group[0] for group in (*_SYNONYMS, *synonyms) for word in group[1:]}
        )
        self._vectors: npt.NDArray[np.float32] | None = None
        if vectors is not None and self._examples:
            self._vectors = np.array([vectors[example] for example in self._spoken], dtype=np.float32)

    def example_texts(self) -> list[str]:
        """What to embed, once an agent."""
        return list(dict.fromkeys(self._spoken))

    def query_texts(self, text: str) -> list[str]:
        """What to embed of an utterance: the whole and its sentences."""
        return _parts(text)

    def match(self, text: str, vectors: Mapping[str, Vector] | None) -> Match:
        """`vectors`: the embeddings of `query_texts(text)`; None matches by words alone."""
        best: dict[str, float] = {}
        for part in _parts(text) if self._examples else ():
            scores = self._lexicon.scores(normalised(part))
            if vectors is not None and self._vectors is not None:
                meaning = self._vectors @ np.asarray(vectors[part], dtype=np.float32)
                scores = MEANING * meaning + (1 - MEANING) * scores
            for name, score in self._by_intent(scores).items():
                best[name] = max(best.get(name, 0.0), score)
        by_meaning = vectors is not None and self._vectors is not None
        return _judged(best, *((SURE, PERHAPS) if by_meaning else (SURE_BY_WORDS, PERHAPS_BY_WORDS)))

    def _by_intent(self, scores: npt.NDArray[np.float32]) -> dict[str, float]:
        """An intent is as near as its nearest example, and a little its second nearest."""
        near: dict[str, list[float]] = {}
        for name, score in zip(self._names, scores.tolist(), strict=True):
            near.setdefault(name, []).append(score)
        made = {}
        for name, values in near.items():
            values.sort(reverse=True)
            made[name] = 0.85 * values[0] + 0.15 * values[1] if len(values) > 1 else values[0]
        return made


def _judged(scores: Mapping[str, float], sure: float, perhaps: float) -> Match:
    if not scores:
        return NOTHING
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    name, score = ranked[0]
    runner_up, second = ranked[1] if len(ranked) > 1 else (None, 0.0)
    margin = score - second
    return Match(
        name if score >= perhaps else None, score >= sure and margin >= MARGIN, score, margin, runner_up, name
    )


def _parts(text: str) -> list[str]:
    """The whole utterance and, where it has several, its last sentences."""
    sentences = [part for part in re.split(r"(?<=[.?!])\s+", text) if len(_WORD.findall(part.lower())) >= 3]
    parts = [text, *(sentences[-MAX_PARTS + 1 :] if len(sentences) > 1 else ())]
    return [part for part in dict.fromkeys(part.strip() for part in parts) if part]
