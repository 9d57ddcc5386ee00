"""From the caller's words to the book: the form in calls, the tool, the file it writes, and its webhook."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
import threading
import tomllib
from collections.abc import Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from voicebridge.config import load
from voicebridge.scenario.rehearsal import rehearse
from voicebridge.scenario.suite import open_suite
from voicebridge.tools import SetupError
from voicebridge.tools.context import CallInfo
from voicebridge.tools.outcome import ToolOutcome
from voicebridge.tools.runner import ToolRunner
from voicebridge_callback import CALLBACK
from voicebridge_callback.book import Book, Wish

CALL = CallInfo(
    "11111111-2222-3333-4444-555555555555", "desk", "en", "+49891234567", "100", frozenset({"book_callback"})
)
SAID = '{"phone":"5550142","convenient":"tomorrow"}'


async def booked(folder: Path, arguments: str = SAID, number: int = 1, **settings: Any) -> ToolOutcome:
    fallback = CALLBACK.create(settings)
    runner = ToolRunner(fallback.tools, folder=folder)
    try:
        return await runner.run(CALL, number, "book_callback", arguments)
    finally:
        await runner.close()


async def test_calls_end_with_a_number_in_the_book_or_with_the_truth():
    suite = open_suite(Path(__file__).parent / "agents" / "desk.test.yaml", load(None))
    results = [result async for result in rehearse([suite])]
    told = {result.call.name: [failure.text for failure in result.failures] for result in results}
    assert told == {call.name: [] for call in suite.calls}
    assert len(told) == 5


async def test_a_wish_is_written_with_all_that_is_known_of_the_call(tmp_path):
    outcome = await booked(tmp_path / "state")
    assert (outcome.ok, outcome.data) == (True, '{"booked":true,"number":1}')
    ((number, wish),) = Book(tmp_path / "state" / "callbacks.db").read()
    assert number == 1
    assert (wish.phone, wish.convenient, wish.caller, wish.agent) == ("5550142", "tomorrow", "+49891234567", "desk")
    assert datetime.fromisoformat(wish.at).tzinfo is not None


async def test_only_the_owner_can_read_the_book(tmp_path):
    await booked(tmp_path / "state")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "callbacks.db").stat().st_mode) == 0o600


async def test_a_second_attempt_of_the_same_run_writes_nothing_new(tmp_path):
    assert (await booked(tmp_path)).data == (await booked(tmp_path)).data
    assert (await booked(tmp_path, number=2)).data == '{"booked":true,"number":2}'
    assert len(Book(tmp_path / "callbacks.db").read()) == 2


async def test_a_book_that_cannot_be_written_is_a_failure_that_the_caller_hears(tmp_path):
    (tmp_path / "callbacks.db").mkdir()
    outcome = await booked(tmp_path)
    assert (outcome.ok, outcome.cause) == (False, "error")
    assert CALLBACK.create({}).tools[0].failed == "I'm sorry, I could not note your number just now."


@pytest.mark.parametrize("phone", ["12", "0049 89", "5550142;DROP", "x", "1" * 16])
async def test_what_is_no_number_is_not_noted(tmp_path, phone):
    outcome = await booked(tmp_path, json.dumps({"phone": phone}))
    assert (outcome.ok, outcome.cause) == (False, "invalid_arguments")
    assert not (tmp_path / "callbacks.db").exists()


# ---- the webhook


class Crm:
    """A web service on loopback; `status` is what it answers."""

    def __init__(self) -> None:
        self.status = 200
        self.seen: list[tuple[dict[str, str], Any]] = []
        crm = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                crm.seen.append(({key.lower(): value for key, value in self.headers.items()}, json.loads(body)))
                self.send_response(crm.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/callbacks"


@pytest.fixture
def crm() -> Iterator[Crm]:
    made = Crm()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


async def test_the_webhook_gets_the_same_with_a_key_and_a_secret(tmp_path, crm, monkeypatch):
    monkeypatch.setenv("VB_TEST_TOKEN", "s3cret")
    headers = {"Authorization": "Bearer {env:VB_TEST_TOKEN}"}
    assert (await booked(tmp_path, webhook=crm.url, headers=headers)).ok
    ((sent, body),) = crm.seen
    assert (sent["authorization"], sent["idempotency-key"]) == ("Bearer s3cret", f"{CALL.call_id}-1")
    assert (body["phone"], body["convenient"], body["number"]) == ("5550142", "tomorrow", 1)


@pytest.mark.parametrize("where", ["refuses", "is not there"])
async def test_a_webhook_that_fails_is_no_loss_while_there_is_the_book(tmp_path, crm, where):
    crm.status = 500
    url = crm.url if where == "refuses" else "http://127.0.0.1:9/callbacks"
    outcome = await booked(tmp_path, webhook=url)
    assert (outcome.ok, outcome.attempts) == (True, 1)
    assert len(Book(tmp_path / "callbacks.db").read()) == 1


async def test_the_webhook_alone_is_enough(tmp_path, crm):
    (tmp_path / "callbacks.db").mkdir()
    outcome = await booked(tmp_path, webhook=crm.url)
    assert (outcome.ok, outcome.data) == (True, '{"booked":true}')


# ---- settings


def test_the_readme_s_settings_are_what_holds_without_any(monkeypatch):
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    block = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[-1]
    monkeypatch.setenv("CRM_TOKEN", "x")
    settings = tomllib.loads(block)["fallbacks"]["callback"]
    assert CALLBACK.create(settings).form == CALLBACK.create({}).form


def test_what_is_asked_can_be_chosen():
    form = CALLBACK.create({"ask_when": "", "ask_name": "Your name?"}).form
    assert [slot.name for slot in form.slots] == ["phone", "name"]
    assert [slot.name for slot in CALLBACK.create({}).form.slots] == ["phone", "convenient"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ask_fone": "x"}, "ask_fone"),
        ({"ask_phone": ""}, "ask_phone"),
        ({"webhook": "ftp://x"}, "webhook"),
        ({"headers": {"X-Key": "{env:VB_NOT_SET}"}}, "headers.X-Key: env VB_NOT_SET"),
        ({"least": 9, "most": 8}, "most: 8"),
        ({"file": "callbacks.db"}, "write the whole path"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, told):
    with pytest.raises(SetupError) as caught:
        CALLBACK.create(settings)
    assert told in str(caught.value)


# ---- the book


def test_those_who_were_called_are_ticked_off_and_back(tmp_path):
    book = Book(tmp_path / "callbacks.db")
    assert book.read() == []
    assert not book.tick(1, None)
    for key in "abc":
        book.write(Wish(key, "2026-11-29T11:00:00+01:00", "5550142"))
    assert book.tick(2, datetime(2026, 11, 30, 9, 15).astimezone())
    assert not book.tick(9, None)
    assert [number for number, _ in book.read()] == [1, 3]
    assert [bool(wish.done) for _, wish in book.read(all_of_them=True)] == [False, True, False]
    assert book.tick(2, None)
    assert [number for number, _ in book.read()] == [1, 2, 3]


def test_calls_that_end_at_the_same_time_all_get_a_number(tmp_path):
    book, got = Book(tmp_path / "callbacks.db"), []
    threads = [
        threading.Thread(target=lambda key=key: got.append(book.write(Wish(str(key), "2026-11-29T11:00", "5550142"))))
        for key in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == list(range(1, 9))
    with sqlite3.connect(tmp_path / "callbacks.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
