"""Finding the rule that fits what the caller said: the agent's example sentences against his words."""

from __future__ import annotations

import logging
import time

from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.intents import IntentMatcher, Match
from voicebridge.engines.base import Embedder, EngineError

log = logging.getLogger(__name__)

EMBED_GIVE_UP_S = 0.4
"""Words alone decide when the embeddings take longer: the caller waits."""


class RuleMatcher:
    """One agent's rules. Matches by words until `prepare` has embedded the examples."""

    def __init__(self, agent: AgentSpec, embedder: Embedder | None) -> None:
        self._agent = agent
        self._embedder = embedder
        self._examples = {rule.name: list(rule.examples) for rule in agent.rules if rule.examples}
        self._by_words = IntentMatcher(self._examples, None, agent.synonyms)
        self._by_meaning: IntentMatcher | None = None

    async def prepare(self) -> None:
        """Embed the agent's examples (once). On failure the matcher goes on by words."""
        if self._embedder is None or not self._examples or self._by_meaning is not None:
            return
        texts = self._by_words.example_texts()
        try:
            vectors = await self._embedder.embed(texts, give_up=time.monotonic() + 30.0)
        except EngineError as error:
            log.warning("agent=%s examples not embedded, matching by words: %s", self._agent.name, error)
            return
        self._by_meaning = IntentMatcher(
            self._examples, dict(zip(texts, vectors, strict=True)), self._agent.synonyms
        )

    async def match(self, text: str) -> Match:
        if not text.strip():
            return Match(None, 0.0, 0.0, None)
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
