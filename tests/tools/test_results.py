"""Whatever a tool returns becomes bounded JSON or is refused; the cost of finding out is bounded too."""

from __future__ import annotations

import dataclasses
import json
import time
from datetime import date, datetime
from datetime import time as clock
from decimal import Decimal
from enum import Enum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from voicebridge.tools.results import BadResult, TooLarge, one_line, shorten, to_json

LIMIT = 2000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=10), inner, max_size=6),
    max_leaves=30,
)  # fmt: skip


class Colour(Enum):
    RED = "red"


@dataclasses.dataclass
class Order:
    number: int
    day: date


class Model(BaseModel):
    at: datetime
    colour: Colour


@given(JSON)
def test_json_survives_as_it_is(value):
    try:
        text = to_json(value, LIMIT)
    except TooLarge:
        assert len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()) > LIMIT
    else:
        assert json.loads(text) == value
        assert len(text.encode()) <= LIMIT


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Order(7, date(2026, 12, 1)), '{"number":7,"day":"2026-12-01"}'),
        (Model(at=datetime(2026, 12, 1, 9, 30), colour=Colour.RED), '{"at":"2026-12-01T09:30:00","colour":"red"}'),
        ({"at": clock(9, 5), "price": Decimal("9.90")}, '{"at":"09:05:00","price":"9.90"}'),
        ({Colour.RED: (1, 2), 3: {4}}, '{"red":[1,2],"3":[4]}'),
        ({"id": UUID(int=1)}, '{"id":"00000000-0000-0000-0000-000000000001"}'),
        ("a\ud800b", '"a?b"'),
    ],
    ids=["dataclass", "pydantic", "time and decimal", "keys and sets", "uuid", "lone surrogate"],
)
def test_what_python_has_and_json_has_not_is_written_as_people_write_it(value, text):
    assert to_json(value, LIMIT) == text


def myself() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [object(), b"bytes", lambda: None, float("nan"), float("inf"), 10**5000, {"deep": myself()}, {(1, 2): 3}, Order],
    ids=["object", "bytes", "function", "nan", "inf", "huge number", "itself", "tuple as key", "a class"],
)
def test_what_is_no_data_is_refused(value):
    with pytest.raises(BadResult):
        to_json(value, 10**6)


@pytest.mark.parametrize(
    "value",
    ["x" * 5_000_000, ["x"] * 5_000_000, {n: n for n in range(1_000_000)}, [[0] * 1000] * 1000],
    ids=["one text", "many texts", "many keys", "lists"],
)
def test_five_megabytes_are_refused_without_reading_them(value):
    began = time.perf_counter()
    with pytest.raises(TooLarge):
        to_json(value, 16_384)
    assert time.perf_counter() - began < 0.5


@given(st.text(max_size=400), st.integers(10, 80))
def test_one_line_is_one_line_and_short(text, limit):
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line == " ".join(line.split())
    assert not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in line)


def test_words_are_cut_at_the_end_of_a_sentence_or_a_word():
    assert one_line("We are open. We close at five. " * 5, 40) == "We are open. We close at five."
    assert one_line("antidisestablishment and more words follow", 25) == "antidisestablishment and"
    assert one_line("  a\r\nb\x00c ", 40) == "a b c"


@given(JSON, st.integers(200, 600))
def test_a_result_that_is_too_long_for_the_model_loses_tails_and_stays_json(value, limit):
    text = to_json(value, 10**6)
    try:
        short = shorten(text, limit)
    except TooLarge:
        return
    assert len(short.encode()) <= limit
    json.loads(short)
    if len(text.encode()) <= limit:
        assert short == text


def test_short_facts_stay_when_a_long_list_is_shortened():
    text = to_json({"found": 400, "rows": [{"name": f"row {n}", "note": "x" * 30} for n in range(400)]}, 10**6)
    made = json.loads(shorten(text, 2000))
    assert made["found"] == 400
    assert made["rows"][0] == {"name": "row 0", "note": "x" * 30}
    assert made["rows"][-1].endswith(" more")


def test_what_cannot_be_shortened_is_too_large():
    with pytest.raises(TooLarge):
        shorten(json.dumps({f"key {n}": n for n in range(400)}), 500)
