"""Say or call, read from a stream however it is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.toolspec import ToolCall
from voicebridge.engines.decision import MAX_CALL_CHARS, BrokenCall, Decision, call_in, call_text, tool_call

CALL = 'call {"name": "book", "arguments": {"day": "2026-12-01", "people": 2}}'
BOOK = ToolCall("book", '{"day": "2026-12-01", "people": 2}')


def read(pieces: list[str]) -> tuple[str, ToolCall | None]:
    decision = Decision()
    said = "".join(decision.feed(piece) for piece in pieces)
    rest, call = decision.finish()
    return said + rest, call


def result(pieces: list[str]) -> object:
    try:
        return read(pieces)
    except BrokenCall as error:
        return str(error)


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places})
    return [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True)]


BITS = st.sampled_from(["say", "call", "say ", "call ", " ", "\n", "{", "}", "Hi", "s", "ca", CALL, '"', "ä", "c"])


@given(st.one_of(st.text(), st.lists(BITS, max_size=6).map("".join)), st.lists(st.integers(0, 200), max_size=9))
def test_any_cut_gives_the_same(text: str, places: list[int]) -> None:
    pieces = cut(text, places)
    assert "".join(pieces) == text
    assert result(pieces) == result([text]) == result(list(text))


@given(st.text(), st.sampled_from(["", " ", "\n ", "  "]))
def test_what_is_said_comes_whole_without_what_leads_it(words: str, lead: str) -> None:
    assert read([f"{lead}say {words}"]) == (words.lstrip(), None)


@given(st.text(min_size=1, max_size=20), st.dictionaries(st.text(), st.integers() | st.text(), max_size=4))
def test_a_call_comes_back_as_it_was_written(name: str, arguments: dict[str, object]) -> None:
    text = json.dumps(arguments, ensure_ascii=False)
    try:
        text.encode(), name.encode()
    except UnicodeEncodeError:
        return
    call = ToolCall(name, text)
    assert read(list(call_text(call))) == ("", call)
    assert call_in(call_text(call)) == call


def test_words_come_at_once() -> None:
    decision = Decision()
    assert [decision.feed(piece) for piece in ("s", "ay", " We", " are", " open")] == ["", "", "We", " are", " open"]
    assert decision.kind == "say"
    assert decision.finish() == ("", None)


def test_of_a_call_nothing_is_said() -> None:
    decision = Decision()
    assert [decision.feed(piece) for piece in list(CALL)] == [""] * len(CALL)
    assert decision.kind == "call"
    assert decision.finish() == ("", BOOK)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("We are open.", "We are open."),
        ("call me later", "call me later"),
        ("callous words", "callous words"),
        ("sayonara", "sayonara"),
        ("  \n Hello", "Hello"),
        ("say", ""),
        ("", ""),
        ("s", "s"),
        ("say\nYes", "Yes"),
        ("say say yes", "say yes"),
        ("say call {", "call {"),
    ],
)
def test_who_does_not_call_has_spoken(text: str, words: str) -> None:
    assert read([text]) == (words, None)


@pytest.mark.parametrize(
    "text",
    [
        "call",
        "call ",
        "call {",
        CALL[:-1],
        CALL + " and more",
        'call {"arguments": {}}',
        'call {"name": "", "arguments": {}}',
        'call {"name": 7, "arguments": {}}',
        'call {"name": "x", "arguments": [1]}',
        'call {"name": "x", "arguments": "no"}',
        'call {"name": "x", "arguments": {"n": NaN}}',
        'call {"name": "x", "arguments": {"n": -Infinity}}',
        'call {"name": "x", "arguments": {"n": "\\ud800"}}',
        'call {"name": "x", "arguments": {"n": ' + "9" * 5000 + "}}",
        'call {"name": "x", "arguments": {"n": ' + "[" * 4000 + "}}",
        'call {"name": "x", "arguments": {"n": "' + "x" * MAX_CALL_CHARS + '"}}',
        "call {'name': 'x'}",
    ],
    ids=range(17),
)
def test_a_broken_call_is_told_without_its_words(text: str) -> None:
    with pytest.raises(BrokenCall) as raised:
        read(list(text))
    assert len(str(raised.value)) < 80


@pytest.mark.parametrize("arguments", [None, {}, "", "{}"])
def test_a_call_without_arguments(arguments: object) -> None:
    assert tool_call("now", arguments) == ToolCall("now", "{}")
    assert read(['call{"name":"now"}']) == ("", ToolCall("now", "{}"))


def test_an_answer_that_goes_on_keeps_its_blank() -> None:
    decision = Decision("say")
    assert decision.feed(" nine o'clock") == " nine o'clock"
    assert decision.feed(CALL) == CALL
    assert decision.finish() == ("", None)


@pytest.mark.parametrize("text", ["We call you", "call", CALL[:-2], "", "say call {}"])
def test_words_are_no_call(text: str) -> None:
    assert call_in(text) is None
