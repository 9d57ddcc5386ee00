"""The webhook, on a real web server: down, slow, refusing, then up; and that nothing waits for it."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from tests.handoff.receiver import Receiver
from voicebridge.config import ConfigError
from voicebridge.conversation.commands import HandOff
from voicebridge.handoff import webhook as room
from voicebridge.handoff.desk import Case, Desk
from voicebridge.handoff.directory import Directory
from voicebridge.handoff.summary import Summary, Turn
from voicebridge.handoff.webhook import Delivery, Webhook, signature, webhook_for
from voicebridge.targets import HandoffSettings, Target

AT = datetime(2026, 12, 1, 11, 0, tzinfo=UTC)
TURNS = (Turn("Grüß Gott", "Hello"), Turn("geheimnis", ""))
SUMMARY = Summary("Asked for a human.", "The caller said: Grüß Gott.", TURNS)
TOLD = Delivery("go", "call-1", "sales", "the sales team", "asked", "", "+4930123", "desk", SUMMARY, AT)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = await Receiver().start()
    yield made
    await made.stop()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def hook(url: str, **more: object) -> Webhook:
    settings = {"first_pause_s": 0.02, "timeout_s": 1.0, "spread": lambda: 0.5, **more}
    return Webhook(url, **settings)  # type: ignore[arg-type]


async def until(true, limit_s: float = 20.0) -> None:
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_it_posts_json_with_a_signature_over_time_and_body(receiver):
    hooked = hook(receiver.url, secret=b"s3cret")
    hooked.post(TOLD)
    await hooked.close()
    assert (hooked.delivered, hooked.failed) == (1, 0)
    (came,) = receiver.came
    assert came.path == "/hook?token=geheim"
    assert came.headers["content-type"] == "application/json"
    assert json.loads(came.body) == {
        "event": "handoff", "state": "go", "call_id": "call-1", "target": "sales", "label": "the sales team",
        "reason": "asked", "cause": "", "caller": "+4930123", "agent": "desk", "summary": "Asked for a human.",
        "briefing": "The caller said: Grüß Gott.",
        "transcript": [{"caller": "Grüß Gott", "agent": "Hello"}, {"caller": "geheimnis", "agent": ""}],
        "at": "2026-12-01T11:00:00+00:00",
    }
    stamp = came.headers["x-voicebridge-timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    expected = hmac.new(b"s3cret", stamp.encode() + b"." + came.body, hashlib.sha256).hexdigest()
    assert came.headers["x-voicebridge-signature"] == f"sha256={expected}"
    assert expected == signature(b"s3cret", stamp, came.body)


async def test_without_a_secret_there_is_no_signature(receiver):
    hooked = hook(receiver.url)
    hooked.post(TOLD)
    await hooked.close()
    assert "x-voicebridge-signature" not in receiver.came[0].headers


async def test_a_receiver_that_is_down_is_told_when_it_is_up():
    port = free_port()
    hooked = hook(f"http://127.0.0.1:{port}/", attempts=10)
    hooked.post(TOLD)
    await asyncio.sleep(0.1)
    assert (hooked.delivered, hooked.pending) == (0, 1)
    late = await Receiver().start(port)
    await until(lambda: hooked.delivered)
    assert len(late.came) == 1
    await hooked.close()
    await late.stop()


async def test_errors_and_silence_are_tried_again_as_the_same_delivery(receiver):
    receiver.answers = [500, 0, 429, 503, 204]
    hooked = hook(receiver.url)
    hooked.post(TOLD)
    await until(lambda: hooked.delivered)
    assert len(receiver.came) == 5
    assert len({came.headers["x-voicebridge-delivery"] for came in receiver.came}) == 1
    assert len({came.body for came in receiver.came}) == 1
    await hooked.close()


@pytest.mark.parametrize("status", [400, 401, 404, 410, 301])
async def test_a_refusal_is_final(receiver, status):
    receiver.answers, receiver.headers = [status], ("Location: http://127.0.0.1:1/elsewhere",)
    hooked = hook(receiver.url)
    hooked.post(TOLD)
    await until(lambda: hooked.failed)
    assert (hooked.delivered, len(receiver.came)) == (0, 1)
    await hooked.close()


async def test_the_attempts_have_an_end_and_their_pauses_double(receiver):
    receiver.answers = [500]
    hooked = hook(receiver.url, attempts=4)
    began = time.monotonic()
    hooked.post(TOLD)
    await until(lambda: hooked.failed)
    assert len(receiver.came) == 4
    assert time.monotonic() - began >= 0.02 + 0.04 + 0.08 - 0.01
    await hooked.close()


async def test_the_handoff_does_not_wait_for_it(receiver):
    receiver.answers = [0]
    hooked = hook(receiver.url, timeout_s=5.0)
    desk = Desk(Directory({"sales": Target(queue="sales")}), clock=lambda: AT, webhook=hooked)
    began = time.monotonic()
    async with aclosing(desk.hand_off(HandOff(1, "sales", "asked"), Case("call-1", summary=SUMMARY))) as told:
        assert [update.state async for update in told] == ["go"]
    assert time.monotonic() - began < 2
    await until(lambda: receiver.came)
    await hooked.close(grace_s=0.01)


async def test_closing_gives_what_is_under_way_a_moment_and_then_gives_up(receiver):
    receiver.answers = [0]
    hooked = hook(receiver.url, timeout_s=30.0)
    hooked.post(TOLD)
    await until(lambda: receiver.came)
    began = time.monotonic()
    await hooked.close(grace_s=0.05)
    assert time.monotonic() - began < 3
    assert (hooked.delivered, hooked.failed, hooked.pending) == (0, 1, 0)


async def test_a_receiver_that_is_down_for_long_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(room, "MAX_PENDING", 5)
    hooked = hook(f"http://127.0.0.1:{free_port()}/", first_pause_s=30.0)
    for _ in range(9):
        hooked.post(TOLD)
    assert (hooked.pending, hooked.failed) == (5, 4)
    await hooked.close(grace_s=0.0)
    assert hooked.failed == 9


async def test_logs_carry_neither_content_nor_the_address(receiver, caplog):
    caplog.set_level(logging.INFO, logger="voicebridge")
    receiver.answers = [500, 404]
    hooked = hook(receiver.url, secret=b"s3cret")
    hooked.post(TOLD)
    await until(lambda: hooked.failed)
    await hooked.close()
    assert "answered 404" in caplog.text
    for word in ("geheim", "s3cret", "Grüß", "+4930123", "Asked"):
        assert word not in caplog.text


# ---- settings


def test_no_address_no_webhook():
    assert webhook_for(HandoffSettings()) is None


def test_the_secret_comes_from_the_file_or_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "secret"
    file.write_text("from the file\n")
    monkeypatch.setenv("VB_WEBHOOK_SECRET", "from the environment")
    made = webhook_for(HandoffSettings(webhook="http://127.0.0.1/", secret_file=file))
    assert made is not None
    assert made.sender.secret == b"from the file"
    assert webhook_for(HandoffSettings(webhook="http://127.0.0.1/")).sender.secret == b"from the environment"
    assert webhook_for(HandoffSettings(webhook="http://127.0.0.1/", secret_env="VB_NOT_SET")).sender.secret == b""


@pytest.mark.parametrize(
    ("url", "warns"),
    [("http://crm.example/", True), ("https://crm.example/", False), ("http://127.0.0.1:80/", False)],
)
def test_what_would_go_in_the_clear_is_warned_of(url, warns, caplog):
    webhook_for(HandoffSettings(webhook=url))
    assert ("in the clear" in caplog.text) is warns


@pytest.mark.parametrize("content", [None, b"", b"  \n", b"\xff\xfe"], ids=["absent", "empty", "blank", "no_text"])
def test_a_secret_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"handoff\.secret_file: .*secret"):
        webhook_for(HandoffSettings(webhook="http://127.0.0.1/", secret_file=file))
