"""Deliveries that survive receivers that are down and daemons that end; the receiver is a real web server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import stat
from pathlib import Path

import pytest

from tests.handoff.receiver import Receiver
from voicebridge.delivery import Sender
from voicebridge.hooks.outbox import Outbox
from voicebridge.hooks.webhook import EventWebhook, WebhookOptions


@contextlib.asynccontextmanager
async def opened(folder: Path, url: str, **options):
    settings = {"keep_s": 3600.0, "first_pause_s": 0.02, "spread": lambda: 0.5, **options}
    box = Outbox(folder, Sender(url, timeout_s=1.0), **settings)
    box.start()
    yield box
    await box.close()


@pytest.fixture
async def receiver():
    made = await Receiver().start()
    yield made
    await made.stop()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def until(true, limit_s: float = 20.0) -> None:
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_what_is_delivered_is_kept_no_longer(tmp_path, receiver):
    async with opened(tmp_path / "box", receiver.url) as box:
        for number in range(3):
            await box.put(b"%d" % number)
        await until(lambda: box.delivered == 3)
        assert [came.body for came in receiver.came] == [b"0", b"1", b"2"]
        assert len({came.headers["x-voicebridge-delivery"] for came in receiver.came}) == 3
        await until(lambda: not list((tmp_path / "box").iterdir()))
        assert (box.queued, box.failed) == (0, 0)


async def test_what_waits_is_for_its_owner_alone(tmp_path):
    async with opened(tmp_path / "box", f"http://127.0.0.1:{free_port()}/") as box:
        await box.put(b"secret")
        (file,) = (tmp_path / "box").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_a_receiver_that_was_down_gets_all_once_it_is_up_and_is_not_asked_by_all_at_once(tmp_path):
    port = free_port()
    async with opened(tmp_path, f"http://127.0.0.1:{port}/") as box:
        for number in range(20):
            await box.put(b"%d" % number)
        await until(lambda: box._silent >= 2)
        asked = sum(waiting.attempts for waiting in box._waiting.values())
        assert asked <= 8  # pauses of 0.02, 0.04, 0.08 ... for all of them together, not for each
        late = await Receiver().start(port)
        await until(lambda: box.delivered == 20)
        assert sorted(int(came.body) for came in late.came) == list(range(20))
        await late.stop()


async def test_the_next_daemon_delivers_what_this_one_could_not(tmp_path):
    port = free_port()
    async with opened(tmp_path, f"http://127.0.0.1:{port}/") as box:
        await box.put(b"first")
        await until(lambda: box._silent)
    late = await Receiver().start(port)
    async with opened(tmp_path, f"http://127.0.0.1:{port}/") as box:
        await box.put(b"second")
        await until(lambda: box.delivered == 2)
    assert sorted(came.body for came in late.came) == [b"first", b"second"]
    await late.stop()


async def test_one_that_the_receiver_chokes_on_does_not_hold_up_the_others(tmp_path, receiver):
    receiver.answers = [500, 200]
    async with opened(tmp_path, receiver.url, first_pause_s=0.5) as box:
        await box.put(b"hard")
        await until(lambda: receiver.came)
        await box.put(b"easy")
        await until(lambda: box.delivered == 2)
    assert [came.body for came in receiver.came] == [b"hard", b"easy", b"hard"]
    assert receiver.came[0].headers["x-voicebridge-delivery"] == receiver.came[2].headers["x-voicebridge-delivery"]


async def test_a_refusal_is_final_and_so_is_age(tmp_path, receiver, caplog):
    receiver.answers = [400, 500]
    async with opened(tmp_path, receiver.url, keep_s=0.0) as box:
        await box.put(b"refused")
        await until(lambda: box.failed == 1)
        await box.put(b"too old at its first failure")
        await until(lambda: box.failed == 2)
        await until(lambda: not list(tmp_path.iterdir()))
        assert (box.delivered, box.queued, len(receiver.came)) == (0, 0, 2)
    assert "was not told: answered 400" in caplog.text


async def test_a_disk_that_takes_nothing_loses_nothing_while_the_daemon_lives(tmp_path, receiver, caplog):
    (tmp_path / "file").touch()
    async with opened(tmp_path / "file" / "box", receiver.url) as box:
        await box.put(b"in memory")
        await until(lambda: box.delivered == 1)
    assert receiver.came[0].body == b"in memory" and "in memory only" in caplog.text


async def test_the_webhook_sends_the_happening_and_logs_nothing_of_it(tmp_path, receiver, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="voicebridge")
    monkeypatch.setenv("VB_EVENTS_SECRET", "s3cret")
    hook = EventWebhook(WebhookOptions(url=receiver.url), tmp_path)
    happening = {"event": "call_ended", "call_id": "c1", "at": 1.0, "record": {"turns": [{"caller": "Grüß Gott"}]}}
    await hook.handle(happening)
    await until(lambda: hook.delivered == 1)
    await hook.close()
    (came,) = receiver.came
    assert json.loads(came.body) == happening
    assert came.headers["x-voicebridge-signature"].startswith("sha256=")
    assert "told, attempt 1" in caplog.text
    for word in ("Gott", "s3cret", "geheim"):
        assert word not in caplog.text
