"""http_request against a real server: what is asked, what of the answer comes back, and every way it can fail."""

from __future__ import annotations

import dataclasses
import gzip
import json
import socket
import time
from typing import Any

import pytest

from voicebridge.tools import SetupError, Tool
from voicebridge.tools.builtin.http import HTTP_REQUEST
from voicebridge.tools.outcome import ToolOutcome

LATE_S = 3.0


def made(**settings: Any) -> Tool:
    (tool,) = HTTP_REQUEST.create({"ask": settings})
    return tool


async def test_a_request_is_filled_and_the_answer_picked(service, bench, monkeypatch):
    monkeypatch.setenv("VB_TEST_TOKEN", "s3cret")
    service.gives({"order": {"state": "sent", "days": [{"name": "Friday"}]}, "internal": "x" * 1000})
    tool = made(
        url=f"{service.url}/orders/{{order}}/state?lang={{call:language}}", description="Tell how far an order is.",
        arguments={
            "order": {"about": "its number", "pattern": "[0-9a-z ü]+"}, "day": {"type": "date", "optional": True},
        },
        query={"from": "{call:caller}", "day": "{day}", "all": "yes & no"},
        headers={"X-Token": "Key {env:VB_TEST_TOKEN}"},
        result={"state": "/order/state", "day": "/order/days/0/name", "none": "/nothing"},
        say="It is {state}, on {day}.",
    )  # fmt: skip
    assert json.loads(tool.schema)["required"] == ["order"]
    outcome = await bench.run(tool, '{"order":"12 ü"}')
    assert outcome.say == "It is sent, on Friday."
    assert json.loads(outcome.data) == {"state": "sent", "day": "Friday", "none": None}
    (seen,) = service.seen
    assert seen.method == "GET"
    assert seen.path == "/orders/12%20%C3%BC/state?lang=en&from=%2B49%2089%201234567&all=yes%20%26%20no"
    assert seen.headers["x-token"] == "Key s3cret"
    assert "idempotency-key" not in seen.headers


async def test_a_write_carries_its_key_its_body_and_asks_the_caller_first(service, bench):
    service.answers = [(201, {}, b"created")]
    tool = made(
        url=f"{service.url}/bookings", method="POST", confirm="For {people} people?",
        arguments={"people": {"type": "integer"}, "day": {"type": "date"}, "note": {"optional": True}},
        body={"people": "{people}", "day": "{day}", "note": "{note}", "by": "{call:caller}"},
    )  # fmt: skip
    assert tool.spec().consequential
    assert (tool.idempotent, tool.retries, tool.on_hangup) == (False, 0, "complete")
    outcome = await bench.run(tool, '{"people":4,"day":"2026-12-01"}')
    assert outcome == ToolOutcome(True, ms=outcome.ms, attempts=1)
    (seen,) = service.seen
    assert seen.body == {"people": 4, "day": "2026-12-01", "by": "+49 89 1234567"}
    assert seen.headers["idempotency-key"] == f"{bench.call.call_id}-1"


@pytest.mark.parametrize("value", ["../admin", "..", "", "a/b", "http://evil.example", "x\r\nX-Evil: 1"])
async def test_no_argument_leaves_its_place(service, bench, value):
    tool = made(url=f"{service.url}/orders/{{order}}", arguments={"order": "its number"})
    outcome = await bench.run(tool, json.dumps({"order": value}))
    assert (outcome.ok, outcome.cause) == (False, "error")
    assert service.seen == []


async def test_redirects_are_not_followed(service, bench):
    service.answers = [(302, {"Location": f"{service.url}/admin"}, b"")]
    outcome = await bench.run(made(url=f"{service.url}/a"))
    assert (outcome.ok, outcome.cause, outcome.attempts) == (False, "error", 1)
    assert [seen.path for seen in service.seen] == ["/a"]


async def test_proxies_of_the_environment_are_not_used(service, bench, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    assert (await bench.run(made(url=f"{service.url}/a"))).ok


@pytest.mark.parametrize(
    ("answer", "cause", "attempts"),
    [
        ((500, {}, b""), "error", 2),
        ((429, {}, b""), "error", 2),
        ((403, {}, b"{}"), "error", 1),
        ((200, {}, b"<html>"), "invalid_result", 2),
        ((200, {}, b"[" * 100_000), "invalid_result", 2),
        ((200, {}, b'"' + b"x" * 5_000_000 + b'"'), "too_large", 2),
        ((200, {}, b'{"rows": "' + b"x" * 100_000 + b'"}'), "too_large", 2),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(b"{}")), "invalid_result", 2),
    ],
    ids=["500", "429", "403", "html", "deep", "5 MB", "100 kB", "compressed"],
)
async def test_a_bad_answer_is_a_failed_run(service, bench, quick, answer, cause, attempts):
    service.answers = [answer]
    outcome = await bench.run(made(url=f"{service.url}/a"))
    assert (outcome.ok, outcome.cause, outcome.attempts) == (False, cause, attempts)


async def test_what_is_down_for_a_moment_is_asked_again(service, bench, quick):
    service.answers = [(503, {}, b""), (200, {}, b'{"a":1}')]
    outcome = await bench.run(made(url=f"{service.url}/a"))
    assert (outcome.data, outcome.attempts) == ('{"a":1}', 2)


async def test_nobody_there_and_nobody_answering_end_in_time(service, bench, quick):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert (await bench.run(made(url=f"http://127.0.0.1:{port}/"))).cause == "error"

    def late() -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.5)
        return 200, {}, b"{}"

    service.answers = [late]
    began = time.monotonic()
    outcome = await bench.run(made(url=f"{service.url}/a", timeout_s=0.1, retries=0))
    assert outcome.cause == "timeout"
    assert time.monotonic() - began < LATE_S


async def test_what_is_not_found_is_told_in_words(service, bench):
    service.answers = [(404, {}, b"")]
    tool = made(url=f"{service.url}/a", not_found="I can't find that.")
    outcome = await bench.run(tool)
    assert outcome == ToolOutcome(False, "I can't find that.", cause="error", ms=outcome.ms, attempts=1)


async def test_one_pointer_gives_one_value_and_nothing_is_said_without_its_fields(service, bench):
    service.gives({"a": {"b": [1, 2]}})
    assert (await bench.run(made(url=f"{service.url}/", result="/a/b/1", say="It is {result}."))).say == "It is 2."
    assert (await bench.run(made(url=f"{service.url}/", result="/a", say="It is {c}."))).say == ""
    assert (await bench.run(made(url=f"{service.url}/", result="/x"))).cause == "invalid_result"


async def test_an_answer_s_text_cannot_format_itself(service, bench):
    service.gives({"state": "{env:HOME} {state}\n"})
    outcome = await bench.run(made(url=f"{service.url}/", say="It is {state}."))
    assert outcome.say == "It is {env:HOME} {state}."


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"url": "https://{host}/"}, "fixed host"),
        ({"url": "https://x.example/{order}"}, "{order} is not among its arguments"),
        ({"url": "https://x.example/", "body": {"a": ["{b}"]}}, "{b} is not among"),
        ({"url": "https://x.example/", "query": {"q": "{b}"}}, "{b} is not among"),
        ({"url": "https://x.example/{o}", "arguments": {"o": {"optional": True}}}, "cannot be optional"),
        ({"url": "https://x.example/", "arguments": {"o": "x"}, "headers": {"A": "{o}"}}, "cannot stand in headers"),
        ({"url": "https://x.example/", "headers": {"A": "{env:VB_NOT_SET}"}}, "VB_NOT_SET"),
        ({"url": "https://x.example/", "result": "order/state"}, "JSON pointer"),
        ({"url": "https://x.example/", "colour": "red"}, "colour"),
        ({"url": "https://x.example/", "method": "STEAL"}, "method"),
        ({"url": "https://x.example/", "arguments": {"o": {"type": "money"}}}, "arguments"),
        ({"url": "https://x.example/", "ca_file": "/nowhere.pem"}, "ca_file"),
        ({"url": "https://x.example/", "confirm": "{what}?"}, "confirm"),
        ({"url": "https://x.example/", "method": "POST", "retries": 2}, "idempotent"),
        ({}, "url"),
        ("https://x.example/", "ask"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_settings_that_cannot_work_are_refused_with_the_tool_s_name(settings, why):
    with pytest.raises(SetupError, match=f"(?s)ask: .*{why}|{why}: .*"):
        HTTP_REQUEST.create({"ask": settings})


def test_every_table_makes_a_tool():
    tools = HTTP_REQUEST.create({"a": {"url": "http://x.example/"}, "b": {"url": "http://x.example/"}})
    assert [tool.name for tool in tools] == ["a", "b"]
    assert HTTP_REQUEST.create({}) == []


async def test_an_argument_may_have_any_name(service, bench):
    arguments = {name: "x" for name in ("self", "context", "arguments")}
    tool = made(url=f"{service.url}/", arguments=arguments, query={name: f"{{{name}}}" for name in arguments})
    assert (await bench.run(tool, json.dumps(dict.fromkeys(arguments, "1")))).ok
    assert service.seen[0].path == "/?self=1&context=1&arguments=1"


async def test_a_cancelled_request_is_given_up(service, bench):
    call = dataclasses.replace(bench.call, tools=frozenset({"ask"}))
    runner = bench.runner(made(url=f"{service.url}/", cancellable=True))
    outcome = await runner.run(call, 1, "ask", "{}")
    assert outcome.ok
    assert not runner.cancel(call.call_id, 1), "it is over"
