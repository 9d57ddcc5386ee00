"""Recognisers that die, hang, babble, dawdle or hear nothing: another one hears the whole utterance."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.failover.servers import Server, serving, started, stt
from voicebridge.engines.base import EngineError, SttSession, Transcript
from voicebridge.engines.failover import together
from voicebridge.engines.failover.health import WATCH, Move, Watch
from voicebridge.engines.failover.stt import PATIENCE_S, SttFailover

SECOND = bytes(16_000)
ENOUGH_S = 5.0


@pytest.fixture
def moves() -> Iterator[list[Move]]:
    """What a call is told; it has to be asked for before the task that transcribes begins."""
    told: list[Move] = []
    token = WATCH.set(Watch(told.append))
    yield told
    WATCH.reset(token)


def two(first: Server, second: Server) -> SttFailover:
    made = together("stt", [stt(first), stt(second)])
    assert isinstance(made, SttFailover)
    return made


async def heard(session: SttSession, *, in_s: float = 0.0, give_up_s: float = ENOUGH_S, **more: bool) -> Transcript:
    now = time.monotonic()
    return await session.transcribe(deadline=now + in_s, give_up=now + give_up_s, **more)


def begun(engine: SttFailover, seconds: int = 1) -> SttSession:
    session = engine.session(rate=8_000, language="en")
    session.begin(1, ("yes", "no"))
    for _ in range(seconds):
        session.feed(SECOND)
    return session


async def test_a_single_engine_has_nothing_around_it(tmp_path: Path) -> None:
    alone = stt(Server("a", tmp_path))
    assert together("stt", [alone]) is alone


async def test_the_first_serves_as_long_as_it_works(tmp_path: Path, moves: list[Move]) -> None:
    async with serving(tmp_path, a="well", b="well") as (a, b), started(two(a, b)) as engine:
        session = begun(engine)
        made = await heard(session)
        assert (made.text, made.engine, made.utterance) == ("a 16000", "a", 1)
        assert b.asked == [] and moves == []
        await session.close()


@pytest.mark.parametrize(
    ("mood", "causes", "at_most"),
    [("dead", {"crashed", "timeout", "unreachable"}, 2.5), ("hung", {"timeout", "crashed"}, 2.5),
     ("garbage", {"garbage", "timeout"}, 2.5), ("slow", {"timeout"}, 2.5)],
)  # fmt: skip
async def test_what_fails_in_the_middle_is_replaced_and_no_word_is_lost(
    tmp_path: Path, moves: list[Move], mood: str, causes: set[str], at_most: float
) -> None:
    async with serving(tmp_path, a="well", b="well") as (a, b), started(two(a, b)) as engine:
        a.slow_s = 4.0
        session = begun(engine)
        a.mood = mood
        session.feed(SECOND)
        began = time.monotonic()
        made = await heard(session)
        assert (made.text, made.engine) == ("b 32000", "b")
        assert time.monotonic() - began < at_most
        assert [(move.kind, move.old, move.new) for move in moves] == [("stt", "a", "b")]
        assert moves[0].cause in causes
        session.begin(2)
        session.feed(SECOND)
        assert (await heard(session)).text == "b 16000"
        await session.close()


async def test_a_slow_one_may_still_win(tmp_path: Path, moves: list[Move]) -> None:
    async with serving(tmp_path, a="slow", b="slow") as (a, b), started(two(a, b)) as engine:
        a.slow_s, b.slow_s = PATIENCE_S + 0.3, 4.0
        session = begun(engine)
        assert (await heard(session)).engine == "a"
        assert b.asked and moves == []
        await session.close()


async def test_the_next_has_until_the_transcript_is_wanted_and_a_little(tmp_path: Path) -> None:
    async with serving(tmp_path, a="slow", b="well") as (a, b), started(two(a, b)) as engine:
        a.slow_s = PATIENCE_S + 0.4
        session = begun(engine)
        assert (await heard(session, in_s=1.0)).engine == "a"
        assert b.asked == []
        await session.close()


async def test_speculative_work_waits_for_its_turn_and_wakes_nobody(tmp_path: Path) -> None:
    async with serving(tmp_path, a="slow", b="well") as (a, b), started(two(a, b)) as engine:
        session = begun(engine)
        made = await session.transcribe(deadline=math.inf, give_up=time.monotonic() + ENOUGH_S, final=False)
        assert (made.engine, b.asked) == ("a", [])
        await session.close()


async def test_nothing_heard_where_there_was_a_voice_asks_another(tmp_path: Path, moves: list[Move]) -> None:
    async with serving(tmp_path, a="empty", b="well") as (a, b), started(two(a, b)) as engine:
        session = begun(engine)
        assert (await heard(session)).text == "b 16000"
        assert moves == [], "once may be a noise in which the other heard words"
        session.begin(2)
        session.feed(SECOND)
        assert (await heard(session)).text == "b 16000"
        assert moves == [Move("stt", "a", "b", "empty")]
        await session.close()


async def test_what_nobody_hears_is_nothing(tmp_path: Path, moves: list[Move]) -> None:
    async with serving(tmp_path, a="empty", b="empty") as (a, b), started(two(a, b)) as engine:
        session = begun(engine)
        made = await heard(session)
        assert (made.text, made.engine, moves) == ("", "a", [])
        assert a.asked and b.asked
        await session.close()


async def test_a_second_opinion_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path, a="empty", b="well") as (a, b), started(two(a, b)) as engine:
        b.mood = "hung"
        session = begun(engine)
        began = time.monotonic()
        assert (await heard(session)).text == ""
        assert time.monotonic() - began < 2.5
        await session.close()


async def test_a_short_noise_and_a_partial_need_no_second_opinion(tmp_path: Path) -> None:
    async with serving(tmp_path, a="empty", b="well") as (a, b), started(two(a, b)) as engine:
        session = begun(engine, seconds=0)
        session.feed(SECOND[:4_000])
        assert (await heard(session)).text == ""
        session.feed(SECOND)
        assert (await heard(session, final=False)).text == ""
        assert b.asked == []
        await session.close()


async def test_a_dead_one_is_known_before_the_next_utterance(tmp_path: Path, moves: list[Move]) -> None:
    async with serving(tmp_path, a="well", b="well") as (a, b), started(two(a, b)) as engine:
        session = begun(engine)
        assert (await heard(session)).engine == "a"
        await engine.engines[0].stop()  # what its supervisor would tell
        session.begin(2, ("red",))
        session.feed(SECOND)
        assert (await heard(session)).text == "b 16000"
        assert len(a.asked) == 1
        assert moves == [Move("stt", "a", "b", "crashed")]
        await session.close()


async def test_a_call_stays_where_it_went_and_new_calls_come_back(tmp_path: Path, moves: list[Move]) -> None:
    async with serving(tmp_path, a="well", b="well") as (a, b), started(two(a, b)) as engine:
        session = begun(engine)
        a.mood = "hung"
        assert (await heard(session)).engine == "b"
        a.mood = "well"
        engine.roster.members[0].rests_until = 0.0
        session.begin(2)
        session.feed(SECOND)
        assert (await heard(session)).engine == "b"
        new = begun(engine)
        assert (await heard(new)).engine == "a"
        assert moves == [Move("stt", "a", "b", "timeout")]
        await session.close()
        await new.close()


async def test_a_new_call_begins_elsewhere_while_one_rests_and_that_is_told(tmp_path: Path, moves: list[Move]) -> None:
    async with serving(tmp_path, a="well", b="well") as (a, b), started(two(a, b)) as engine:
        engine.roster.failed(engine.roster.members[0], "garbage")
        session = begun(engine)
        assert (await heard(session)).engine == "b"
        assert (a.asked, moves) == ([], [Move("stt", "a", "b", "garbage")])
        await session.close()


async def test_all_dead_is_an_error_that_comes_in_time(tmp_path: Path) -> None:
    async with serving(tmp_path, a="well", b="well") as (a, b), started(two(a, b)) as engine:
        session = begun(engine)
        await a.die()
        await b.die()
        began = time.monotonic()
        with pytest.raises(EngineError):
            await heard(session, give_up_s=1.5)
        assert time.monotonic() - began < 4.0
        await session.close()


async def test_a_later_request_supersedes_an_earlier_one_and_that_is_no_failure(tmp_path: Path) -> None:
    async with serving(tmp_path, a="slow", b="well") as (a, b), started(two(a, b)) as engine:
        session = begun(engine)
        first = asyncio.create_task(heard(session))
        await asyncio.sleep(0.05)
        a.mood = "well"
        assert (await heard(session)).text == "a 16000"
        with pytest.raises(EngineError, match="superseded"):
            await first
        assert not engine.roster.members[0].in_doubt
        assert b.asked == []
        await session.close()


async def test_who_gives_up_waiting_leaves_no_request_behind(tmp_path: Path) -> None:
    async with serving(tmp_path, a="hung", b="hung") as (a, b), started(two(a, b), ready=False) as engine:
        session = begun(engine)
        task = asyncio.create_task(heard(session))
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        assert [t for t in asyncio.all_tasks() if "Race" in repr(t.get_coro())] == []
        await session.close()
