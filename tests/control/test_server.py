"""The control socket, asked by its client over a real socket."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing

import httpx
import pytest

from tests.control.house import Served, until
from voicebridge.config import Config, Settings, Store
from voicebridge.control import server as room
from voicebridge.control.client import Control, NoDaemon, Refused
from voicebridge.control.place import answers
from voicebridge.operating import Control as Wanted


@pytest.fixture
async def served(tmp_path):
    async with Served(tmp_path / "c.sock", heartbeat_s=0.2, waiting=8) as made:
        yield made


def ask(served: Served, what: str, *values, **named):
    return asyncio.to_thread(getattr(Control(served.server.path), what), *values, **named)


async def test_it_tells_how_the_daemon_stands_and_which_calls_run(served):
    assert await ask(served, "calls") == []
    served.house.calls = {
        "c1": {"call_id": "c1", "turns": [{"turn": 0}]}, "c2": {"call_id": "c2", "turns": []}
    }  # fmt: skip
    assert (await ask(served, "status"))["calls"] == 2
    assert await ask(served, "calls") == list(served.house.calls.values())
    assert await ask(served, "calls", turns=False) == [{"call_id": "c1"}, {"call_id": "c2"}]
    assert (await ask(served, "call", "c1"))["turns"] == [{"turn": 0}]
    assert await ask(served, "call", "../c1") is None
    assert await ask(served, "metrics") == "# HELP a b\na 1\n"


async def test_it_is_asked_to_end_a_call_to_drain_and_to_reload(served):
    served.house.calls = {"c1": {}}
    await ask(served, "end", "c1", "hangup")
    assert served.house.ended == [("c1", "hangup")]
    with pytest.raises(Refused, match="no such call"):
        await ask(served, "end", "c9")
    await ask(served, "drain")
    await ask(served, "drain", on=False)
    assert served.house.drained == [True, False]
    assert (await ask(served, "reload"))["changed"] == ["desk"]


async def test_a_reload_that_cannot_be_says_where(served):
    served.house.fault = "/etc/voicebridge/agents/desk.toml:3: greting: there is no such key"
    with pytest.raises(Refused, match="desk.toml:3: greting") as refused:
        await ask(served, "reload")
    assert refused.value.status == 409


@pytest.mark.parametrize(
    ("body", "why"),
    [('{"outcome": "transfer"}', "outcome"), ('{"outcom": "hangup"}', "outcom"), ("[1", "Expecting"),
     ("[" * 4_000, "nested too deeply"),
     ('{"outcome": "%s"}' % ("x" * 5000), "more than"), ("3", "body")],
    ids=["outcome", "typo", "no_json", "deep", "long", "number"],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused_with_the_reason(served, body, why):
    served.house.calls = {"c1": {}}
    transport = httpx.AsyncHTTPTransport(uds=str(served.server.path))
    async with httpx.AsyncClient(transport=transport, base_url="http://voicebridge") as client:
        answer = await client.post("/v1/calls/c1/end", content=body)
    assert answer.status_code == 400 and why in answer.json()["error"]
    assert served.house.ended == []


# ---- events


async def test_happenings_are_streamed_as_they_come_and_of_one_call_where_that_is_wanted(served):
    assert not served.bus.wanted
    control = Control(served.server.path)
    async with aclosing(control.events()) as all_of_them, aclosing(control.events("c2")) as one:
        assert [(await anext(each))["event"] for each in (all_of_them, one)] == ["heartbeat", "heartbeat"]
        served.tell("state", "c1", agent="thinking")
        served.tell("turn", "c2", turn={"turn": 1, "caller": "Grüße"})
        came = [await anext(all_of_them), await anext(all_of_them)]
        assert [(each["event"], each["call_id"]) for each in came] == [("state", "c1"), ("turn", "c2")]
        assert (await anext(one))["turn"]["caller"] == "Grüße"
        assert (await anext(one))["event"] == "heartbeat"  # and nothing of c1
    await until(lambda: not served.bus.wanted)  # nothing is made for nobody


async def test_a_slow_watcher_loses_the_oldest_and_is_told_how_many(served):
    lines = served.feed.watch().lines()
    await anext(lines)
    for number in range(20):
        served.tell(number=number)
    piece = (await anext(lines)).decode().splitlines()
    assert piece[0] == '{"event":"lost","n":12}'
    assert [f'"number":{number}' in line for number, line in enumerate(piece[1:], 12)] == [True] * 8
    await lines.aclose()
    assert served.feed.lost == 12


async def test_a_watcher_that_reads_nothing_holds_nobody_up_and_costs_bounded_memory(served):
    reader, writer = await asyncio.open_unix_connection(str(served.server.path), limit=1024)
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: len(served.feed) == 1)
    for _ in range(400):
        served.tell("turn", turn={"text": "x" * 5000})
        await asyncio.sleep(0)
    assert len(await ask(served, "calls")) == 0  # others are answered meanwhile
    writer.close()
    await until(lambda: len(served.feed) == 0)
    assert served.feed.lost > 0


async def test_who_goes_away_is_forgotten_without_a_happening(served):
    _, writer = await asyncio.open_unix_connection(str(served.server.path))
    writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await until(lambda: len(served.feed) == 1)
    writer.close()
    await until(lambda: len(served.feed) == 0)


async def test_the_end_of_the_daemon_ends_the_streams_with_what_was_still_to_be_told(tmp_path):
    async with Served(tmp_path / "c.sock") as served:
        events = Control(served.server.path).events()
        await anext(events)
        served.tell("call_ended", record={})
        stopping = asyncio.create_task(served.server.stop())
        assert (await anext(events))["event"] == "call_ended"
        with pytest.raises(NoDaemon, match="has ended"):
            await anext(events)
        async with asyncio.timeout(10):
            await stopping
    assert not served.server.path.exists()


# ---- who has the socket


async def test_the_signals_stay_the_daemons(served):
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_second_daemon_waits_until_the_first_one_has_ended(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(room, "AGAIN_S", 0.05)
    path = tmp_path / "c.sock"
    async with Served(path) as first, Served(path) as second:
        assert first.server.listening and not second.server.listening
        assert "another daemon has it" in caplog.text
        await first.server.stop()
        await until(lambda: second.server.listening)
        assert (await ask(second, "status"))["ready"]
    assert not path.exists()


async def test_the_first_ones_end_does_not_take_the_second_ones_socket_away(tmp_path):
    path = tmp_path / "c.sock"
    async with Served(path) as first:
        path.unlink()
        async with Served(path) as second:
            await first.server.stop()
            assert path.exists() and (await ask(second, "status"))["ready"]


async def test_a_place_where_no_socket_can_be_is_told_and_calls_are_served_all_the_same(tmp_path, caplog):
    (tmp_path / "file").touch()
    async with Served(tmp_path / "file" / "c.sock") as served:
        assert not served.server.listening
    assert "control socket" in caplog.text and "[control] socket" in caplog.text


async def test_without_a_daemon_the_error_tells_where_it_was_looked_for(tmp_path):
    settings = Settings(config=Config(store=Store(dir=tmp_path)), agents={}, source="embedded profile")
    control = Control.of(settings)
    with pytest.raises(NoDaemon, match=r"no daemon runs with this configuration: .*control\.sock"):
        control.status()
    with pytest.raises(NoDaemon, match="no daemon runs"):
        await anext(control.events())
    off = settings.model_copy(update={"config": Config(control=Wanted(socket=""))})
    with pytest.raises(NoDaemon, match="switched off"):
        Control.of(off)
    assert not answers(control.path)
