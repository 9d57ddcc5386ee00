"""Placeholders and secrets of configured tools."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.tools import SetupError, ToolContext
from voicebridge.tools.document import Document
from voicebridge.tools.template import parse, secret, values_of


def context() -> ToolContext:
    now = datetime(2026, 12, 1, tzinfo=UTC)
    return ToolContext("t", "c-1", "desk", "en", "+4989", "100", {}, "c-1-7", 0.0, Path(), lambda: now, print)


def test_arguments_and_facts_of_the_call_are_put_in():
    template = parse("{name} calls {call:dialled} from {call:caller} ({call:key}) {{x}}", "say")
    assert template.arguments == {"name"}
    values = values_of(context(), {"name": "Anna"})
    assert template.render(values) == "Anna calls 100 from +4989 (c-1-7) {x}"


def test_only_placeholders_are_escaped():
    assert parse("a b/{x}", "url").render({"x": "c d"}, lambda text: text.replace(" ", "%20")) == "a b/c%20d"


def test_secrets_are_read_ahead_from_environment_and_file(tmp_path, monkeypatch):
    monkeypatch.setenv("VB_TEST_TOKEN", "s3cret")
    (tmp_path / "token").write_text("other\n")
    template = parse("Bearer {env:VB_TEST_TOKEN} {file:" + str(tmp_path / "token") + "}", "headers.Authorization")
    monkeypatch.delenv("VB_TEST_TOKEN")
    assert template.render({}) == "Bearer s3cret other"
    assert template.arguments == set()


def test_the_text_of_a_secret_is_no_template(monkeypatch):
    monkeypatch.setenv("VB_TEST_TOKEN", "{call:caller}")
    assert secret("{env:VB_TEST_TOKEN}", "h") == "{call:caller}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{env:VB_NOT_SET}", "VB_NOT_SET is empty or not set"),
        ("{file:/nowhere/token}", "/nowhere/token cannot be read"),
        ("{call:pin}", "a call has no 'pin'"),
        ("{exec:ls}", "before the colon stands"),
        ("{a b}", "is no placeholder"),
        ("{}", "is no placeholder"),
        ("{x", "without its partner"),
        ("x}", "without its partner"),
    ],
)
def test_what_cannot_be_filled_is_named_with_its_place(text, why):
    with pytest.raises(SetupError, match=f"headers.X: .*{why}"):
        parse(text, "headers.X")


def test_a_secret_of_two_lines_is_refused(tmp_path):
    (tmp_path / "token").write_text("a\r\nX-Evil: b")
    with pytest.raises(SetupError, match="more than one line"):
        secret("{file:" + str(tmp_path / "token") + "}", "headers.X")


def test_a_setting_takes_secrets_only():
    with pytest.raises(SetupError, match="only"):
        secret("{name}", "headers.X")


@given(st.text(max_size=60))
def test_any_text_is_a_template_or_refused(text):
    try:
        parse(text.replace("env:", "").replace("file:", ""), "x").render({})
    except SetupError:
        assert "{" in text or "}" in text


@given(st.text(max_size=40))
def test_doubled_braces_are_the_text_itself(text):
    assert parse(text.replace("{", "{{").replace("}", "}}"), "x").render({}) == text


def test_a_document_keeps_types_and_leaves_out_what_was_not_given():
    body = Document.of({
        "day": "{day}", "people": "{people}", "vip": "{vip}", "note": "{note}", "by": "phone: {call:caller}", "n": 3,
        "lines": [{"text": "for {name}"}], "empty": None,
    })  # fmt: skip
    assert body.arguments == {"day", "people", "vip", "note", "name"}
    arguments = {"day": date(2026, 12, 1), "people": 4, "vip": False, "name": 'A"nna'}
    assert body.render(values_of(context(), arguments), arguments) == {
        "day": "2026-12-01", "people": 4, "vip": False, "by": "phone: +4989", "n": 3, "lines": [{"text": 'for A"nna'}],
        "empty": None,
    }  # fmt: skip
