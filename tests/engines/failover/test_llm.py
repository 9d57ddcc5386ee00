"""Models that die, hang, babble, say nothing or break off: another one goes on, and no word is said twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from tests.engines.failover.chat_servers import WORDS, ChatServer, chatting
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.base import EngineError, LlmSession, Message
from voicebridge.engines.failover import together
from voicebridge.engines.failover.health import WATCH, Move, Watch
from voicebridge.engines.failover.llm import LlmFailover

ENOUGH_S = 6.0
ASKED = (Message("system", "Be brief."), Message("user", "When are you open?"))
ALL = "".join(WORDS)
HOURS = ToolSpec("hours", "Tell the opening hours.", schema='{"type": "object", "properties": {}}')


@pytest.fixture
def moves() -> Iterator[list[Move]]:
    told: list[Move] = []
    token = WATCH.set(Watch(told.append))
    yield told
    WATCH.reset(token)


@asynccontextmanager
async def started(*servers: ChatServer) -> AsyncIterator[LlmFailover]:
    made = together("llm", [server.engine() for server in servers])
    assert isinstance(made, LlmFailover)
    await made.start()
    async with asyncio.timeout(10):
        while not all(engine.ready for engine in made.engines):  # noqa: ASYNC110 - engines have no event for it
            await asyncio.sleep(0.02)
    try:
        yield made
    finally:
        await made.stop()


async def answer(
    session: LlmSession, messages: tuple[Message, ...] = ASKED, *, give_up_s: float = ENOUGH_S, tokens: int = 40,
    tools: tuple[ToolSpec, ...] = (),
) -> list[str | ToolCall]:  # fmt: skip
    now = time.monotonic()
    pieces = session.generate(messages, max_tokens=tokens, deadline=now, give_up=now + give_up_s, tools=tools)
    async with aclosing(pieces) as stream:  # type: ignore[type-var]
        return [piece async for piece in stream]


async def test_the_first_answers_as_long_as_it_works(tmp_path: Path, moves: list[Move]) -> None:
    async with chatting(tmp_path, a="well", b="well") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x")
        assert "".join(map(str, await answer(session))) == ALL
        assert (len(a.asked), b.asked, moves) == (1, [], [])
        await session.close()


@pytest.mark.parametrize("mood", ["hung", "empty", "blanks", "garbage", "refuses", "dead"])
async def test_where_one_says_nothing_another_answers(tmp_path: Path, moves: list[Move], mood: str) -> None:
    async with chatting(tmp_path, a=mood, b="well") as (a, b), started(a, b) as engine:
        if mood == "dead":
            await a.die()
        session = engine.session(agent="x")
        began = time.monotonic()
        assert "".join(map(str, await answer(session))) == ALL
        assert time.monotonic() - began < 4.0
        assert [(move.kind, move.old, move.new) for move in moves] == [("llm", "a", "b")]
        assert "".join(map(str, await answer(session))) == ALL
        assert len(b.asked) == 2 and len(moves) == 1
        await session.close()


@pytest.mark.parametrize("mood", ["breaks", "stalls"])
async def test_what_breaks_off_is_gone_on_from_behind_its_words(tmp_path: Path, moves: list[Move], mood: str) -> None:
    async with chatting(tmp_path, a=mood, b="well") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x")
        stream = session.generate(
            ASKED, max_tokens=40, deadline=time.monotonic(), give_up=time.monotonic() + ENOUGH_S, tools=()
        )
        said = ""
        async for piece in stream:
            said += str(piece)
            if said == "We are open ":
                await a.die()  # whoever asks it again finds nobody
        assert said == ALL
        assert b.asked[0]["messages"][-1] == {"role": "assistant", "content": "We are open "}
        assert b.asked[0]["max_tokens"] == 40 - 3
        assert [(move.old, move.new) for move in moves] == [("a", "b")]
        await session.close()


async def test_an_answer_that_goes_on_already_is_gone_on_with(tmp_path: Path) -> None:
    async with chatting(tmp_path, a="refuses", b="well") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x")
        made = await answer(session, (*ASKED, Message("assistant", "We are ")))
        assert "".join(map(str, made)) == "".join(WORDS[2:])
        assert b.asked[0]["messages"][-1]["content"] == "We are "
        await session.close()


async def test_one_that_was_only_slow_goes_on_itself(tmp_path: Path, moves: list[Move]) -> None:
    async with chatting(tmp_path, a="hung", b="hung") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x")
        task = asyncio.create_task(answer(session))
        async with asyncio.timeout(5):
            while not b.asked:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        a.go_on.set()
        assert "".join(map(str, await task)) == ALL
        assert moves == []
        await session.close()


async def test_a_tool_call_begins_anew(tmp_path: Path) -> None:
    async with chatting(tmp_path, a="empty", b="calls") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x", tools=(HOURS,))
        assert await answer(session, tools=(HOURS,)) == [ToolCall("hours", "{}")]
        assert b.asked[0]["tools"] and b.asked[0]["messages"][-1]["role"] == "user"
        await session.close()


async def test_a_deadline_that_moves_away_gives_it_time(tmp_path: Path) -> None:
    async with chatting(tmp_path, a="stalls", b="well") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x")
        pieces = []
        now = time.monotonic()
        async for piece in session.generate(ASKED, max_tokens=40, deadline=now, give_up=now + ENOUGH_S):
            pieces.append(piece)
            if len(pieces) == 3:
                session.defer(time.monotonic() + 30)
                asyncio.get_running_loop().call_later(1.6, a.go_on.set)
        assert "".join(map(str, pieces)) == ALL
        assert b.asked == []
        await session.close()


async def test_a_call_stays_and_new_ones_come_back(tmp_path: Path, moves: list[Move]) -> None:
    async with chatting(tmp_path, a="empty", b="well") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x")
        await answer(session)
        a.mood = "well"
        engine.roster.members[0].rests_until = 0.0
        engine.engines[0].servers[0].down = False  # it avoids its server itself, for longer
        await answer(session)
        assert (len(a.asked), len(b.asked)) == (1, 2)
        new = engine.session(agent="x")
        b.mood = "hung"  # asked besides, as long as the first is in doubt
        assert "".join(map(str, await answer(new))) == ALL
        assert (len(a.asked), len(moves)) == (2, 1)
        await session.close()
        await new.close()


async def test_all_dead_is_an_error_that_comes_in_time(tmp_path: Path) -> None:
    async with chatting(tmp_path, a="refuses", b="refuses") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x")
        with pytest.raises(EngineError) as caught:
            await answer(session)
        assert (caught.value.kind, caught.value.cause) == ("llm", "refused")
        a.mood = b.mood = "hung"
        began = time.monotonic()
        with pytest.raises(EngineError):
            await answer(session, give_up_s=1.0)
        assert time.monotonic() - began < 4.0
        await session.close()


async def test_closing_the_answer_stops_who_works_at_it(tmp_path: Path) -> None:
    async with chatting(tmp_path, a="stalls", b="well") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x")
        stream = session.generate(
            ASKED, max_tokens=40, deadline=time.monotonic() + 30, give_up=time.monotonic() + 30
        )
        assert await anext(stream) == "We "
        await stream.aclose()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        assert [task for task in asyncio.all_tasks() if task.get_name().startswith("generate")] == []
        await session.close()


async def test_a_conversation_has_to_fit_into_the_smallest(tmp_path: Path) -> None:
    async with chatting(tmp_path, a="well", b="well") as (a, b):
        engines = [a.engine(), b.engine()]
        engines[1].context_tokens = 1_000  # type: ignore[misc]
        assert together("llm", engines).context_tokens == 1_000


async def test_fillers_that_put_the_deadline_off_do_not_keep_the_next_from_being_asked(tmp_path: Path) -> None:
    async with chatting(tmp_path, a="hung", b="well") as (a, b), started(a, b) as engine:
        session = engine.session(agent="x")

        async def fillers() -> None:
            while True:
                await asyncio.sleep(0.3)
                session.defer(time.monotonic() + 0.5)

        playing = asyncio.create_task(fillers())
        began = time.monotonic()
        assert "".join(map(str, await answer(session))) == ALL
        assert time.monotonic() - began < 4.0
        playing.cancel()
        await session.close()
