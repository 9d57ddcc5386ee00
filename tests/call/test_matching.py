"""A rule matcher with an embedder that works, fails, or is late."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import pytest

from voicebridge.call.matching import EMBED_GIVE_UP_S, RuleMatcher
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.engines.base import EngineError

AGENT = AgentSpec(
    "desk",
    "Hi.",
    rules=(
        Rule("hours", ("when are you open",), ("Nine.",)),
        Rule("bye", ("goodbye",), ("Bye.",)),
        Rule("key", dtmf="1"),
    ),
)


class Meaning:
    """Embeds by a table; what is not in it lies far from everything. `fails` raises, as an engine's client does."""

    name = "table"
    identity = "table 1"
    ready = True

    def __init__(self) -> None:
        self.table = {"when are you open": (1.0, 0.0, 0.0), "goodbye": (0.0, 1.0, 0.0), "ciao": (0.0, 1.0, 0.0)}
        self.fails = False
        self.asked: list[tuple[list[str], float]] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def embed(self, texts: Sequence[str], *, give_up: float) -> list[list[float]]:
        self.asked.append((list(texts), give_up - time.monotonic()))
        if self.fails:
            raise EngineError("embed", self.name, "timeout")
        return [list(self.table.get(text, (0.0, 0.0, 1.0))) for text in texts]


@pytest.fixture
def meaning() -> Meaning:
    return Meaning()


async def test_without_an_embedder_words_decide():
    matcher = RuleMatcher(AGENT, None)
    await matcher.prepare()
    assert (await matcher.match("When are you open?")).name == "hours"
    assert (await matcher.match("ciao")).name is None


async def test_with_one_the_meaning_does(meaning):
    matcher = RuleMatcher(AGENT, meaning)
    await matcher.prepare()
    assert (await matcher.match("ciao")).name == "bye"
    assert (await matcher.match("banana")).name is None


async def test_before_it_is_prepared_words_decide_and_nobody_is_asked(meaning):
    matcher = RuleMatcher(AGENT, meaning)
    assert (await matcher.match("When are you open?")).name == "hours"
    assert meaning.asked == []


async def test_the_examples_are_embedded_once_for_all_calls(meaning):
    matcher = RuleMatcher(AGENT, meaning)
    await matcher.prepare()
    await matcher.prepare()
    assert [texts for texts, _ in meaning.asked] == [["when are you open", "goodbye"]]


async def test_an_utterance_s_embedding_has_a_short_limit(meaning):
    matcher = RuleMatcher(AGENT, meaning)
    await matcher.prepare()
    await matcher.match("ciao")
    assert meaning.asked[-1][1] == pytest.approx(EMBED_GIVE_UP_S, abs=0.1)


async def test_an_embedder_that_fails_leaves_it_to_words_and_the_log_holds_nothing_said(meaning, caplog):
    matcher = RuleMatcher(AGENT, meaning)
    await matcher.prepare()
    meaning.fails = True
    with caplog.at_level(logging.DEBUG):
        assert (await matcher.match("When are you open?")).name == "hours"
    assert "agent=desk matched by words alone" in caplog.text and "open" not in caplog.text
    meaning.fails = False
    assert (await matcher.match("ciao")).name == "bye"


async def test_examples_that_cannot_be_embedded_are_tried_again_later(meaning):
    meaning.fails = True
    matcher = RuleMatcher(AGENT, meaning)
    await matcher.prepare()
    assert (await matcher.match("goodbye")).name == "bye"
    meaning.fails = False
    await matcher.prepare()
    assert (await matcher.match("ciao")).name == "bye"


async def test_nothing_said_matches_nothing_and_an_agent_without_rules_neither(meaning):
    matcher = RuleMatcher(AGENT, meaning)
    await matcher.prepare()
    assert (await matcher.match("  ")).name is None
    bare = RuleMatcher(AgentSpec("a", "Hi."), meaning)
    await bare.prepare()
    assert (await bare.match("hello")).name is None
    assert len(meaning.asked) == 1


async def test_embeddings_are_kept_from_one_start_to_the_next_and_a_damaged_file_is_made_again(meaning, tmp_path):
    await RuleMatcher(AGENT, meaning, tmp_path).prepare()
    again = RuleMatcher(AGENT, meaning, tmp_path)
    await again.prepare()
    assert len(meaning.asked) == 1
    assert (await again.match("ciao")).name == "bye"
    (kept,) = (tmp_path / "embeddings").glob("*.npy")
    kept.write_bytes(kept.read_bytes()[:-5])
    meaning.identity = "table 1"
    await RuleMatcher(AGENT, meaning, tmp_path).prepare()
    assert len(meaning.asked) == 3 and len(meaning.asked[-1][0]) == 2
    meaning.identity = "table 2"
    await RuleMatcher(AGENT, meaning, tmp_path).prepare()
    assert len(meaning.asked) == 4, "another model's embeddings are of no use"


async def test_a_folder_that_cannot_be_written_costs_a_line_in_the_log(meaning, tmp_path, caplog):
    (tmp_path / "file").touch()
    matcher = RuleMatcher(AGENT, meaning, tmp_path / "file")
    await matcher.prepare()
    assert "embeddings not kept" in caplog.text
    assert (await matcher.match("ciao")).name == "bye"
