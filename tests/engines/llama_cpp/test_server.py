"""The worker as a process, over its socket: as the daemon uses it and as any OpenAI client does."""

from __future__ import annotations

import asyncio
import json
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: make llama")
pytest.importorskip("aiohttp")
from voicebridge.conversation.commands import ChatMessage
from voicebridge.engines.chat_http import ChatHttp, HttpTrouble
from voicebridge.engines.local_llm import DEFAULT_MODEL
from voicebridge.engines.model_host import model_path

pytestmark = [pytest.mark.models, pytest.mark.asyncio(loop_scope="module")]

CONTEXT = 256
COUNT = {"role": "user", "content": "Count from 1 to 30."}
BEGUN = {"role": "assistant", "content": "1, 2, 3, 4, 5, 6, 7, 8,"}
SYSTEM = {"role": "system", "content": "You work for a bakery that sells eleven kinds of bread."}
CHAT = "/v1/chat/completions"


def command(model: Path | str, socket: Path, **more: Any) -> list[str]:
    options = {"model": str(model), "calls": 2, "context": CONTEXT, "threads": 1, "waiting": 4, **more}
    module = "voicebridge.engines.llama_cpp.worker"
    return [sys.executable, "-m", module, "--socket", str(socket), "--options", json.dumps(options)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """The worker's socket; the same worker ends by SIGTERM when all tests are through, and says so."""
    socket = tmp_path_factory.mktemp("llama") / "s.sock"
    socket.touch()  # the last life's
    process = subprocess.Popen(command(model_path("test", {}, DEFAULT_MODEL), socket), stderr=subprocess.PIPE)
    http, statuses = ChatHttp(socket), []
    try:
        async with asyncio.timeout(60):
            while 200 not in statuses:
                statuses.append(await http.status("/health"))
                await asyncio.sleep(0.02)
        assert set(statuses) <= {0, 503, 200}
        yield socket
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert not socket.exists()
        assert process.stderr is not None
        said = process.stderr.read().decode().splitlines()
        assert [line for line in said if "parse: error parsing grammar" not in line and line][0].startswith(
            "INFO serving "
        )
        assert not [line for line in said if "Error" in line or "Traceback" in line]
    finally:
        process.kill()
        await http.close()


@pytest_asyncio.fixture(loop_scope="module")
async def client(served: Path) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.AsyncHTTPTransport(uds=str(served))
    async with httpx.AsyncClient(transport=transport, base_url="http://llama", timeout=60) as made:
        yield made


def ours(call: str, due: float | None = 0.2, **more: Any) -> dict[str, Any]:
    return {"call": call, "agent": "bakery", "deadline": None if due is None else time.monotonic() + due, **more}


async def stats(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/v1/voicebridge/stats")).json()
    return found


async def idle(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(10):
        while (await stats(client))["running"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


async def refused(client: httpx.AsyncClient, **body: Any) -> tuple[int, str]:
    answer = await client.post(CHAT, json=body)
    return answer.status_code, answer.json()["error"]["message"]


async def test_nobody_else_can_reach_it(served: Path) -> None:
    assert stat.S_IMODE(served.stat().st_mode) == 0o600


async def test_an_ordinary_client_is_answered(client: httpx.AsyncClient) -> None:
    body = {"model": "any", "messages": [COUNT, BEGUN], "max_tokens": 6, "temperature": 0, "top_p": 0.9, "n": 1}
    answer = (await client.post(CHAT, json=body)).json()
    (choice,) = answer["choices"]
    assert choice["message"] == {"role": "assistant", "content": " 9, 10"}
    assert choice["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 6
    assert usage["total_tokens"] == usage["prompt_tokens"] + 6
    assert (await client.get("/v1/models")).json()["data"][0]["id"] == answer["model"]


async def test_a_stream_has_the_same_words(client: httpx.AsyncClient) -> None:
    body = {"messages": [COUNT, BEGUN], "max_completion_tokens": 6, "temperature": 0, "stream": True}
    async with client.stream("POST", CHAT, json=body) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        lines = [line.removeprefix("data: ") async for line in answer.aiter_lines() if line]
    assert lines.pop() == "[DONE]"
    events = [json.loads(line) for line in lines]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == " 9, 10"
    assert [event["choices"][0]["finish_reason"] for event in events] == [None] * (len(events) - 1) + ["length"]
    assert events[-1]["usage"]["completion_tokens"] == 6


async def test_stop_words_and_parts_of_content(client: httpx.AsyncClient) -> None:
    parts = [{"type": "text", "text": "Count from "}, {"type": "text", "text": "1 to 30."}]
    body = {"messages": [{"role": "user", "content": parts}, BEGUN], "temperature": 0, "stop": "10"}
    choice = (await client.post(CHAT, json=body)).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (" 9, ", "stop")


async def test_a_grammar_is_kept_to(client: httpx.AsyncClient) -> None:
    body = {"messages": [COUNT], "max_tokens": 8, "grammar": 'root ::= "say " ("yes" | "no")'}
    choice = (await client.post(CHAT, json=body)).json()["choices"][0]
    assert choice["message"]["content"] in ("say yes", "say no")
    assert choice["finish_reason"] == "stop"


async def test_the_daemons_client_warms_prefills_and_asks(served: Path, client: httpx.AsyncClient) -> None:
    http = ChatHttp(served)
    system, question = ChatMessage("system", SYSTEM["content"]), ChatMessage("user", COUNT["content"])
    await http.compute([system], voicebridge=ours("warm", 5.0))
    await http.compute([system, question], voicebridge=ours("a", None))
    before = await stats(client)
    begun = ChatMessage("assistant", BEGUN["content"])
    said = [
        piece
        async for piece in http.chat([system, question, begun], max_tokens=4, temperature=0, voicebridge=ours("a"))
    ]
    after = await stats(client)
    assert "".join(said).startswith(" 9")
    computed = after["tokens"]["prefilled"] - before["tokens"]["prefilled"]
    assert 1 < computed <= len(BEGUN["content"]) + 8  # what was begun and the template's words between, no more
    assert after["tokens"]["generated"] - before["tokens"]["generated"] == 4
    assert after["steps"] > before["steps"]
    assert after["step_ms_p95"] >= after["step_ms_p50"] > 0
    for call in ("warm", "a"):
        assert await http.post("/v1/voicebridge/release", {"call": call}) == {}
    with pytest.raises(HttpTrouble, match="refused: the call waits for nothing"):
        await http.post("/v1/voicebridge/defer", {"call": "a", "deadline": time.monotonic() + 1})
    await http.close()


async def test_a_deadline_moves_while_the_answer_comes(client: httpx.AsyncClient) -> None:
    body = {"messages": [COUNT, BEGUN], "max_tokens": 100, "stream": True, "voicebridge": ours("a", agent="", shared=0)}
    async with client.stream("POST", CHAT, json=body) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        told = await client.post("/v1/voicebridge/defer", json={"call": "a", "deadline": time.monotonic() + 60})
        assert told.status_code == 200
        other = {"messages": [COUNT], "max_tokens": 2, "voicebridge": ours("b", agent="", shared=0)}
        assert (await client.post(CHAT, json=other)).status_code == 200
        assert (await stats(client))["running"] == 1  # the other one has overtaken it
    await idle(client)


async def test_a_client_that_goes_ends_its_work(client: httpx.AsyncClient) -> None:
    body = {"messages": [COUNT, BEGUN], "max_tokens": 150, "temperature": 0, "stream": True}
    async with client.stream("POST", CHAT, json=body) as answer:
        await anext(answer.aiter_lines())
    await idle(client)
    before = (await stats(client))["tokens"]["generated"]
    await asyncio.sleep(0.2)
    assert (await stats(client))["tokens"]["generated"] == before
    with pytest.raises(httpx.ReadTimeout):  # one who waits for the whole answer
        await client.post(CHAT, json={**body, "stream": False}, timeout=0.1)
    await idle(client)
    assert (await stats(client))["tokens"]["generated"] - before < 150


async def test_speculative_work_makes_room_and_says_so(client: httpx.AsyncClient) -> None:
    long = {"role": "user", "content": "word " * 180}
    body = {"messages": [long], "max_tokens": 0, "voicebridge": ours("a", None, agent="", shared=0)}
    prefill = asyncio.create_task(client.post(CHAT, json=body))
    async with asyncio.timeout(10):
        while not (await stats(client))["running"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.001)
    asked = {"messages": [COUNT], "max_tokens": 1, "voicebridge": ours("a", agent="", shared=0)}
    assert (await client.post(CHAT, json=asked)).status_code == 200
    assert (await prefill).json()["choices"][0]["finish_reason"] == "dropped"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": []}, "messages: List should have at least 1 item"),
        ({}, "messages: Field required"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role: Input should be"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "content is neither a text nor a list"),
        ({"messages": [COUNT], "max_tokens": -1}, "max_tokens: Input should be greater"),
        ({"messages": [COUNT], "grammar": 'root ::= "a'}, "the grammar is not GBNF"),
        ({"messages": [COUNT], "voicebridge": {"cal": "x"}}, "voicebridge.cal: Extra inputs"),
        (
            {"messages": [{"role": "user", "content": "x " * 400}], "max_tokens": 20},
            "has 431 tokens, and a call's context has 256",
        ),
    ],
)
async def test_what_is_wrong_is_told(client: httpx.AsyncClient, body: dict[str, Any], said: str) -> None:
    status, message = await refused(client, **body)
    assert status == 400
    assert said in message


async def test_what_is_no_json_is_told(client: httpx.AsyncClient) -> None:
    answer = await client.post(CHAT, content=b"{")
    assert answer.status_code == 400
    assert "Invalid JSON" in answer.json()["error"]["message"]
    assert (await client.get("/nothing")).json()["error"]["code"] == 404


async def test_a_conversation_that_is_too_long_goes_on_without_its_beginning(client: httpx.AsyncClient) -> None:
    talk = [{"role": role, "content": f"{n} well " + "word " * 12} for n in range(9) for role in ("user", "assistant")]
    body = {"messages": [SYSTEM, *talk, COUNT, BEGUN], "max_tokens": 4, "temperature": 0, "voicebridge": ours("long")}
    before = await stats(client)
    answer = (await client.post(CHAT, json=body)).json()
    assert answer["usage"]["prompt_tokens"] <= CONTEXT - 4
    assert answer["choices"][0]["message"]["content"].startswith(" 9")
    assert (await stats(client))["messages_dropped"] > before["messages_dropped"]
    assert (await refused(client, messages=[SYSTEM, *talk, COUNT], max_tokens=4))[0] == 400  # a stranger is told


async def test_as_many_as_may_wait_do_so_and_the_rest_is_told(client: httpx.AsyncClient) -> None:
    body = {"messages": [COUNT, BEGUN], "max_tokens": 6}
    answers = await asyncio.gather(*(client.post(CHAT, json=body) for _ in range(16)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= 4
    full = next(answer for answer in answers if answer.status_code == 503)
    assert full.json()["error"]["message"] == "4 requests are waiting"
