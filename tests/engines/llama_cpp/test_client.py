"""The daemon's side of the llama.cpp worker, against a server at the wire that does whatever a test wants."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from voicebridge.config import ConfigError
from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.engines import local_llm
from voicebridge.engines.base import EngineError, LlmSession, Message
from voicebridge.engines.llama_cpp import build, client
from voicebridge.engines.llama_cpp.client import ENGINE, LlamaCpp
from voicebridge.engines.telling import told

SYSTEM = Message("system", "You answer the phone of a bakery.")
ASKED = [SYSTEM, Message("user", "Hello?")]
TOOL = ToolSpec("price", "Tell what a loaf costs.", "{}")
CHAT, DEFER, RELEASE = "/v1/chat/completions", "/v1/voicebridge/defer", "/v1/voicebridge/release"

Part = bytes | float | asyncio.Event
"""Bytes that are sent, seconds or an event that are waited for; then the connection is closed."""


@dataclass
class Wire:
    """The worker's socket: what came, and what is answered, request by request; the last answer stands for the rest."""

    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, list[list[Part]]] = field(default_factory=dict)
    hung_up: int = 0

    def bodies(self, path: str = CHAT) -> list[dict[str, Any]]:
        return [body for at, body in self.requests if at == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(head.lower().partition("content-length:")[2].split()[0])
            path = head.split()[1]
            self.requests.append((path, json.loads(await reader.readexactly(length))))
            left = self.answers.get(path, [])
            parts = (left.pop(0) if len(left) > 1 else left[0]) if left else [ok({})]
            gone = asyncio.create_task(reader.read(1))
            for part in parts:
                if isinstance(part, bytes):
                    writer.write(part)
                    await writer.drain()
                    continue
                waiting = asyncio.create_task(asyncio.sleep(part) if isinstance(part, float) else part.wait())
                await asyncio.wait({gone, waiting}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
                if gone.done():
                    self.hung_up += 1
                    break
            gone.cancel()
        writer.close()


def ok(body: Any, status: str = "200 OK") -> bytes:
    text = json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text


def refusal(status: str, message: str) -> bytes:
    return ok({"error": {"message": message}}, status)


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def said(*pieces: str) -> bytes:
    events = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there; nobody loads it. Nor is the library needed at this side of the wire."""
    monkeypatch.setattr(build, "LIBRARIES", ("json",))
    file = tmp_path / "some.gguf"
    file.touch()
    return file


@pytest_asyncio.fixture
async def engine(model: Path) -> AsyncIterator[LlamaCpp]:
    """Its worker is said to be ready, and has never been started."""
    made = ENGINE.create({"model": str(model)})
    made.host.worker._set("ready")
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def wire(engine: LlamaCpp) -> AsyncIterator[Wire]:
    made = Wire()
    server = await asyncio.start_unix_server(made.serve, engine.host.worker.spec.socket)
    yield made
    server.close()


def soon(seconds: float = 20) -> dict[str, float]:
    now = time.monotonic()
    return {"deadline": now + 1, "give_up": now + seconds}


async def text_of(session: LlmSession, messages: list[Message] = ASKED, seconds: float = 20, **options: Any) -> str:
    pieces = session.generate(messages, max_tokens=10, **soon(seconds), **options)
    return "".join([str(piece) async for piece in pieces])


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - the other end of a socket
            await asyncio.sleep(0.005)


# ---- what a request says


async def test_a_request_says_whose_it_is_and_when_it_is_due(engine: LlamaCpp, wire: Wire) -> None:
    wire.answers[CHAT] = [[STREAM, said("Good", " day."), DONE]]
    session = engine.session(agent="bakery")
    now = time.monotonic()
    pieces = session.generate(ASKED, max_tokens=7, deadline=now + 0.75, give_up=now + 20, grammar='root ::= "x"')
    assert "".join([str(piece) async for piece in pieces]) == "Good day."
    (body,) = wire.bodies()
    assert body["messages"] == [{"role": one.role, "content": one.text} for one in ASKED]
    assert (body["max_tokens"], body["stream"], body["grammar"]) == (7, True, 'root ::= "x"')
    assert (body["temperature"], body["seed"]) == (0.2, 1)
    told_of = body["voicebridge"]
    assert told_of["call"]
    assert (told_of["deadline"], told_of["shared"]) == (pytest.approx(now + 0.75), 1)


async def test_calls_are_told_apart_and_a_call_keeps_its_name(engine: LlamaCpp, wire: Wire) -> None:
    wire.answers[CHAT] = [[STREAM, said("Yes."), DONE]]
    one, other = engine.session(agent="bakery"), engine.session(agent="bakery")
    for session in (one, other, one):
        await text_of(session)
    names = [body["voicebridge"]["call"] for body in wire.bodies()]
    assert names[0] == names[2] != names[1]


async def test_what_all_calls_share_is_known_once_the_agent_is_warm(engine: LlamaCpp, wire: Wire) -> None:
    session = engine.session(agent="bakery", tools=(TOOL,))
    await session.warm([SYSTEM])
    shared = told([SYSTEM], (TOOL,))
    (warming,) = wire.bodies()
    assert warming["max_tokens"] == 0
    assert len(warming["messages"]) == warming["voicebridge"]["shared"] == len(shared) > 1
    assert warming["voicebridge"]["deadline"] > time.monotonic()
    await session.prefill(ASKED)
    own = Message("system", f"{SYSTEM.text}\n\nThis call:\n- He is called Tom.")
    await session.prefill([own, ASKED[1]])
    (_, same, different) = (body["voicebridge"] for body in wire.bodies())
    assert warming["voicebridge"]["agent"] == same["agent"] != ""
    assert same["shared"] == different["shared"] == len(shared)
    assert different["agent"] == "", "a prompt that is one call's would be kept for all"
    bare = engine.session(agent="bakery")
    await bare.warm([SYSTEM])
    assert wire.bodies()[-1]["voicebridge"]["agent"] not in ("", same["agent"])


async def test_where_there_is_no_prompt_there_is_nothing_to_share(engine: LlamaCpp, wire: Wire) -> None:
    await engine.session(agent="bakery").prefill(ASKED[1:])
    (body,) = wire.bodies()
    assert (body["voicebridge"]["agent"], body["voicebridge"]["shared"]) == ("", 0)


async def test_reading_along_is_due_never_and_its_troubles_are_nobody_s(engine: LlamaCpp, wire: Wire) -> None:
    wire.answers[CHAT] = [[ok({})], [refusal("503 Busy", "full")], [b"garbage\r\n\r\n"], [STREAM]]
    session = engine.session(agent="bakery")
    for _ in range(4):
        await session.prefill(ASKED)
    assert [body["voicebridge"]["deadline"] for body in wire.bodies()] == [None] * 4
    assert {body["max_tokens"] for body in wire.bodies()} == {0}


async def test_reading_along_can_be_stopped(engine: LlamaCpp, wire: Wire) -> None:
    wire.answers[CHAT] = [[60.0]]
    task = asyncio.create_task(engine.session(agent="bakery").prefill(ASKED))
    await until(lambda: bool(wire.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: wire.hung_up == 1)


# ---- deadlines move


async def test_the_deadline_of_a_running_answer_moves(engine: LlamaCpp, wire: Wire) -> None:
    goes_on = asyncio.Event()
    wire.answers[CHAT] = [[STREAM, said("One"), goes_on, said(" two"), DONE]]
    session = engine.session(agent="bakery")
    session.defer(time.monotonic() + 1)  # nothing runs: nobody is told
    answer = session.generate(ASKED, max_tokens=10, **soon())
    await anext(answer)
    later = time.monotonic() + 33
    session.defer(later - 9)
    session.defer(later)
    await until(lambda: [body["deadline"] for body in wire.bodies(DEFER)] == [pytest.approx(later)])
    assert wire.bodies(DEFER)[0]["call"] == wire.bodies()[0]["voicebridge"]["call"]
    goes_on.set()
    assert [piece async for piece in answer] == [" two"]
    session.defer(later + 1)
    await asyncio.sleep(0.05)
    assert len(wire.bodies(DEFER)) == 1, "it is over"


async def test_a_worker_that_does_not_know_the_request_yet_is_told_again(engine: LlamaCpp, wire: Wire) -> None:
    goes_on = asyncio.Event()
    wire.answers[CHAT] = [[goes_on, STREAM, said("One"), DONE]]
    wire.answers[DEFER] = [[refusal("404 Not Found", "no such request")], [ok({})]]
    session = engine.session(agent="bakery")
    answering = asyncio.create_task(text_of(session))
    await until(lambda: bool(wire.requests))
    session.defer(time.monotonic() + 33)
    await until(lambda: len(wire.bodies(DEFER)) == 2)
    goes_on.set()
    assert await answering == "One"


async def test_an_answer_that_is_asked_for_again_has_the_deadline_of_now(engine: LlamaCpp, wire: Wire) -> None:
    breaks = asyncio.Event()
    wire.answers[CHAT] = [[STREAM, said("One"), breaks], [STREAM, said(" two"), DONE]]
    session = engine.session(agent="bakery")
    answer = session.generate(ASKED, max_tokens=10, **soon())
    await anext(answer)
    later = time.monotonic() + 33
    session.defer(later)
    breaks.set()
    assert [piece async for piece in answer] == [" two"]
    assert wire.bodies()[1]["voicebridge"]["deadline"] == pytest.approx(later)


# ---- faults


async def test_a_stream_that_breaks_off_is_gone_on_with_behind_its_words(engine: LlamaCpp, wire: Wire) -> None:
    wire.answers[CHAT] = [[STREAM, said("We", " open")], [STREAM, said(" at", " eight."), DONE]]
    assert await text_of(engine.session(agent="bakery")) == "We open at eight."
    first, second = wire.bodies()
    assert second["messages"] == [*first["messages"], {"role": "assistant", "content": "We open"}]
    assert (first["max_tokens"], second["max_tokens"]) == (10, 8)


async def test_under_a_grammar_half_an_answer_cannot_be_gone_on_with(engine: LlamaCpp, wire: Wire) -> None:
    wire.answers[CHAT] = [[STREAM, said("say We")]]
    with pytest.raises(EngineError) as raised:
        await text_of(engine.session(agent="bakery"), grammar="root ::= [a-z]+")
    assert raised.value.cause == "crashed"
    assert len(wire.bodies()) == 1


async def test_a_queue_that_is_full_is_asked_again_while_there_is_time(
    engine: LlamaCpp, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = refusal("503 Service Unavailable", "too many requests wait")
    wire.answers[CHAT] = [[full], [full], [STREAM, said("Yes."), DONE]]
    assert await text_of(engine.session(agent="bakery")) == "Yes."
    monkeypatch.setattr(local_llm, "RETRY_S", 60.0)  # there is no time for another
    with pytest.raises(EngineError, match="too many requests wait") as raised:
        wire.answers[CHAT] = [[full]]
        await text_of(engine.session(agent="bakery"))
    assert raised.value.cause == "unreachable"


async def test_what_is_refused_is_not_asked_again(engine: LlamaCpp, wire: Wire) -> None:
    wire.answers[CHAT] = [[refusal("400 Bad Request", "a prompt of 3000 tokens, of 2048 at most")]]
    with pytest.raises(EngineError, match="3000 tokens, of 2048") as raised:
        await text_of(engine.session(agent="bakery"))
    assert raised.value.cause == "refused"
    assert len(wire.bodies()) == 1


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        ([STREAM, b"data: \xff\xfe{\n\n", DONE], "garbage"),
        ([STREAM, b'data: {"choices": [7]}\n\n', DONE], "garbage"),
        ([b"\x00\x01\x02\r\n\r\n"], "crashed"),
        ([STREAM], "crashed"),
    ],
    ids=["no JSON", "no choice", "no HTTP", "empty"],
)
async def test_what_is_no_answer_is_an_error(
    engine: LlamaCpp, wire: Wire, answer: list[Part], cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_llm, "RETRY_S", 60.0)  # there is no time for another
    wire.answers[CHAT] = [answer]
    with pytest.raises(EngineError) as raised:
        await text_of(engine.session(agent="bakery"))
    assert raised.value.cause == cause


@pytest.mark.parametrize("answer", [[60.0], [STREAM, 60.0]], ids=["silence", "no words"])
async def test_silence_is_an_error_in_time(engine: LlamaCpp, wire: Wire, answer: list[Part]) -> None:
    wire.answers[CHAT] = [answer]
    began = time.monotonic()
    with pytest.raises(EngineError) as raised:
        await text_of(engine.session(agent="bakery"), seconds=0.3)
    assert raised.value.cause == "timeout"
    assert time.monotonic() - began < 10


async def test_an_answer_that_is_closed_ends_the_work(engine: LlamaCpp, wire: Wire) -> None:
    wire.answers[CHAT] = [[STREAM, said("One"), 60.0]]
    answer = engine.session(agent="bakery").generate(ASKED, max_tokens=10, **soon())
    await anext(answer)
    await answer.aclose()  # type: ignore[attr-defined]
    await until(lambda: wire.hung_up == 1)


async def test_a_worker_that_is_starting_is_waited_for_and_not_asked(engine: LlamaCpp, wire: Wire) -> None:
    wire.answers[CHAT] = [[STREAM, said("Yes."), DONE]]
    engine.host.worker._set("starting")
    session = engine.session(agent="bakery")
    await session.prefill(ASKED)
    await session.close()
    answering = asyncio.create_task(text_of(session))
    await asyncio.sleep(0.1)
    assert not wire.requests
    engine.host.worker._set("ready")
    assert await answering == "Yes."


# ---- prompts and places


async def test_a_new_life_of_the_worker_is_told_every_prompt_again(engine: LlamaCpp, wire: Wire) -> None:
    for agent in ("bakery", "garage"):
        await engine.session(agent=agent).warm([SYSTEM])
    calls = {body["voicebridge"]["call"] for body in wire.bodies()}
    wire.requests.clear()
    engine.host.worker._set("pausing")
    engine.host.worker._set("ready")
    await until(lambda: len(wire.bodies(RELEASE)) == 2)
    assert [body["voicebridge"]["agent"] for body in wire.bodies()] == ["garage", "bakery"]
    assert min(body["voicebridge"]["deadline"] for body in wire.bodies()) > time.monotonic() + client.WARM_DUE_S
    assert {body["max_tokens"] for body in wire.bodies()} == {0}
    fresh = {body["voicebridge"]["call"] for body in wire.bodies()}
    assert len(fresh) == 2
    assert not fresh & calls
    assert {body["call"] for body in wire.bodies(RELEASE)} == fresh


async def test_calls_that_begin_together_have_the_prompt_computed_one_after_the_other(
    engine: LlamaCpp, wire: Wire
) -> None:
    """The second finds what the first had computed."""
    goes_on = asyncio.Event()
    wire.answers[CHAT] = [[goes_on, ok({})]]
    tasks = [asyncio.create_task(engine.session(agent="bakery").warm([SYSTEM])) for _ in range(3)]
    await until(lambda: bool(wire.requests))
    await asyncio.sleep(0.05)
    assert len(wire.requests) == 1
    goes_on.set()
    await asyncio.gather(*tasks)
    assert len(wire.requests) == 3


async def test_a_prompt_that_cannot_be_computed_is_told_of_and_nothing_worse(
    engine: LlamaCpp, wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    wire.answers[CHAT] = [[refusal("400 Bad Request", "a prompt of 3000 tokens, of 2048 at most")]]
    await engine.session(agent="bakery").warm([SYSTEM])
    assert "the prompt of agent bakery is not warm: refused: a prompt of 3000 tokens" in caplog.text


@pytest.mark.parametrize("answer", [ok({}), refusal("503 Busy", "no"), b""], ids=["good", "busy", "nothing"])
async def test_a_call_that_is_over_gives_its_place_back(engine: LlamaCpp, wire: Wire, answer: bytes) -> None:
    wire.answers[RELEASE] = [[answer]]
    session = engine.session(agent="bakery")
    await session.prefill(ASKED)
    await session.close()
    assert wire.bodies(RELEASE) == [{"call": wire.bodies()[0]["voicebridge"]["call"]}]


async def test_a_worker_that_hangs_does_not_hold_up_the_end_of_a_call(
    engine: LlamaCpp, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RELEASE_S", 0.05)
    wire.answers[RELEASE] = [[60.0]]
    async with asyncio.timeout(20):
        await engine.session(agent="bakery").close()
    assert len(wire.bodies(RELEASE)) == 1


async def test_an_answer_is_due_never_where_its_deadline_is_infinite(engine: LlamaCpp) -> None:
    place = engine.place("call", "bakery", ASKED, math.inf)
    assert place["voicebridge"]["deadline"] is None
    assert engine.place("call", "bakery", ASKED, -math.inf)["voicebridge"]["deadline"] == 0


# ---- configuration


async def test_options_reach_the_worker(model: Path) -> None:
    engine = ENGINE.create({"model": str(model), "calls": 3, "context": 512, "threads": 2, "deadlines": False})
    argv = engine.host.worker.spec.argv
    served = json.loads(argv[-1])
    assert (served["model"], served["calls"], served["context"]) == (str(model), 3, 512)
    assert (served["threads"], served["deadlines"]) == (2, False)
    assert engine.context_tokens == 512
    assert engine.host.worker.spec.env["GOMP_SPINCOUNT"] == "1000"
    await engine.stop()


def test_every_option_that_is_wrong_is_named(model: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        ENGINE.create({"model": str(model), "slots": 4, "calls": 0, "temperature": "hot"})
    for name in ("engines.options.llama_cpp", "slots", "calls", "temperature"):
        assert name in str(raised.value)


def test_a_library_that_is_not_there_is_told_with_the_cure(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "LIBRARIES", ("json", "no_such_library"))
    with pytest.raises(ConfigError, match=r"not installed: no_such_library; run: .*python.* -m .*llama_cpp\.build"):
        ENGINE.create({"model": str(model)})


def test_a_model_that_is_not_there_is_told_with_the_cure(model: Path) -> None:
    with pytest.raises(ConfigError, match="correct the option `model`"):
        ENGINE.create({"model": str(model.with_name("other.gguf"))})
