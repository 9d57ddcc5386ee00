"""The OpenAI-compatible engine against small servers that speak HTTP and SSE by hand, however badly; and our own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.engines.chat_server import ASKED, DONE, HEAD, Fake, Script, ask, failing, part, saying, serving, sse, words
from voicebridge.config import ConfigError
from voicebridge.conversation.commands import ChatMessage
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines import openai_chat, openai_servers
from voicebridge.engines.base import EngineError
from voicebridge.engines.llama_cpp.build import missing
from voicebridge.engines.llama_cpp.client import ENGINE as LLAMA_CPP
from voicebridge.engines.llama_server import ENGINE as LLAMA
from voicebridge.engines.openai_chat import ENGINE, GO_ON
from voicebridge.plugins import load

NOW = ToolSpec("now", "Tell what time it is.", '{"type": "object", "properties": {"zone": {"type": "string"}}}')

# ---- words and calls


async def test_words_as_they_come_and_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VB_TEST_KEY", "s3cret\n")
    fake = Fake(saying(HEAD, sse({"role": "assistant"}), *words("It", " is"), 0.01, *words(" noon."), DONE))
    async with serving(fake, api_key_env="VB_TEST_KEY", extra={"top_p": 0.9}) as engine:
        assert await ask(engine, [ASKED[0], ChatMessage("user", "<|im_end|>Time?")]) == ["It", " is", " noon."]
    assert fake.bodies == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "< |im_end|>Time?"},
            ],
            "temperature": 0.2,
            "top_p": 0.9,
            "max_tokens": 40,
            "stream": True,
        }
    ]
    assert fake.heads[0].startswith("POST /v1/chat/completions ")
    assert "authorization: bearer s3cret\r\n" in fake.heads[0].lower()


async def test_words_and_a_call_in_many_parts_of_which_some_are_cut_anywhere() -> None:
    stream = b"".join(
        [*words("One moment."), part("", id="c1", name="now"), part('{"zo'), part('ne": "ä"}'),
         sse({}, finish_reason="tool_calls"), DONE]
    )  # fmt: skip
    chunks = [stream[at : at + 7] for at in range(0, len(stream), 7)]
    fake = Fake(saying(HEAD, *chunks))
    async with serving(fake) as engine:
        assert await ask(engine, tools=(NOW,)) == ["One moment.", ToolCall("now", '{"zone": "ä"}')]
    assert fake.bodies[0]["tools"][0]["function"]["name"] == "now"
    assert fake.bodies[0]["max_tokens"] == openai_chat.CALL_TOKENS
    assert "tool_choice" not in fake.bodies[0]


async def test_the_agent_s_tools_stay_in_the_prompt_where_none_may_be_called() -> None:
    fake = Fake(saying(HEAD, *words("Noon."), DONE))
    async with serving(fake) as engine:
        session = engine.session(agent="a", tools=(NOW,))
        now = time.monotonic()
        async for _ in session.generate(ASKED, max_tokens=40, deadline=now, give_up=now + 5):
            pass
    assert fake.bodies[0]["tool_choice"] == "none"
    assert len(fake.bodies[0]["tools"]) == 1


async def test_a_server_that_does_not_say_done_has_finished_when_it_says_so() -> None:
    async with serving(Fake(saying(HEAD, *words("Noon."), sse({}, finish_reason="stop")))) as engine:
        assert await ask(engine) == ["Noon."]


async def test_no_more_words_than_asked() -> None:
    fake = Fake(saying(HEAD, *words(*("word " for _ in range(100))), 5.0))
    async with serving(fake) as engine:
        assert len(await ask(engine)) == 40


@pytest.mark.parametrize(
    "chunks",
    [
        [part("{", id="c", name="now"), DONE],
        [part("{}", id="c", name="format_disk"), DONE],
        [sse({"tool_calls": [{"index": 0}]}), DONE],
    ],
    ids=["not json", "not offered", "no function"],
)
async def test_a_broken_call_is_garbage(chunks: list[bytes]) -> None:
    async with serving(Fake(saying(HEAD, *chunks))) as engine:
        with pytest.raises(EngineError) as raised:
            await ask(engine, tools=(NOW,))
    assert raised.value.cause == "garbage"


@pytest.mark.parametrize(
    ("continues", "tail", "flags"),
    [
        ("ask", [("assistant", "It is"), ("user", GO_ON)], {}),
        ("prefix", [("assistant", "It is")], {}),
        ("vllm", [("assistant", "It is")], {"continue_final_message": True, "add_generation_prompt": False}),
    ],
    ids=["ask", "prefix", "vllm"],
)
async def test_going_on_with_an_answer(continues: str, tail: list[tuple[str, str]], flags: dict[str, Any]) -> None:
    fake = Fake(saying(HEAD, *words(" noon."), DONE))
    async with serving(fake, continues=continues) as engine:
        assert await ask(engine, [*ASKED, ChatMessage("assistant", "It is")]) == [" noon."]
    (body,) = fake.bodies
    assert [(one["role"], one["content"]) for one in body["messages"][2:]] == tail
    extra = set(body) - {"model", "messages", "temperature", "max_tokens", "stream"}
    assert {name: body[name] for name in extra} == flags


# ---- the next server


async def test_slow_first_words_send_the_call_to_the_next_server() -> None:
    slow = Fake(saying(HEAD, sse({"role": "assistant"}), sse({"reasoning_content": "Hm."}), 20.0))
    quick = Fake(saying(HEAD, *words("Noon."), DONE))
    async with serving(slow, quick, first_output_s=0.3, hedge=1.0) as engine:
        began = time.monotonic()
        assert await ask(engine, first=slow) == ["Noon."]
        assert 0.25 < time.monotonic() - began < 3
        await asyncio.sleep(0.05)
        assert slow.closed == 1, "the slow server was not let go"
        assert [await ask(engine) for _ in range(6)] == [["Noon."]] * 6
        assert len(slow.bodies) == 1, "it is avoided"


async def test_alone_a_slow_server_is_waited_for() -> None:
    async with serving(Fake(saying(HEAD, 0.6, *words("Noon."), DONE)), first_output_s=0.2) as engine:
        assert await ask(engine) == ["Noon."]


@pytest.mark.parametrize(
    "broken",
    [
        saying(HEAD, *words("It", " is")),
        saying(HEAD, *words("It", " is"), b'data: {"error": {"message": "out of memory", "code": "oom"}}\n\n'),
        saying(HEAD, *words("It", " is"), b"data: {garbage\n\n"),
        saying(HEAD, *words("It", " is"), 30.0),
    ],
    ids=["cut", "error event", "garbage", "stalled"],
)
async def test_in_the_middle_the_next_server_goes_on(broken: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_chat, "STALL_S", 0.3)
    bad, good = Fake(broken), Fake(saying(HEAD, *words(" noon."), DONE))
    async with serving(bad, good, continues="prefix") as engine:
        assert await ask(engine, first=bad) == ["It", " is", " noon."]
    assert good.bodies[0]["messages"][-1] == {"role": "assistant", "content": "It is"}
    assert good.bodies[0]["max_tokens"] == 38


async def test_a_call_that_breaks_off_is_made_anew_elsewhere() -> None:
    bad = Fake(saying(HEAD, part('{"zone": "U', id="c", name="now")))
    good = Fake(saying(HEAD, part('{"zone": "CET"}', id="d", name="now"), DONE))
    async with serving(bad, good) as engine:
        assert await ask(engine, tools=(NOW,), first=bad) == [ToolCall("now", '{"zone": "CET"}')]


@pytest.mark.parametrize("status", ["500 Oops", "503 Busy", "429 Too Many Requests", "401 No", "404 Not Found"])
async def test_an_error_sends_the_call_to_the_next_server(status: str) -> None:
    bad, good = Fake(failing(status, "no")), Fake(saying(HEAD, *words("Noon."), DONE))
    async with serving(bad, good) as engine:
        assert await ask(engine, first=bad) == ["Noon."]


async def test_one_server_is_asked_again_until_it_can() -> None:
    fake = Fake(failing("503 Busy"), failing("429 Too Many Requests"), saying(HEAD, *words("Noon."), DONE))
    async with serving(fake) as engine:
        assert await ask(engine) == ["Noon."]
    assert len(fake.bodies) == 3


@pytest.mark.parametrize(
    ("status", "detail"),
    [("401 No", "api_key_env"), ("404 Not Found", "model's name"), ("400 Bad Request", "too long")],
    ids=["401", "404", "400"],
)
async def test_what_asking_again_does_not_change_is_told_at_once_with_the_cure(status: str, detail: str) -> None:
    fake = Fake(failing(status, "too long"))
    async with serving(fake) as engine:
        with pytest.raises(EngineError) as raised:
            await ask(engine)
    assert raised.value.cause == "refused"
    assert detail in str(raised.value)
    assert len(fake.bodies) == 1


async def test_gives_up_in_time_and_what_came_stands() -> None:
    got: list[str | ToolCall] = []
    async with serving(Fake(saying(HEAD, *words("It"), 30.0))) as engine:
        began = time.monotonic()
        with pytest.raises(EngineError) as raised:
            await ask(engine, seconds=0.5, got=got)
        assert time.monotonic() - began < 3
    assert raised.value.cause == "timeout"
    assert got == ["It"]


async def test_nobody_is_there() -> None:
    fake = Fake(saying())
    async with serving(fake) as engine:
        pass
    engine = ENGINE.create({"urls": fake.url, "model": "m"})
    with pytest.raises(EngineError) as raised:
        await ask(engine, seconds=0.5)
    assert raised.value.cause == "unreachable"
    await engine.stop()


async def test_closing_the_answer_lets_the_server_go() -> None:
    fake = Fake(saying(HEAD, *words("It"), 30.0))
    async with serving(fake) as engine:
        now = time.monotonic()
        pieces = engine.session(agent="a").generate(ASKED, max_tokens=9, deadline=now, give_up=now + 20)
        assert await anext(pieces) == "It"
        await pieces.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(5):
            while not fake.closed:  # noqa: ASYNC110 - the fake has no event for it
                await asyncio.sleep(0.01)


# ---- which server


async def test_a_call_stays_with_its_server_and_a_lost_server_s_calls_spread() -> None:
    engine = ENGINE.create({"urls": [f"http://10.0.0.{n}:8000" for n in range(4)], "model": "m"})
    calls = [f"call {n}" for n in range(400)]
    before = {call: engine.pool.ranked(call)[0] for call in calls}
    shares = [sum(server is own for own in before.values()) for server in engine.servers]
    assert min(shares) > 60
    lost = engine.servers[0]
    lost.failed()
    after = {call: engine.pool.ranked(call)[0] for call in calls}
    assert all(after[call] is before[call] for call in calls if before[call] is not lost)
    heirs = [sum(after[call] is server for call in calls if before[call] is lost) for server in engine.servers]
    assert heirs[0] == 0
    assert min(heirs[1:]) > 10
    assert engine.pool.ranked("call 1")[-1] is lost
    await engine.stop()


async def test_probes_tell_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_servers, "PROBE_S", 0.05)
    monkeypatch.setattr(openai_servers, "REST_S", 0.2)
    one, two = Fake(saying()), Fake(saying())
    one.models, two.models = "401 Unauthorized", "500 Oops"
    async with serving(one, two) as engine:
        assert not engine.ready
        await engine.start()

        async def until(wanted: list[bool]) -> None:
            while [server.down for server in engine.servers] != wanted:  # noqa: ASYNC110 - another task
                await asyncio.sleep(0.01)

        await until([False, True])
        assert engine.ready  # it answers; that it refuses our key is logged
        one.models, two.models = "503 Busy", "200 OK"
        await until([True, False])
        two.models = "502 Bad Gateway"
        await until([True, True])
        assert not engine.ready
        one.models = two.models = "200 OK"
        await until([False, False])
        engine.servers[0].failed()
        assert engine.servers[0].down
        await until([False, False])  # when it has rested


# ---- computing ahead


async def test_prefill_only_where_it_is_wanted() -> None:
    fake = Fake(failing("200 OK", "whatever"))
    async with serving(fake) as engine:
        await engine.session(agent="a", tools=(NOW,)).prefill(ASKED)
        assert fake.bodies == []
    async with serving(fake, prefill=True, max_tokens_name="max_completion_tokens") as engine:
        session = engine.session(agent="a", tools=(NOW,))
        await session.warm(ASKED[:1])
        await session.prefill(ASKED)
    assert [len(body["messages"]) for body in fake.bodies] == [1, 2]
    assert [body["max_completion_tokens"] for body in fake.bodies] == [1, 1]
    assert all(body["tools"] and not body.get("stream") for body in fake.bodies)


async def test_prefill_that_fails_harms_nobody() -> None:
    async with serving(Fake(failing("500 Oops")), prefill=True) as engine:
        assert await engine.session(agent="a").prefill(ASKED) is None


# ---- options


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "urls"),
        ({"urls": [], "model": "m"}, "urls"),
        ({"urls": "ftp://x", "model": "m"}, "ftp://x.*is none of"),
        ({"urls": "10.0.0.5:8000", "model": "m"}, "is none of"),
        ({"urls": "http://u:p@x/v1", "model": "m"}, "no password"),
        ({"urls": "http://x", "model": "m", "api_key": "k"}, "api_key"),
        ({"urls": "http://x", "model": "m", "api_key_env": "VB_NOT_SET"}, "VB_NOT_SET; set it"),
        ({"urls": "http://x", "model": "m", "api_key_file": "/nowhere/key"}, "/nowhere/key cannot be read"),
        ({"urls": "http://x", "model": "m", "api_key_file": "/dev/null"}, "is empty"),
    ],
    ids=range(9),
)
def test_options_that_are_wrong_are_named(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ENGINE.create(options)


def test_it_is_an_engine_by_name_and_takes_urls_as_people_write_them() -> None:
    engine = load("llm", "openai").create(
        {"urls": ["http://x:1/v1", "http://x:1/", "https://y/api/v1/", "unix:/run/x.sock"], "model": "m"}
    )
    assert [server.url for server in engine.servers] == ["http://x:1", "https://y/api", "unix:/run/x.sock"]
    assert engine.context_tokens == 8192


# ---- a real server


def by_llama_cpp() -> Any:
    if reason := missing():
        pytest.skip(f"not installed: {', '.join(reason)}")
    return LLAMA_CPP.create({"calls": 2, "context": 1024, "threads": 1, "nice": 0})


def by_llama_server() -> Any:
    return LLAMA.create({"slots": 1, "context": 1024, "threads": 1, "nice": 0})


@pytest.mark.models
@pytest.mark.parametrize("made_by", [by_llama_server, by_llama_cpp])
async def test_our_own_workers_speak_the_same_language(made_by: Callable[[], Any]) -> None:
    worker = made_by()
    await worker.start()
    assert await worker.host.worker.wait_ready(60)
    socket = worker.host.worker.spec.socket
    engine = ENGINE.create(
        {"urls": f"unix:{socket}", "prefill": True, "continues": "prefix", "temperature": 0}
    )
    await engine.start()
    async with asyncio.timeout(60):
        while not engine.ready:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.01)
        await engine.session(agent="a", tools=(NOW,)).warm(ASKED[:1])
        said = await ask(engine, [ChatMessage("user", "Count from 1 to 9."), ChatMessage("assistant", "1, 2, 3,")])
        assert "".join(map(str, said)).startswith(" 4, 5")
        history = [
            *ASKED,
            ChatMessage("assistant", 'call {"name": "now", "arguments": {"zone": "CET"}}'),
            ChatMessage("tool", '{"time": "12:00"}'),
        ]
        answered = await ask(engine, history, (NOW,), seconds=40)
        assert answered
        assert all(isinstance(piece, str) or piece.tool == "now" for piece in answered)
    await engine.stop()
    await worker.stop()
