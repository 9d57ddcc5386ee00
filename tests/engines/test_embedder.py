"""Sentence embeddings: the real model in its worker process."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from voicebridge.engines.base import EngineError
from voicebridge.engines.chat_http import HttpTrouble
from voicebridge.engines.embedder import BATCH, ENGINE, MAX_CHARS, LlamaEmbedder, _vectors

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]

WIDTH = 384
"""Numbers in a vector of all-MiniLM-L6-v2."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[LlamaEmbedder]:
    engine = ENGINE.create({"nice": 0})
    await engine.start()
    yield engine
    await engine.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def embedder(shared: LlamaEmbedder) -> LlamaEmbedder:
    assert await shared.host.worker.wait_ready(30)
    return shared


async def embed(embedder: LlamaEmbedder, *texts: str, seconds: float = 30) -> list[list[float]]:
    return await embedder.embed(texts, give_up=time.monotonic() + seconds)


def alike(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def kill(embedder: LlamaEmbedder, number: signal.Signals) -> None:
    assert embedder.host.worker.pid is not None
    os.kill(embedder.host.worker.pid, number)


async def test_vectors_are_of_length_one(embedder: LlamaEmbedder) -> None:
    for vector in await embed(embedder, "When do you open?", "Goodbye."):
        assert len(vector) == WIDTH
        assert alike(vector, vector) == pytest.approx(1)


async def test_nothing_asked_nothing_done(embedder: LlamaEmbedder) -> None:
    assert await embed(embedder) == []


async def test_order_is_kept_over_batches(embedder: LlamaEmbedder) -> None:
    texts = [f"I would like {n} loaves of bread." for n in range(2 * BATCH + 3)]
    many = await embed(embedder, *texts)
    assert len(many) == len(texts)
    for at in (0, 1, BATCH - 1, BATCH, 2 * BATCH, len(texts) - 1):
        (alone,) = await embed(embedder, texts[at])
        assert max(range(len(texts)), key=lambda n: alike(many[n], alone)) == at
        assert alike(many[at], alone) > 0.99


async def test_what_means_the_same_is_nearer(embedder: LlamaEmbedder) -> None:
    hours, same, price, human = await embed(
        embedder,
        "When do you open?",
        "What are your opening hours?",
        "How much is a loaf?",
        "Put me through to someone.",
    )
    assert alike(hours, same) > 0.6
    assert alike(hours, same) > alike(hours, price) + 0.2
    assert alike(hours, same) > alike(hours, human) + 0.2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "\n",
        "\x00",
        "word " * 3000,
        "!" * 2000,
        "漢" * 2000,
        "a b " * 500,
        "한" * 700,
        "🙂" * 700,
        "x" * 5000,
    ],
)
async def test_any_text_has_a_vector_and_its_neighbours_keep_theirs(embedder: LlamaEmbedder, text: str) -> None:
    (alone,) = await embed(embedder, "Hello there.")
    before, odd, after = await embed(embedder, "Hello there.", text, "Hello there.")
    assert len(odd) == WIDTH
    assert alike(odd, odd) == pytest.approx(1)
    assert alike(alone, before) > 0.99
    assert alike(alone, after) > 0.99


async def test_one_token_a_character_is_too_much_for_the_model_uncut(embedder: LlamaEmbedder) -> None:
    """What the halving is for."""
    with pytest.raises(HttpTrouble, match="refused"):
        await embedder.host.http.post("/v1/embeddings", {"input": ["!" * MAX_CHARS]})


async def test_killed_in_the_middle_it_still_answers(embedder: LlamaEmbedder) -> None:
    texts = [f"Sentence number {n} of a longer list of sentences." for n in range(4 * BATCH)]
    expected = await embed(embedder, *texts)
    first = embedder.host.worker.pid
    task = asyncio.create_task(embed(embedder, *texts))
    await asyncio.sleep(0.05)
    assert not task.done()
    kill(embedder, signal.SIGKILL)
    got = await task
    assert embedder.host.worker.pid != first
    assert len(got) == len(expected)
    assert all(alike(one, other) > 0.99 for one, other in zip(got, expected, strict=True))


async def test_stopped_process_gives_an_error_in_time(embedder: LlamaEmbedder) -> None:
    kill(embedder, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(EngineError) as raised:
        await embed(embedder, "Hello.", seconds=0.3)
    kill(embedder, signal.SIGCONT)
    assert raised.value.cause == "timeout"
    assert raised.value.kind == "embed"
    assert time.monotonic() - began < 2
    assert await embed(embedder, "Hello.")


async def test_too_late_is_an_error_not_a_wait(embedder: LlamaEmbedder) -> None:
    with pytest.raises(EngineError, match="timeout"):
        await embed(embedder, "Hello.", seconds=-1)


async def test_asked_before_the_worker_is_up() -> None:
    engine = ENGINE.create({"nice": 0})
    with pytest.raises(EngineError, match="timeout"):
        await embed(engine, "Hello.", seconds=0.2)
    await engine.start()
    assert len(await embed(engine, "Hello.", seconds=20)) == 1
    await engine.stop()


async def test_identity_names_the_model(embedder: LlamaEmbedder) -> None:
    assert embedder.identity.startswith("all-MiniLM-L6-v2.Q8_0.gguf ")
    assert ENGINE.create({}).identity == embedder.identity


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"data": 7},
        {"data": [{"index": 0}]},
        {"data": [{"index": 0, "embedding": ["x"]}]},
        {"data": [{"index": 0, "embedding": 7}]},
        {"data": []},
    ],
)
async def test_answers_that_are_no_vectors(answer: Any) -> None:
    with pytest.raises(HttpTrouble, match="garbage"):
        _vectors(answer, 1)


async def test_vectors_are_sorted_and_scaled() -> None:
    answer = {"data": [{"index": 1, "embedding": [0, 2]}, {"index": 0, "embedding": [3, 4]}]}
    assert _vectors(answer, 2) == [[0.6, 0.8], [0, 1]]
    assert _vectors({"data": [{"index": 0, "embedding": [0, 0]}]}, 1) == [[0, 0]]
    assert not any(math.isnan(value) for value in _vectors({"data": [{"index": 0, "embedding": [0.0]}]}, 1)[0])
