"""The language model: the real one in its worker process, one request inside at a time unless said otherwise."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from voicebridge.config import ConfigError
from voicebridge.engines import local_llm, model_host
from voicebridge.engines.base import EngineError, LlmSession, Message
from voicebridge.engines.chat_http import HttpTrouble
from voicebridge.engines.llama_server import ENGINE, LlamaServer, prompt_file
from voicebridge.engines.local_llm import DEFAULT_MODEL
from voicebridge.engines.model_host import model_path
from voicebridge.modelstore.catalogue import UnknownModel

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]

STORY = "Tell me a long story about the sea."
SLOTS = 2


def prompt(name: str) -> list[Message]:
    """Some 250 tokens, the first of which already differ by `name`: no slot has another's computed."""
    facts = " ".join(f"Loaf number {n} costs {n + 2} pounds and is baked at {n} o'clock." for n in range(1, 13))
    return [Message("system", f"You work for {name}, a bakery. {facts}")]


def asking(name: str, question: str = STORY) -> list[Message]:
    return [*prompt(name), Message("user", question)]


COUNTING = [*asking("Undisturbed", "Count from 1 to 50."), Message("assistant", "1, 2, 3, 4, 5, 6, 7, 8,")]
"""What the model is sure of: a story takes another turn when the same cache was computed in other batches."""


def soon(seconds: float = 60, deadline: float = 1) -> dict[str, float]:
    now = time.monotonic()
    return {"deadline": now + deadline, "give_up": now + seconds}


async def text_of(session: LlmSession, messages: list[Message], tokens: int = 40) -> str:
    return "".join([piece async for piece in session.generate(messages, max_tokens=tokens, **soon())])


async def first_token_s(session: LlmSession, messages: list[Message]) -> float:
    began = time.monotonic()
    async with aclosing(session.generate(messages, max_tokens=20, **soon())) as pieces:
        await anext(pieces)
        return time.monotonic() - began


def kill(engine: LlamaServer, number: signal.Signals) -> None:
    assert engine.host.worker.pid is not None
    os.kill(engine.host.worker.pid, number)


async def restarted(engine: LlamaServer, before: int) -> None:
    async with asyncio.timeout(30):
        while engine.host.worker.restarts == before or not engine.ready:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


async def idle(engine: LlamaServer) -> None:
    """Until the server computes nothing: it goes on with a prompt that nobody waits for any more."""
    async with asyncio.timeout(30):
        while '"is_processing":true' in (await engine.host.http._client.get("/slots")).text.replace(" ", ""):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[LlamaServer]:
    engine = ENGINE.create({"temperature": 0, "parallel": 1, "slots": SLOTS, "context": 1024, "threads": 1, "nice": 0})
    await engine.start()
    yield engine
    await engine.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def engine(shared: LlamaServer) -> AsyncIterator[LlamaServer]:
    assert await shared.host.worker.wait_ready(60)
    yield shared
    assert not shared.gate.busy, "a place at the gate was not given back"
    assert not [slot for slot in shared.slots._slots if slot.busy]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(shared: LlamaServer) -> str:
    """What the model says to COUNTING when nobody disturbs it."""
    assert await shared.host.worker.wait_ready(60)
    session = shared.session(agent="reference")
    text = await text_of(session, COUNTING, 60)
    await session.close()
    assert text.startswith(" 9, 10, 11, 12, 13, 14,")
    return text


# ---- answers


async def test_answers_no_longer_than_asked(engine: LlamaServer) -> None:
    session = engine.session(agent="a")
    messages = [Message("user", STORY)]
    pieces = [piece async for piece in session.generate(messages, max_tokens=12, **soon())]
    assert 6 <= len(pieces) <= 12
    assert len("".join(pieces).split()) >= 5
    await session.close()


async def test_assistant_message_that_comes_last_is_continued(engine: LlamaServer, whole: str) -> None:
    session = engine.session(agent="a")
    begun = whole[: whole.index(" 13,")]
    rest = await text_of(session, [*COUNTING[:-1], Message("assistant", COUNTING[-1].text + begun)], 20)
    assert whole.startswith(begun + rest)
    await session.close()


async def test_grammar_is_kept_to(engine: LlamaServer) -> None:
    session = engine.session(agent="a")
    pieces = session.generate(
        [Message("user", STORY)], max_tokens=8, grammar='root ::= "say " ("yes" | "no")', **soon()
    )
    assert "".join([piece async for piece in pieces]) in {"say yes", "say no"}
    await session.close()


async def test_more_calls_than_slots_each_get_their_own_answer(engine: LlamaServer) -> None:
    questions = [f"Say something about {thing}." for thing in ("bread", "the moon", "football", "Asterisk", "rain")]
    sessions = [engine.session(agent="many") for _ in questions]
    alone = [await text_of(sessions[0], [Message("user", question)], 12) for question in questions]
    together = await asyncio.gather(
        *(text_of(s, [Message("user", q)], 12) for s, q in zip(sessions, questions, strict=True))
    )
    assert len(sessions) > SLOTS
    assert len(set(alone)) == len(questions)
    assert together == alone
    for session in sessions:
        await session.close()


async def test_too_long_a_prompt_is_refused_at_once(engine: LlamaServer) -> None:
    session = engine.session(agent="a")
    began = time.monotonic()
    with pytest.raises(EngineError) as raised:
        await text_of(session, [Message("user", "word " * 3000)])
    assert raised.value.cause == "refused"
    assert time.monotonic() - began < 10
    assert await text_of(session, [Message("user", "Hello")], 5)
    await session.close()


# ---- what is computed before it is needed


async def test_warm_saves_the_prompt_for_the_next_call(engine: LlamaServer) -> None:
    first, second = engine.session(agent="warm"), engine.session(agent="warm")
    began = time.monotonic()
    await first.warm(prompt("Warm"))
    cold = time.monotonic() - began
    assert (engine.host.slot_dir / prompt_file("warm")).stat().st_size > 10_000
    assert await first_token_s(first, asking("Warm")) < 0.6 * cold
    began = time.monotonic()
    await second.warm(prompt("Warm"))
    assert time.monotonic() - began < 0.3 * cold
    assert await first_token_s(second, asking("Warm")) < 0.6 * cold
    assert await text_of(second, asking("Warm")) == await text_of(first, asking("Warm"))
    for session in (first, second):
        await session.close()


async def test_saved_prompt_survives_a_crash(engine: LlamaServer) -> None:
    session = engine.session(agent="crash")
    began = time.monotonic()
    await session.warm(prompt("Crash"))
    cold = time.monotonic() - began
    before = engine.host.worker.restarts
    kill(engine, signal.SIGKILL)
    await restarted(engine, before)
    assert await first_token_s(session, asking("Crash")) < 0.6 * cold
    await session.close()


async def test_saved_prompt_that_is_of_no_use_is_thrown_away(
    engine: LlamaServer, caplog: pytest.LogCaptureFixture
) -> None:
    file = engine.host.slot_dir / prompt_file("spoilt")
    file.write_bytes(b"half a file")
    session = engine.session(agent="spoilt")
    with caplog.at_level(logging.WARNING):
        assert await text_of(session, [Message("user", "Hello")], 5)
    assert "the saved prompt of agent spoilt is of no use" in caplog.text
    assert not file.exists()
    await session.close()


async def test_prefill_saves_the_wait(engine: LlamaServer) -> None:
    session = engine.session(agent="prefill")
    began = time.monotonic()
    await session.prefill(asking("Prefill", "Tell me a"))
    cold = time.monotonic() - began
    assert await first_token_s(session, asking("Prefill")) < 0.6 * cold
    await session.close()


async def test_prefill_gives_way_to_an_answer(engine: LlamaServer) -> None:
    speculator, caller = engine.session(agent="x"), engine.session(agent="y")
    expected = await text_of(caller, [Message("user", "Hello")], 8)
    long = [Message("user", "Some words that nobody has said. " * 60)]
    prefill = asyncio.create_task(speculator.prefill(long))
    await asyncio.sleep(0.3)
    assert engine.gate.busy
    assert not prefill.done()
    assert await first_token_s(caller, [Message("user", "Hello")]) < 3  # the whole prompt takes some 5 s
    assert prefill.done()
    assert await prefill is None  # neither an error nor a cancelled task
    assert await text_of(caller, [Message("user", "Hello")], 8) == expected
    await idle(engine)
    for session in (speculator, caller):
        await session.close()


async def test_prefill_can_be_cancelled(engine: LlamaServer) -> None:
    session = engine.session(agent="x")
    task = asyncio.create_task(session.prefill([Message("user", "Other words that nobody said. " * 20)]))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await idle(engine)
    await session.close()


# ---- who is served


async def test_closing_an_answer_ends_the_work(engine: LlamaServer) -> None:
    session, other = engine.session(agent="x"), engine.session(agent="y")
    await text_of(other, [Message("user", "Hello")], 3)
    pieces = session.generate([Message("user", STORY)], max_tokens=600, **soon())
    for _ in range(3):
        await anext(pieces)
    await pieces.aclose()  # type: ignore[attr-defined]
    assert not engine.gate.busy
    assert await first_token_s(other, [Message("user", "Hello")]) < 2
    began = time.monotonic()
    await idle(engine)
    assert time.monotonic() - began < 3
    for one in (session, other):
        await one.close()


async def test_long_answer_makes_room_at_a_word_and_goes_on_whole(engine: LlamaServer, whole: str) -> None:
    patient, urgent = engine.session(agent="p"), engine.session(agent="u")
    await text_of(urgent, [Message("user", "Hello")], 3)
    events: list[tuple[str, str]] = []
    begun = asyncio.Event()

    async def speak() -> None:
        async for piece in patient.generate(COUNTING, max_tokens=60, **soon()):
            events.append(("patient", piece))
            patient.defer(time.monotonic() + 30)  # thirty seconds of speech are queued
            if len(events) == 5:
                begun.set()

    speaking = asyncio.create_task(speak())
    await begun.wait()
    async for piece in urgent.generate([Message("user", "Hello")], max_tokens=6, **soon()):
        events.append(("urgent", piece))
    assert not speaking.done()
    await speaking
    assert "".join(piece for who, piece in events if who == "patient") == whole
    order = [who for who, _ in events]
    cut = order.index("urgent")
    back = order.index("patient", cut)
    assert set(order[cut:back]) == {"urgent"}
    assert order.count("urgent") == back - cut  # one after the other, not side by side
    assert events[back][1].startswith(" ")
    for session in (patient, urgent):
        await session.close()


async def test_who_needs_it_soonest_is_next_also_when_that_changes(engine: LlamaServer) -> None:
    sessions = [engine.session(agent=name) for name in "abc"]
    order: list[int] = []

    async def ask(number: int, deadline: float) -> None:
        async for _ in sessions[number].generate([Message("user", "Hi")], max_tokens=3, **soon(deadline=deadline)):
            if number not in order:
                order.append(number)

    async with engine.gate.enter(0):
        tasks = [asyncio.create_task(ask(number, 1.0 + number)) for number in range(3)]
        await asyncio.sleep(0.05)
        sessions[0].defer(time.monotonic() + 20)
    await asyncio.gather(*tasks)
    assert order == [1, 2, 0]
    for session in sessions:
        await session.close()


async def test_gives_up_in_time_at_the_gate(engine: LlamaServer) -> None:
    session = engine.session(agent="a")
    async with engine.gate.enter(0):
        began = time.monotonic()
        with pytest.raises(EngineError) as raised:
            async for _ in session.generate([Message("user", "Hi")], max_tokens=3, **soon(0.2)):
                pass
        assert raised.value.cause == "timeout"
        assert 0.15 < time.monotonic() - began < 2
    await session.close()


async def test_gives_up_in_time_in_the_middle(engine: LlamaServer) -> None:
    session = engine.session(agent="a")
    got: list[str] = []
    with pytest.raises(EngineError) as raised:
        async for piece in session.generate([Message("user", STORY)], max_tokens=900, **soon(1.5)):
            got.append(piece)
    assert raised.value.cause == "timeout"
    assert got
    await session.close()


async def test_cancelled_while_it_waits(engine: LlamaServer) -> None:
    session = engine.session(agent="a")
    async with engine.gate.enter(0):
        task = asyncio.create_task(text_of(session, [Message("user", "Hi")], 3))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not engine.gate.busy
    await session.close()


# ---- faults


async def test_killed_in_the_middle_it_goes_on_and_says_nothing_twice(engine: LlamaServer, whole: str) -> None:
    session = engine.session(agent="k")
    got: list[str] = []
    first = engine.host.worker.pid
    async for piece in session.generate(COUNTING, max_tokens=60, **soon()):
        got.append(piece)
        if len(got) == 10:
            kill(engine, signal.SIGKILL)
    assert "".join(got) == whole
    assert engine.host.worker.pid != first
    await session.close()


async def test_killed_under_a_grammar_it_says_so(engine: LlamaServer) -> None:
    """The grammar would begin again at its beginning."""
    before = engine.host.worker.restarts
    session = engine.session(agent="k")
    got: list[str] = []
    with pytest.raises(EngineError) as raised:
        async for piece in session.generate(
            [Message("user", STORY)], max_tokens=900, grammar='root ::= "say " [a-z ]+', **soon()
        ):
            got.append(piece)
            if len(got) == 10:
                kill(engine, signal.SIGKILL)
    assert raised.value.cause == "crashed"
    assert "".join(got).count("say ") == 1
    await restarted(engine, before)
    await session.close()


async def test_stopped_process_gives_an_error_in_time(engine: LlamaServer) -> None:
    session = engine.session(agent="s")
    kill(engine, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(EngineError) as raised:
        async for _ in session.generate([Message("user", "Hi")], max_tokens=3, **soon(0.5)):
            pass
    kill(engine, signal.SIGCONT)
    assert raised.value.cause == "timeout"
    assert time.monotonic() - began < 2
    await session.close()


async def test_stopped_in_the_middle_it_is_replaced_and_goes_on(engine: LlamaServer, whole: str) -> None:
    session = engine.session(agent="s")
    got: list[str] = []
    first = engine.host.worker.pid
    async for piece in session.generate(COUNTING, max_tokens=60, **soon()):
        got.append(piece)
        if len(got) == 10:
            kill(engine, signal.SIGSTOP)
    assert "".join(got) == whole
    assert engine.host.worker.pid != first
    await session.close()


async def test_worker_that_is_not_there(tmp_path: Path) -> None:
    engine = ENGINE.create({})
    session = engine.session(agent="a")
    began = time.monotonic()
    await session.prefill([Message("user", "Hi")])
    assert time.monotonic() - began < 0.2
    with pytest.raises(EngineError) as raised:
        async for _ in session.generate([Message("user", "Hi")], max_tokens=3, **soon(0.3)):
            pass
    assert raised.value.cause == "crashed"
    assert time.monotonic() - began < 2
    await engine.stop()


async def test_first_request_may_come_before_the_worker_is_up(whole: str) -> None:
    engine = ENGINE.create({"temperature": 0, "slots": 1, "context": 1024, "threads": 1, "nice": 0})
    await engine.start()
    session = engine.session(agent="early")
    warming = asyncio.create_task(session.warm(prompt("Undisturbed")))
    text = await text_of(session, COUNTING, 10)
    assert text
    assert whole.startswith(text)
    await warming
    assert engine.saved_prompt("early") == prompt_file("early")
    folder = engine.host.slot_dir
    await engine.stop()
    assert not folder.exists()


async def _pieces(*made: Any) -> AsyncIterator[str]:
    for piece in made:
        if isinstance(piece, float):
            await asyncio.sleep(piece)
        else:
            yield piece


async def test_stall_is_told_from_giving_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_llm, "STALL_S", 0.1)
    now = asyncio.get_running_loop().time
    assert await local_llm.next_piece(_pieces("one"), now() + 5) == "one"
    assert await local_llm.next_piece(_pieces(), now() + 5) is None
    with pytest.raises(HttpTrouble, match="timeout"):
        await local_llm.next_piece(_pieces(10.0), now() + 5)
    with pytest.raises(TimeoutError):
        await local_llm.next_piece(_pieces(10.0), now() + 0.02)
    with pytest.raises(TimeoutError):
        await local_llm.next_piece(_pieces(10.0), -math.inf)


# ---- configuration


async def test_missing_model_file_is_told_with_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_host, "cache_dir", lambda: tmp_path)
    with pytest.raises(ConfigError, match=f"run: voicebridge models fetch {DEFAULT_MODEL}"):
        ENGINE.create({})
    for given in (str(tmp_path / "mine.gguf"), "mine.gguf", "/nowhere/mine"):
        with pytest.raises(ConfigError) as raised:
            model_path("llama_server", {"model": given}, DEFAULT_MODEL)
        assert given in str(raised.value)
        assert "correct the option `model`" in str(raised.value)
    with pytest.raises(UnknownModel, match="gpt"):
        model_path("llama_server", {"model": "gpt"}, DEFAULT_MODEL)
