"""A real daemon, operated while it serves calls: looked at, its agents changed, a call ended, others told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from contextlib import aclosing
from pathlib import Path

import pytest
import uvloop

from tests.handoff.receiver import Receiver
from voicebridge.cli.testcall import running_daemon, wait_for_record
from voicebridge.control.client import Control, NoDaemon, Refused
from voicebridge.phone import Phone
from voicebridge.trace.store import CallStore

pytestmark = pytest.mark.models

AGENT = 'name = "desk"\ngreeting = "{}"\nmodel_scope = "none"\n'
OLD, NEW = "Good day, this is the old desk speaking.", "Hello, the new one."


def config(folder: Path, url: str) -> Path:
    (folder / "agents").mkdir()
    (folder / "agents" / "desk.toml").write_text(AGENT.format(OLD))
    (folder / "vb.toml").write_text(
        f'default_agent = "desk"\n[events.webhook]\nurl = "{url}"\n[events.file]\ndir = "documents"\n'
    )
    return folder / "vb.toml"


class Watch:
    """What happens, in a thread: the daemon's calls are made in another loop."""

    def __init__(self, path: Path) -> None:
        self.seen: list[dict] = []
        self._control = Control(path)
        threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True).start()

    async def _run(self) -> None:
        with contextlib.suppress(NoDaemon):  # in the end it ends
            async with aclosing(self._control.events()) as events:
                async for happening in events:
                    self.seen.append(happening)

    def of(self, call_id: str, event: str) -> list[dict]:
        return [each for each in self.seen if each.get("call_id") == call_id and each["event"] == event]


async def operated(port: int, folder: Path, control: Control) -> tuple[str, str, str]:
    """Three calls: one that runs through a reload, one after it, one that an operator ends. Their ids."""
    first = asyncio.create_task(Phone("127.0.0.1", port).call([], linger_s=3.0))
    (running,) = await until(lambda: control.calls())
    assert running["agent"] == "desk"
    file = folder / "agents" / "desk.toml"
    file.write_text(AGENT.format(NEW) + 'greting = "x"\n')
    with pytest.raises(Refused, match=r"desk\.toml:4: greting: there is no such key"):
        await asyncio.to_thread(control.reload)
    file.write_text(AGENT.format(NEW))
    (folder / "agents" / "night.toml").write_text(AGENT.format("Closed.").replace("desk", "night"))
    done = await asyncio.to_thread(control.reload)
    assert (done["changed"], done["gone"], done["notes"]) == (["desk", "night"], [], [])
    done = await asyncio.to_thread(control.reload)
    assert done["changed"] == []  # who has not changed stays as he is
    old = await first
    new = await Phone("127.0.0.1", port).call([], linger_s=1.5)
    third = asyncio.create_task(Phone("127.0.0.1", port).call([], linger_s=20.0))
    (running,) = await until(lambda: control.calls())
    await asyncio.to_thread(control.end, running["call_id"], "fallback")
    ended = await third
    assert ended.ended_by == "agent"
    return old.call_id, new.call_id, ended.call_id


async def until(found, limit_s: float = 20.0):
    async with asyncio.timeout(limit_s):
        while not (value := await asyncio.to_thread(found)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        return value


def test_a_daemon_is_operated_while_it_serves_calls(tmp_path):
    async def whole() -> None:
        receiver = await Receiver().start()
        receiver.answers = [500, 200]
        with running_daemon(config(tmp_path, receiver.url)) as (port, store):
            control = Control(store / "control.sock")
            status = await until(lambda: (found := control.status())["ready"] and found)
            assert (status["calls"], status["draining"], status["reloads"]) == (0, False, 0)
            assert "desk" in status["agents"]
            assert all(engine["state"] == "ready" for engine in status["engines"].values())
            watch = Watch(store / "control.sock")
            await until(lambda: watch.seen)
            calls = await operated(port, tmp_path, control)
            await check_records(store, watch, calls)
            await until(lambda: len(receiver.came) == 4)  # one was tried again
            told = [json.loads(came.body)["record"]["call_id"] for came in receiver.came]
            assert sorted(set(told)) == sorted(calls)
            await until(lambda: not list((store / "events" / "webhook").iterdir()))
            assert 'voicebridge_event_deliveries_total{hook="webhook",result="ok"} 3.0' in control.metrics()
            await check_drained(port, control)
            assert control.status()["reloads"] == 2
        await receiver.stop()
        assert not (store / "control.sock").exists()

    uvloop.run(whole())


async def check_records(store: Path, watch: Watch, calls: tuple[str, str, str]) -> None:
    kept = CallStore(store, keep_days=1)
    old, new, ended = [await asyncio.to_thread(wait_for_record, kept, call_id) for call_id in calls]
    assert [record["turns"][0]["said"][0]["text"] for record in (old, new)] == [OLD, NEW]
    assert (ended["outcome"], ended["ended_by"]) == ("fallback", "operator")
    for record in (old, new, ended):
        call_id = record["call_id"]
        (told,) = await until(lambda call_id=call_id: watch.of(call_id, "call_ended"))
        assert told["record"] == record == json.loads((store / "events/file/documents" / f"{call_id}.json").read_text())
        assert watch.of(call_id, "call_began") and watch.of(call_id, "state")
    heard = [part["heard"] for each in watch.of(calls[1], "turn") for part in each["turn"]["said"]]
    assert NEW in heard


async def check_drained(port: int, control: Control) -> None:
    await asyncio.to_thread(control.drain)
    assert control.status()["draining"]
    began = time.monotonic()
    refused = await Phone("127.0.0.1", port).call([], linger_s=5.0)
    assert not any(refused.agent) and time.monotonic() - began < 4
    await asyncio.to_thread(control.drain, False)
    taken = await Phone("127.0.0.1", port).call([], linger_s=1.0)
    assert any(taken.agent)
