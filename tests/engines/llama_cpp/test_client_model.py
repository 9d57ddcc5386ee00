"""The engine llama_cpp with the real model in its worker process. What is shared is counted in tokens, not in time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.base import EngineError, LlmSession, Message
from voicebridge.engines.llama_cpp.build import missing
from voicebridge.engines.llama_cpp.client import ENGINE, LlamaCpp

pytestmark = [
    pytest.mark.models,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())} (make llama)"),
]

PRICE = ToolSpec(
    "price",
    "Tell what a dish costs.",
    '{"type": "object", "properties": {"dish": {"type": "string", "maxLength": 20}}, "required": ["dish"]}',
)
HOURS = ToolSpec("opening_hours", "Tell when we are open.", '{"type": "object", "properties": {}}')
SHORT = 45
"""More tokens than a question and what stands around it, and far fewer than a prompt."""


def prompt(name: str) -> list[Message]:
    """Some 150 tokens, the first of which already differ by `name`."""
    facts = " ".join(f"Loaf number {n} costs {n + 2} pounds and is baked at {n} o'clock." for n in range(1, 7))
    return [Message("system", f"{name} is a bakery that you work for. {facts}")]


COUNTING = [
    Message("system", "You are brief."),
    Message("user", "Count from 1 to 50."),
    Message("assistant", "1, 2, 3, 4, 5, 6, 7, 8,"),
]
HELLO = [Message("user", "Hello.")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[LlamaCpp]:
    made = ENGINE.create({"temperature": 0, "calls": 3, "context": 1024, "threads": 1, "nice": 0})
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def engine(shared: LlamaCpp) -> LlamaCpp:
    """No test's prompts are computed again after the restarts of another."""
    assert await shared.host.worker.wait_ready(60)
    shared._prompts.clear()
    return shared


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(shared: LlamaCpp) -> str:
    """What the model says to COUNTING when nobody disturbs it."""
    assert await shared.host.worker.wait_ready(60)
    session = shared.session(agent="reference")
    text = await text_of(session, COUNTING, 60)
    await session.close()
    assert text.startswith(" 9, 10, 11, 12,")
    return text


async def ask(
    session: LlmSession, messages: Sequence[Message], tokens: int = 30, tools: tuple[ToolSpec, ...] = (), **options: str
) -> list[str | ToolCall]:
    now = time.monotonic()
    pieces = session.generate(
        messages, max_tokens=tokens, deadline=now + 1, give_up=now + 60, tools=tools, **options
    )  # fmt: skip
    return [piece async for piece in pieces]


async def text_of(session: LlmSession, messages: Sequence[Message], tokens: int = 30, **options: str) -> str:
    return "".join(map(str, await ask(session, messages, tokens, **options)))


async def computed(engine: LlamaCpp) -> int:
    """Tokens of prompts, since the worker was started."""
    stats = (await engine.host.http._client.get("/v1/voicebridge/stats")).json()
    return int(stats["tokens"]["prefilled"])


async def idle(engine: LlamaCpp) -> None:
    async with asyncio.timeout(60):
        while True:
            stats = (await engine.host.http._client.get("/v1/voicebridge/stats")).json()
            if stats["running"] == stats["waiting"] == 0:
                return
            await asyncio.sleep(0.02)


def kill(engine: LlamaCpp, number: signal.Signals) -> None:
    assert engine.host.worker.pid is not None
    os.kill(engine.host.worker.pid, number)


async def test_an_agent_s_prompt_is_computed_once_and_a_new_call_is_as_warm_as_any(engine: LlamaCpp) -> None:
    before = await computed(engine)
    first, second = engine.session(agent="Warm"), engine.session(agent="Warm")
    await first.warm(prompt("Warm"))
    whole_prompt = await computed(engine) - before
    assert whole_prompt > 100
    before = await computed(engine)
    await second.warm(prompt("Warm"))
    assert await computed(engine) - before < 10
    one = await text_of(first, [*prompt("Warm"), Message("user", "What is baked at three?")])
    used = await computed(engine) - before
    other = await text_of(second, [*prompt("Warm"), Message("user", "What is baked at three?")])
    assert used < SHORT
    assert await computed(engine) - before - used <= used
    assert one == other != ""
    for session in (first, second):
        await session.close()


async def test_what_is_true_of_one_call_stands_behind_what_all_share(engine: LlamaCpp) -> None:
    session = engine.session(agent="Facts")
    await session.warm(prompt("Facts"))
    before = await computed(engine)
    own = Message("system", f"{prompt('Facts')[0].text}\n\nThis call:\n- He is called Tom.")
    await session.prefill([own, Message("user", "Hello, is")])
    assert await computed(engine) - before < SHORT
    await session.close()


async def test_what_was_read_along_is_not_computed_again(engine: LlamaCpp) -> None:
    session = engine.session(agent="Along")
    question = "Is there a loaf that is baked at five o'clock and does not cost more than eight pounds?"
    await session.prefill([*prompt("Along"), Message("user", question[:60])])
    before = await computed(engine)
    assert await text_of(session, [*prompt("Along"), Message("user", question)], 5)
    assert await computed(engine) - before < 25
    await session.close()


async def test_a_worker_that_died_is_warm_again_before_anybody_asks(engine: LlamaCpp) -> None:
    session = engine.session(agent="Again")
    await session.warm(prompt("Again"))
    await session.close()
    restarts = engine.host.worker.restarts
    kill(engine, signal.SIGKILL)
    async with asyncio.timeout(60):
        while engine.host.worker.restarts == restarts or not engine.ready or engine._again is None:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await engine._again
    before = await computed(engine)
    assert before > 100
    fresh = engine.session(agent="Again")
    assert await text_of(fresh, [*prompt("Again"), *HELLO], 5)
    assert await computed(engine) - before < SHORT
    await fresh.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_an_answer_goes_on_behind_its_words_when_the_worker_is_replaced(
    engine: LlamaCpp, whole: str, number: signal.Signals
) -> None:
    session = engine.session(agent="k")
    first = engine.host.worker.pid
    got: list[str] = []
    now = time.monotonic()
    async for piece in session.generate(COUNTING, max_tokens=60, deadline=now + 1, give_up=now + 60):
        got.append(str(piece))
        if len(got) == 10:
            kill(engine, number)
    assert "".join(got) == whole
    assert engine.host.worker.pid != first
    await session.close()


async def test_who_has_speech_to_play_lets_another_go_first(engine: LlamaCpp, whole: str) -> None:
    patient, urgent = engine.session(agent="p"), engine.session(agent="u")
    order: list[str] = []
    got: list[str] = []
    begun = asyncio.Event()

    async def speak() -> None:
        now = time.monotonic()
        async for piece in patient.generate(COUNTING, max_tokens=60, deadline=now + 1, give_up=now + 60):
            order.append("patient")
            got.append(str(piece))
            if len(got) == 3:
                patient.defer(time.monotonic() + 30)
                begun.set()

    speaking = asyncio.create_task(speak())
    await begun.wait()
    now = time.monotonic()
    async for _ in urgent.generate(HELLO, max_tokens=6, deadline=now + 1, give_up=now + 60):
        order.append("urgent")
    await speaking
    assert "".join(got) == whole
    first, last = order.index("urgent"), len(order) - 1 - order[::-1].index("urgent")
    assert order[first:last].count("patient") <= 1, "side by side"
    assert "patient" in order[last:]
    for session in (patient, urgent):
        await session.close()


async def test_a_grammar_is_kept_to_and_a_tool_is_called(engine: LlamaCpp) -> None:
    session = engine.session(agent="g")
    said = await text_of(session, HELLO, 8, grammar='root ::= "say " ("yes" | "no")')
    assert said in {"say yes", "say no"}
    await session.close()
    tools = (PRICE, HOURS)
    agent = engine.session(agent="restaurant", tools=tools)
    system = Message("system", "You answer the phone of the restaurant Olive Tree. Be brief and friendly.")
    await agent.warm([system])
    before = await computed(engine)
    (called,) = await ask(agent, [system, Message("user", "Please tell what a dish costs.")], tools=tools)
    assert isinstance(called, ToolCall)
    assert called.tool == "price"
    assert set(json.loads(called.arguments)) == {"dish"}
    assert await computed(engine) - before < SHORT, "the tools stand in what all calls of the agent share"
    await agent.close()


async def test_too_long_a_prompt_is_refused_with_the_numbers(engine: LlamaCpp) -> None:
    session = engine.session(agent="long")
    with pytest.raises(EngineError, match="1024") as raised:
        await text_of(session, [Message("user", "word " * 3000)])
    assert raised.value.cause == "refused"
    await session.close()


async def test_more_calls_than_sequences_each_get_their_own_answer(engine: LlamaCpp) -> None:
    sessions = [engine.session(agent="many") for _ in range(5)]
    questions = [[Message("user", f"Say only this word: {word}")] for word in ("bread", "moon", "ball", "rain", "sea")]
    alone = [await text_of(sessions[0], question, 10) for question in questions]
    together = await asyncio.gather(*(text_of(s, q, 10) for s, q in zip(sessions, questions, strict=True)))
    assert len(set(alone)) > 3
    assert [text[:8] for text in together] == [text[:8] for text in alone], "side by side sums are rounded otherwise"
    for session in sessions:
        await session.close()
    await idle(engine)
