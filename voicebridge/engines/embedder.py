"""Sentence embeddings by llama.cpp's server in a worker process of its own (all-MiniLM-L6-v2 by default)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from voicebridge.engines.base import EngineError
from voicebridge.engines.chat_http import HttpTrouble
from voicebridge.engines.model_host import HostedModel, ModelHost, model_path

WORKER = "voicebridge.engines.llama_worker"
DEFAULT_MODEL = "minilm-l6-v2"
CONTEXT = 256
"""Tokens a sentence; longer ones are cut, in characters, before they are sent."""
MAX_CHARS = 600
MIN_CHARS = 60
"""Characters that make a token each (punctuation, Chinese) are too many at 600: halved until the server takes them."""
BATCH = 32
RETRY_S = 0.03


class EmbedderPlugin:
    """Options: `model` (file or catalogue name), `threads`, `nice`."""

    name = "minilm"
    kind: Literal["embed"] = "embed"
    requires = ("xllamacpp",)
    extra = "embedded"
    default_model = DEFAULT_MODEL

    def create(self, options: Mapping[str, Any]) -> LlamaEmbedder:
        return LlamaEmbedder(self.name, options)


class LlamaEmbedder(HostedModel):
    """An Embedder."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        model = model_path(name, options, DEFAULT_MODEL, kind="embed")
        self.identity = f"{model.name} {model.stat().st_size}"
        served = {
            "model": str(model),
            "task": "embed",
            "slots": 2,
            "context": CONTEXT,
            "threads": int(options.get("threads", 1)),
        }
        super().__init__(name, ModelHost(name, WORKER, served, nice=int(options.get("nice", 5))))

    async def embed(self, texts: Sequence[str], *, give_up: float) -> list[list[float]]:
        vectors: list[list[float]] = []
        try:
            async with asyncio.timeout(give_up - time.monotonic()):
                for at in range(0, len(texts), BATCH):
                    vectors += await self._batch(texts[at : at + BATCH])
        except TimeoutError as error:
            raise EngineError("embed", self.name, "timeout") from error
        return vectors

    async def _batch(self, texts: Sequence[str]) -> list[list[float]]:
        """Tries for as long as its caller lets it."""
        longest = MAX_CHARS
        while True:
            try:
                if self.ready:  # a server that is just coming up takes requests and forgets them
                    cut = [text[:longest].strip() or " " for text in texts]
                    return _vectors(await self.host.http.post("/v1/embeddings", {"input": cut}), len(texts))
            except HttpTrouble as error:
                if error.cause == "refused" and longest > MIN_CHARS and max(map(len, texts)) > MIN_CHARS:
                    longest //= 2
                    continue
                if error.cause in ("refused", "garbage"):
                    raise EngineError("embed", self.name, error.cause, error.detail) from error
            await asyncio.sleep(RETRY_S)


def _vectors(answer: Any, count: int) -> list[list[float]]:
    """OpenAI's embeddings, in the order asked for, each of length 1. Raises HttpTrouble."""
    try:
        rows = sorted(answer["data"], key=lambda row: row["index"])
        vectors = [[float(value) for value in row["embedding"]] for row in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise HttpTrouble("garbage", "not embeddings") from error
    if len(vectors) != count:
        raise HttpTrouble("garbage", f"{len(vectors)} vectors for {count} texts")
    return [_unit(vector) for vector in vectors]


def _unit(vector: list[float]) -> list[float]:
    length = math.sqrt(sum(value * value for value in vector)) or 1.0
    return [value / length for value in vector]


ENGINE = EmbedderPlugin()
