"""Several servers for one answer: who is asked when, who wins, what counts as an answer, who is avoided afterwards."""

from __future__ import annotations

import asyncio
import json
import math
import time
from typing import Any

import pytest

from tests.engines.chat_server import ASKED, DONE, HEAD, Fake, Script, ask, failing, part, saying, serving, sse, words
from voicebridge.conversation.commands import ChatMessage
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines import openai_chat, openai_race, openai_servers
from voicebridge.engines.base import EngineError
from voicebridge.engines.openai_chat import ENGINE, OpenAiSession

NOW = ToolSpec("now", "Tell what time it is.", '{"type": "object", "properties": {}}')
SILENT = saying(HEAD, 30.0)
QUICK = saying(HEAD, *words("Noon."), DONE)


def owned_by(engine: Any, fake: Fake) -> OpenAiSession:
    session = engine.session(agent="a")
    while session.ranked()[0].url != fake.url:
        session = engine.session(agent="a")
    return session


# ---- two are asked


async def test_the_next_is_asked_too_and_the_first_who_speaks_wins() -> None:
    slow, quick = Fake(SILENT), Fake(QUICK)
    async with serving(slow, quick, first_output_s=20.0, hedge=0.02) as engine:
        began = time.monotonic()
        assert await ask(engine, first=slow, seconds=25) == ["Noon."]
        assert time.monotonic() - began < 8  # its patience is 12.5 s
        await asyncio.sleep(0.05)
        assert slow.closed == 1
        assert not engine.servers[0].down, "one lost race is no death"


async def test_the_own_server_may_still_win() -> None:
    own, other = Fake(saying(HEAD, 0.4, *words("Noon."), DONE)), Fake(saying(HEAD, 30.0))
    async with serving(own, other, first_output_s=2.0, hedge=0.05) as engine:
        assert await ask(engine, first=own) == ["Noon."]
        await asyncio.sleep(0.05)
        assert (len(other.bodies), other.closed) == (1, 1)
        assert engine.servers[1].losses == 1


async def test_a_call_goes_on_with_who_spoke_first_and_others_do_so_after_the_second_time() -> None:
    slow, quick = Fake(SILENT), Fake(QUICK)
    async with serving(slow, quick, first_output_s=20.0, hedge=0.01) as engine:
        session = owned_by(engine, slow)
        assert [await ask(engine, session=session, seconds=25) for _ in range(3)] == [["Noon."]] * 3
        assert (len(slow.bodies), len(quick.bodies)) == (1, 3)
        assert owned_by(engine, slow).ranked()[0].url == slow.url
        assert await ask(engine, first=slow, seconds=25) == ["Noon."]
        assert engine.servers[0].down
        assert [await ask(engine) for _ in range(4)] == [["Noon."]] * 4
        assert len(slow.bodies) == 2


async def test_speculation_is_not_doubled_and_who_is_down_is_no_help() -> None:
    own, other = Fake(saying(HEAD, 0.2, *words("Noon."), DONE)), Fake(QUICK)
    async with serving(own, other, first_output_s=4.0, hedge=0.01) as engine:
        assert await ask(engine, first=own, due_s=math.inf) == ["Noon."]
        engine.servers[1].failed()
        assert await ask(engine, first=own) == ["Noon."]
        assert other.bodies == []


async def test_both_slow_ones_are_waited_for_where_there_is_no_third() -> None:
    own, other = Fake(saying(HEAD, 0.6, *words("Own."), DONE)), Fake(saying(HEAD, 30.0))
    async with serving(own, other, first_output_s=0.2, hedge=0.5) as engine:
        assert await ask(engine, first=own) == ["Own."]


async def test_a_failure_is_followed_by_the_next_at_once() -> None:
    bad, worse, good = Fake(failing("500 Oops")), Fake(saying()), Fake(QUICK)
    async with serving(bad, worse, good, first_output_s=20.0, hedge=1.0) as engine:
        began = time.monotonic()
        assert [await ask(engine, seconds=30) for _ in range(3)] == [["Noon."]] * 3
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("deadline", "give_up", "down", "patience", "hedge"),
    [
        (0.0, 10.0, 0, 2.0, 1.0),  # first_output_s
        (1.0, 10.0, 0, 3.0, 1.5),  # nobody hears silence for a second
        (0.0, 1.0, 0, 0.5, 0.25),  # the other one needs its half
        (0.0, 1.0, 1, 1.0, 0.5),  # there is no other one
        (-3.0, 10.0, 0, 2.0, 1.0),  # late already
        (60.0, 10.0, 0, 5.0, 2.5),
        (math.inf, 10.0, 0, 2.0, None),
        (0.0, -1.0, 0, 0.0, 0.0),
    ],
)
async def test_patience_comes_from_the_request(
    deadline: float, give_up: float, down: int, patience: float, hedge: float | None
) -> None:
    engine = ENGINE.create({"urls": ["http://127.0.0.1:1", "http://127.0.0.1:2"]})
    for server in engine.servers[:down]:
        server.failed()
    now = time.monotonic()
    terms = engine.terms(now + deadline, now + give_up)
    assert terms.patience_s == pytest.approx(patience, abs=0.05)
    assert (terms.hedge_s is None) == (hedge is None)
    assert hedge is None or terms.hedge_s == pytest.approx(hedge, abs=0.05)
    await engine.stop()


async def test_cancelled_in_the_race_both_servers_are_let_go() -> None:
    one, two = Fake(SILENT), Fake(SILENT)
    async with serving(one, two, first_output_s=20.0, hedge=0.01) as engine:
        task = asyncio.create_task(ask(engine, seconds=25))
        while not (one.bodies and two.bodies):  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not (one.closed and two.closed):  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)


# ---- what is no answer


@pytest.mark.parametrize(
    "useless",
    [
        saying(HEAD, *[sse({"content": " "})] * 5, *[sse({"content": "\n"})] * 5, *[sse({})] * 5, 30.0),
        saying(HEAD, *words(*"?!.,;" * 20), 30.0),
        saying(HEAD, *[sse({"reasoning_content": "Hm."})] * 50, 30.0),
        saying(HEAD, b": keep-alive\n\n" * 50, 30.0),
        saying(HEAD, DONE),
        saying(HEAD, *words(" ", "\n"), DONE),
        saying(HEAD, b"data: <html>\n\n"),
        saying(HEAD.replace(b"text/event-stream", b"text/html; charset=utf-8"), b"<html>Log in</html>"),
        saying(HEAD.replace(b"text/event-stream", b"application/json"), b'{"choices": []}'),
        saying(HEAD, b"data: " + b"x" * 1_100_000),
        saying(HEAD, part('{"a": ', id="c", name="now"), DONE),
        saying(b"\x00\x01\x02 not http\r\n\r\n"),
    ],
    ids=["blanks", "punctuation", "reasoning", "keep-alive", "empty", "only blanks", "no json", "html", "json",
         "endless event", "half a call", "no http"],
)  # fmt: skip
async def test_what_is_no_answer_moves_on(useless: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_chat, "STALL_S", 0.3)
    bad, good = Fake(useless), Fake(QUICK)
    async with serving(bad, good, first_output_s=0.4) as engine:
        assert await ask(engine, first=bad, tools=(NOW,)) == ["Noon."]


async def test_words_begin_with_the_first_word_and_lose_nothing() -> None:
    fake = Fake(saying(HEAD, *words("\n", " ", "It", " ", "is", " ", " noon", ".", " "), DONE))
    async with serving(fake) as engine:
        assert "".join(map(str, await ask(engine))) == "\n It is  noon. "


async def test_lines_without_words_in_the_middle_are_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_race, "WORDLESS", 5)
    bad, good = Fake(saying(HEAD, *words("It", *"!!!!!!!!!"), 30.0)), Fake(saying(HEAD, *words(" is noon."), DONE))
    async with serving(bad, good, continues="prefix") as engine:
        assert await ask(engine, first=bad) == ["It", *"!!!!!", " is noon."]


async def test_an_answer_that_has_begun_may_be_whole() -> None:
    async with serving(Fake(saying(HEAD, DONE))) as engine:
        assert await ask(engine, [*ASKED, ChatMessage("assistant", "It is noon.")]) == []


async def test_garbage_from_all_is_told_before_the_time_is_over() -> None:
    fake = Fake(saying(HEAD, DONE))
    async with serving(fake) as engine:
        began = time.monotonic()
        with pytest.raises(EngineError, match="an answer without words") as raised:
            await ask(engine, seconds=20)
        assert time.monotonic() - began < 10
    assert raised.value.cause == "garbage"
    assert len(fake.bodies) == 2


async def test_a_call_counts_as_soon_as_it_begins() -> None:
    calling = Fake(saying(HEAD, part("", id="c", name="now"), 0.5, part("{}"), DONE))
    other = Fake(QUICK)
    async with serving(calling, other, first_output_s=0.6, hedge=0.5) as engine:
        assert await ask(engine, first=calling, tools=(NOW,)) == [ToolCall("now", "{}")]
        assert other.bodies == []


# ---- full servers


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Busy"])
async def test_a_full_server_is_left_alone_for_the_time_it_names_and_is_not_dead(status: str) -> None:
    refusal = f"HTTP/1.1 {status}\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n".encode()
    full, free = Fake(saying(refusal)), Fake(QUICK)
    async with serving(full, free) as engine:
        assert await ask(engine, first=full) == ["Noon."]
        assert [await ask(engine) for _ in range(4)] == [["Noon."]] * 4
        assert len(full.bodies) == 1
        server = engine.servers[0]
        assert not server.down
        assert 15 < server.full_until - time.monotonic() <= 20


async def test_all_full_is_told_at_once_where_waiting_would_take_too_long() -> None:
    refusal = b"HTTP/1.1 429 No\r\nRetry-After: 20\r\nContent-Length: 0\r\n\r\n"
    async with serving(Fake(saying(refusal)), Fake(saying(refusal))) as engine:
        began = time.monotonic()
        with pytest.raises(EngineError) as raised:
            await ask(engine, seconds=15)
        assert time.monotonic() - began < 8
        assert raised.value.cause == "refused"


async def test_a_full_server_is_asked_again_when_it_said() -> None:
    refusal = b"HTTP/1.1 503 No\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    fake = Fake(saying(refusal), QUICK)
    async with serving(fake) as engine:
        began = time.monotonic()
        assert await ask(engine) == ["Noon."]
        assert time.monotonic() - began > 0.9


# ---- which model, how many at once, who is there


async def test_without_a_name_the_server_s_first_model_is_asked_for_once() -> None:
    fake = Fake(QUICK)
    fake.model_list = json.dumps({"object": "list", "data": [{"id": "qwen3-4b"}, {"id": "other"}]})
    async with serving(fake, model="") as engine:
        assert [await ask(engine) for _ in range(3)] == [["Noon."]] * 3
    assert [body["model"] for body in fake.bodies] == ["qwen3-4b"] * 3
    assert fake.probes == ["/v1/models"]


async def test_a_server_that_names_no_model_is_asked_without() -> None:
    fake = Fake(QUICK)
    async with serving(fake, model="") as engine:
        assert await ask(engine) == ["Noon."]
    assert "model" not in fake.bodies[0]


async def test_each_server_is_asked_for_its_own_model() -> None:
    one, two = Fake(failing("500 Oops")), Fake(QUICK)
    one.model_list, two.model_list = (json.dumps({"data": [{"id": name}]}) for name in ("a", "b"))
    async with serving(one, two, model="") as engine:
        assert await ask(engine, first=one) == ["Noon."]
    assert (one.bodies[0]["model"], two.bodies[0]["model"]) == ("a", "b")


async def test_a_server_gets_no_more_at_once_than_it_may_and_the_most_urgent_first() -> None:
    order: list[str] = []
    inside = most = 0

    async def answer(fake: Fake, writer: asyncio.StreamWriter) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        order.append(fake.bodies[-1]["messages"][0]["content"])
        await asyncio.sleep(0.05)
        inside -= 1
        await QUICK(fake, writer)

    async with serving(Fake(answer), parallel=1) as engine, asyncio.TaskGroup() as group:
        for name, due in (("first", 5.0), ("late", 9.0), ("soon", 0.1), ("middle", 3.0)):
            group.create_task(ask(engine, [ChatMessage("user", name)], due_s=due, seconds=15))
            await asyncio.sleep(0.01)
    assert most == 1
    assert order == ["first", "soon", "middle", "late"]


async def test_computing_ahead_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake(SILENT, QUICK)
    async with serving(fake, parallel=1, prefill=True) as engine:
        ahead = asyncio.create_task(engine.session(agent="a").prefill(ASKED))
        while not fake.bodies:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
        assert await ask(engine) == ["Noon."]
        await ahead


async def test_a_server_without_a_list_of_models_is_there_by_its_health(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_servers, "PROBE_S", 0.05)
    fake = Fake(QUICK)
    fake.models = "404 Not Found"
    async with serving(fake) as engine:
        await engine.start()
        async with asyncio.timeout(5):
            while not engine.ready:  # noqa: ASYNC110 - another task
                await asyncio.sleep(0.01)
    assert fake.probes[:2] == ["/v1/models", "/health"]


async def test_taking_a_server_away_moves_its_calls_only() -> None:
    urls = [f"http://10.0.0.{n}:8000" for n in range(4)]
    four, three = ENGINE.create({"urls": urls}), ENGINE.create({"urls": urls[:3]})
    calls = [f"call {n}" for n in range(300)]
    before = {call: four.pool.ranked(call)[0].url for call in calls}
    after = {call: three.pool.ranked(call)[0].url for call in calls}
    assert all(after[call] == before[call] for call in calls if before[call] != urls[3])
    assert len({after[call] for call in calls if before[call] == urls[3]}) == 3
    await four.stop()
    await three.stop()
