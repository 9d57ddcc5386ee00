"""Facts about callers: per number, few, short, not for ever, and readable by their owner alone."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import stat
from datetime import UTC, datetime, timedelta

import pytest

from voicebridge.tools import SetupError
from voicebridge.tools.builtin.facts import CALLER_FACTS

NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)


class Book:
    """The two tools, on a clock that the test sets."""

    def __init__(self, bench, **settings) -> None:
        self.bench = bench
        self.now = NOW
        self.runner = bench.runner(*CALLER_FACTS.create(settings), now=lambda: self.now)
        self.run = 0

    async def _do(self, tool: str, caller: str, **arguments):
        self.run += 1
        call = dataclasses.replace(self.bench.call, caller=caller)
        return await self.runner.run(call, self.run, tool, json.dumps(arguments))

    async def remember(self, name: str, value: str, caller: str = "+49 89 1234567"):
        return await self._do("remember_fact", caller, name=name, value=value)

    async def facts(self, caller: str = "+49 89 1234567"):
        outcome = await self._do("lookup_facts", caller)
        assert outcome.ok, outcome
        return json.loads(outcome.data)["facts"]


async def test_what_is_remembered_is_found_by_the_number_however_it_is_written(bench):
    book = Book(bench)
    assert await book.facts() == {}
    assert (await book.remember("Bicycle", "a red Kestrel")).ok
    assert await book.facts("+49 (89) 123-4567") == {"bicycle": "a red Kestrel"}
    assert await book.facts("089 1234567") == {}


async def test_a_fact_of_the_same_name_replaces_the_old_one(bench):
    book = Book(bench)
    await book.remember("bicycle", "red")
    await book.remember(" BICYCLE ", "blue")
    assert await book.facts() == {"bicycle": "blue"}


async def test_the_oldest_facts_go_first(bench):
    book = Book(bench, most=3)
    for n in range(5):
        book.now += timedelta(minutes=1)
        await book.remember(f"fact {n}", str(n))
    await book.remember("another's", "x", "5550000")
    assert await book.facts() == {"fact 4": "4", "fact 3": "3", "fact 2": "2"}


async def test_facts_past_their_retention_are_gone_from_the_file(bench):
    book = Book(bench, keep_days=30)
    await book.remember("bicycle", "a red Kestrel")
    book.now += timedelta(days=31)
    assert await book.facts() == {}
    assert b"Kestrel" not in (bench.folder / "facts" / "facts.db").read_bytes()


async def test_only_the_owner_can_read_the_file(bench):
    await Book(bench).remember("a", "b")
    file = bench.folder / "facts" / "facts.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("caller", ["", "anonymous", "12", "unknown"])
async def test_a_caller_without_a_number_has_no_facts(bench, caller):
    outcome = await Book(bench).remember("a", "b", caller)
    assert (outcome.ok, outcome.cause) == (False, "error")
    assert "can't see the number" in outcome.say


@pytest.mark.parametrize(("name", "value"), [("", "x"), ("x", ""), ("x" * 61, "x"), ("x", "y" * 501)])
async def test_what_is_too_long_or_empty_is_not_kept(bench, name, value):
    assert (await Book(bench).remember(name, value)).cause == "invalid_arguments"


async def test_many_calls_may_write_at_once(bench):
    book = Book(bench)
    outcomes = await asyncio.gather(*(book.remember(f"fact {n}", "x" * 100) for n in range(20)))
    assert all(outcome.ok for outcome in outcomes)
    assert len(await book.facts()) == 20


async def test_text_is_only_ever_data(bench):
    book = Book(bench)
    await book.remember("a'; DROP TABLE facts; --", "b'); DELETE FROM facts; --")
    assert await book.facts() == {"a'; drop table facts; --": "b'); DELETE FROM facts; --"}


async def test_a_file_that_is_no_database_is_a_failed_run(bench):
    (bench.folder / "facts").mkdir()
    (bench.folder / "facts" / "facts.db").write_text("not a database, not at all" * 100)
    outcome = await Book(bench).remember("a", "b")
    assert (outcome.ok, outcome.cause) == (False, "error")


@pytest.mark.parametrize("settings", [{"keep_days": 0}, {"most": "many"}, {"mist": 3}])
def test_settings_are_checked(settings):
    with pytest.raises(SetupError, match=next(iter(settings))):
        CALLER_FACTS.create(settings)
