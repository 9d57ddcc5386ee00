"""Matching what a caller said with an agent's rules: embeddings where there is an embedder, words otherwise."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.intents import NOTHING, IntentMatcher, Match, Vector
from voicebridge.engines.base import Embedder, EngineError

log = logging.getLogger(__name__)

EMBED_GIVE_UP_S = 0.4
"""Words alone decide when the embeddings take longer: the caller waits."""
PREPARE_GIVE_UP_S = 60.0


class RuleMatcher:
    """One agent's rules. Matches by words until `prepare` has embedded the examples.

    `cache`: a folder in which the embeddings of the examples are kept from one start to the next.
    """

    def __init__(self, agent: AgentSpec, embedder: Embedder | None, cache: Path | None = None) -> None:
        self._agent = agent
        self._embedder = embedder
        self._cache = cache
        self._examples = {rule.name: list(rule.examples) for rule in agent.rules if rule.examples}
        self._by_words = IntentMatcher(self._examples, None, agent.synonyms)
        self._by_meaning: IntentMatcher | None = None

    async def prepare(self) -> None:
        """Embed the agent's examples (once). On failure the matcher goes on by words."""
        if self._embedder is None or not self._examples or self._by_meaning is not None:
            return
        texts = self._by_words.example_texts()
        try:
            vectors = await self._embedded(self._embedder, texts)
        except EngineError as error:
            log.warning("agent=%s examples not embedded, matching by words: %s", self._agent.name, error)
            return
        by_text = dict(zip(texts, vectors, strict=True))
        # 0.15 s for a thousand examples: when agents are read anew, calls are going on.
        self._by_meaning = await asyncio.to_thread(IntentMatcher, self._examples, by_text, self._agent.synonyms)

    async def _embedded(self, embedder: Embedder, texts: list[str]) -> Sequence[Vector]:
        key = json.dumps([embedder.name, embedder.identity, texts])
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
        file = self._cache / "embeddings" / name if self._cache is not None else None
        if file is not None and (kept := await asyncio.to_thread(_read, file, len(texts))) is not None:
            return kept
        vectors = await embedder.embed(texts, give_up=time.monotonic() + PREPARE_GIVE_UP_S)
        if file is not None:
            try:
                await asyncio.to_thread(_write, file, vectors)
            except OSError as error:
                log.warning("agent=%s embeddings not kept in %s: %s", self._agent.name, file.parent, error)
        return vectors

    async def match(self, text: str) -> Match:
        if not text.strip():
            return NOTHING
        matcher = self._by_meaning
        if matcher is None or self._embedder is None:
            return self._by_words.match(text, None)
        parts = matcher.query_texts(text)
        try:
            vectors = await self._embedder.embed(parts, give_up=time.monotonic() + EMBED_GIVE_UP_S)
        except EngineError as error:
            log.warning("agent=%s matched by words alone: %s", self._agent.name, error)
            return self._by_words.match(text, None)
        return matcher.match(text, dict(zip(parts, vectors, strict=True)))


def _write(file: Path, vectors: Sequence[Vector]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with part.open("wb") as sink:
        np.save(sink, np.asarray(vectors, dtype=np.float32), allow_pickle=False)
    part.replace(file)


def _read(file: Path, count: int) -> list[list[float]] | None:
    """None where there is none, or one that is damaged."""
    try:
        with file.open("rb") as source:
            made = np.load(source, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return made.tolist() if made.ndim == 2 and len(made) == count else None
