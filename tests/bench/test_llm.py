"""The comparison of language models, with engines that answer at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from click.testing import CliRunner

from bench import llm
from bench.bakery import half, talk
from bench.llm import CASES, Asked, Tally, compare, makers, report
from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.engines.base import EngineError, Message

QUICK = {"llama_server": 0.02, "llama_cpp": 0.005}
"""Seconds to the first token."""


class Session:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def warm(self, messages: Sequence[Message]) -> None:
        assert [one.role for one in messages] == ["system"]

    async def prefill(self, messages: Sequence[Message]) -> None:
        self.engine.read.append(messages[-1].text)

    async def generate(self, messages: Sequence[Message], **options: float) -> AsyncIterator[str]:
        self.engine.asked.append(messages[-1].text)
        await asyncio.sleep(QUICK[self.engine.name])
        if self.engine.fails:
            raise EngineError("llm", self.engine.name, "crashed")
        for _ in range(llm.CLAUSE_TOKENS + 1):
            yield "x"

    def defer(self, deadline: float) -> None:
        self.engine.deferred += 1

    async def close(self) -> None:
        self.engine.open -= 1


class Engine:
    context_tokens = 2048

    def __init__(self, name: str, log: list[str]) -> None:
        self.name, self.log = name, log
        self.read: list[str] = []
        self.asked: list[str] = []
        self.deferred = self.open = 0
        self.fails = self.ready = False

    async def start(self) -> None:
        self.ready = True
        self.log.append(self.name)

    async def stop(self) -> None:
        self.ready = False

    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> Session:
        self.open += 1
        return Session(self)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "SPEAKS_S", 0.001)


async def test_every_engine_is_asked_the_same_and_the_first_is_not_always_the_same() -> None:
    log: list[str] = []
    engines: dict[str, list[Engine]] = {name: [] for name in QUICK}

    def made(name: str) -> Engine:
        engines[name].append(Engine(name, log))
        return engines[name][-1]

    told: list[str] = []
    tallies = await compare({name: lambda name=name: made(name) for name in QUICK}, 2, 2, told.append)
    assert log[:4] == ["llama_server", "llama_cpp", "llama_cpp", "llama_server"]
    assert told == ["round 1 of 2", "round 2 of 2"]
    one, other = (engines[name][-1] for name in QUICK)
    assert one.asked == other.asked
    assert sorted(one.read) == sorted(other.read)
    assert one.open == other.open == 0
    assert one.deferred == len(one.asked)
    assert not one.ready
    counts = {case: len(tallies[case]["llama_cpp"].first_s) for case in tallies}
    assert counts == {
        "cold 1": 2, "new 1": 8, "new 4": 8, "new 8": 16, "turn 1": 8, "turn 4": 8, "turn 8": 16, "once 4": 8,
        "once 8": 16,
    }  # fmt: skip
    for row in report(tallies):
        assert row["failed"] == 0
        assert row["tokens_per_s"] > 0
        if row["engine"] == "llama_server":
            assert row["ratio"] == 1


async def test_an_engine_that_fails_is_counted_and_stops_nobody() -> None:
    def broken() -> Engine:
        engine = Engine("llama_cpp", [])
        engine.fails = True
        return engine

    tallies = await compare({"llama_cpp": broken}, 1, 0, lambda text: None)
    rows = {row["case"]: row for row in report(tallies)}
    assert rows["turn 4"]["failed"] == 4
    assert rows["turn 4"]["first_s"] == {"n": 0}
    assert "ratio" not in rows["turn 4"]


def test_the_tokens_a_second_are_those_of_all_calls_of_a_round_together() -> None:
    tally = Tally()
    tally.add([Asked(0.1, 30, 10.0, 12.0), Asked(0.3, 10, 11.0, 14.0), EngineError("llm", "x", "timeout")])
    assert tally.row() == {
        "first_s": {"n": 2, "p50": 0.2, "p95": 0.29, "p99": 0.298, "max": 0.3}, "failed": 1, "tokens_per_s": 10.0,
    }  # fmt: skip


def test_what_is_read_along_is_where_the_question_begins() -> None:
    for question in llm.QUESTIONS:
        assert question.startswith(half(question))
        assert 0 < len(half(question)) < len(question)
    assert talk(1, "A?")[:1] == talk(2, "B?")[:1]
    assert talk(1, "A?")[1] != talk(2, "A?")[1]
    assert set(CASES) >= {"new 1", "turn 1", "turn 4", "once 8"}


def test_what_is_not_there_is_told_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    told: list[str] = []
    assert makers(["no_such_engine"], {"context": 512}, told.append) == {}
    assert any("no_such_engine" in line for line in told)
    assert any("llama-server" in line for line in told)


def test_numbers_come_as_json_with_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm, "makers", lambda *_: {"llama_cpp": lambda: Engine("llama_cpp", [])})
    made = CliRunner().invoke(llm.main, ["--rounds", "1", "--colds", "0", "--json"])
    assert made.exit_code == 0
    printed = json.loads(made.stdout)
    assert {row["case"] for row in printed["rows"]} == {"cold 1", *CASES}
    assert printed["rounds"] == 1
    assert "cores" in printed["machine"]
