"""Voices that die, hang, babble or give no sound: another one says it, and keeps the call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path

import pytest

from tests.engines.failover.servers import Server, serving, started, tts
from voicebridge.engines.base import EngineError, Speech, Voice
from voicebridge.engines.failover import together
from voicebridge.engines.failover.health import WATCH, Move, Watch
from voicebridge.engines.failover.tts import TtsFailover

ENOUGH_S = 5.0


@pytest.fixture
def moves() -> Iterator[list[Move]]:
    told: list[Move] = []
    token = WATCH.set(Watch(told.append))
    yield told
    WATCH.reset(token)


def two(first: Server, second: Server) -> TtsFailover:
    made = together("tts", [tts(first), tts(second)])
    assert isinstance(made, TtsFailover)
    return made


async def said(engine: TtsFailover, text: str = "Good morning.", *, voice: str = "", in_s: float = 0.0) -> Speech:
    now = time.monotonic()
    return await engine.synthesize(text, voice=Voice(voice), deadline=now + in_s, give_up=now + ENOUGH_S)


async def test_the_first_speaks_as_long_as_it_works_and_gives_the_group_its_name(tmp_path: Path) -> None:
    async with serving(tmp_path, a="well", b="well") as (a, b), started(two(a, b)) as engine:
        made = await said(engine)
        assert (engine.name, made.engine, made.pcm[:1]) == ("a", "a", b"a")
        assert made.marks and b.asked == []


@pytest.mark.parametrize("mood", ["dead", "hung", "garbage", "slow", "empty", "silent"])
async def test_a_clause_that_one_does_not_say_another_says(tmp_path: Path, moves: list[Move], mood: str) -> None:
    async with serving(tmp_path, a="well", b="well") as (a, b), started(two(a, b)) as engine:
        a.mood, a.slow_s = mood, 4.0
        began = time.monotonic()
        made = await said(engine)
        assert (made.engine, made.pcm[:1]) == ("b", b"b")
        assert time.monotonic() - began < 2.5
        assert [(move.kind, move.old, move.new) for move in moves] == [("tts", "a", "b")]
        assert (await said(engine, "Good evening.")).engine == "b"
        assert len(moves) == 1


async def test_a_call_keeps_its_voice_and_new_calls_have_the_first_again(tmp_path: Path, moves: list[Move]) -> None:
    async with serving(tmp_path, a="empty", b="well") as (a, b), started(two(a, b)) as engine:
        assert (await said(engine)).engine == "b"
        a.mood = "well"
        engine.roster.members[0].rests_until = 0.0
        assert (await said(engine)).engine == "b"
        WATCH.set(Watch(moves.append))  # another call
        b.mood = "slow"  # the first is asked together with the second until it is known to be well
        assert (await said(engine)).engine == "a"
        assert [move.new for move in moves] == ["b"]


async def test_text_without_a_word_may_be_without_a_sound(tmp_path: Path) -> None:
    async with serving(tmp_path, a="empty", b="well") as (a, b), started(two(a, b)) as engine:
        now = time.monotonic()
        made = await engine.synthesize("...", voice=Voice(), deadline=now, give_up=now + ENOUGH_S)
        assert (made.engine, made.pcm) == ("a", b"")


async def test_a_voice_that_the_second_has_not_is_no_reason_to_be_silent(tmp_path: Path) -> None:
    async with serving(tmp_path, a="empty", b="deaf") as (a, b), started(two(a, b)) as engine:
        made = await said(engine, voice="en_US-anna")
        assert (made.engine, made.pcm[:1]) == ("b", b"b")


async def test_all_dead_is_an_error(tmp_path: Path) -> None:
    async with serving(tmp_path, a="well", b="well") as (a, b), started(two(a, b)) as engine:
        a.mood = b.mood = "empty"
        with pytest.raises(EngineError) as caught:
            await said(engine)
        assert (caught.value.kind, caught.value.cause) == ("tts", "garbage")


async def test_outside_of_calls_nobody_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path, a="empty", b="well") as (a, b), started(two(a, b)) as engine:
        assert copy_context().get(WATCH) is None
        assert (await said(engine)).engine == "b"
