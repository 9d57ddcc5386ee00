"""From arguments in JSON to values: what fits comes through as its type, nothing else comes through, nothing raises."""

from __future__ import annotations

import enum
import json
from datetime import date, datetime, time
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from voicebridge.tools import Parameter, Tool
from voicebridge.tools.schema import BadArguments


class Size(enum.Enum):
    SMALL = "small"
    LARGE = "large"


KINDS: dict[str, tuple[Any, st.SearchStrategy[Any], Any]] = {
    "int": (int, st.integers(-(10**12), 10**12), lambda value: value),
    "float": (float, st.floats(allow_nan=False, allow_infinity=False), lambda value: value),
    "bool": (bool, st.booleans(), lambda value: value),
    "str": (str, st.text(st.characters(codec="utf-8"), max_size=50), lambda value: value),
    "date": (date, st.dates(), lambda value: value.isoformat()),
    "time": (time, st.times(), lambda value: value.isoformat()),
    "datetime": (datetime, st.datetimes(), lambda value: value.isoformat()),
    "choice": (Literal["a", "b"], st.sampled_from(["a", "b"]), lambda value: value),
    "enum": (Size, st.sampled_from(Size), lambda value: value.value),
    "bounded": (Annotated[int, Field(ge=1, le=8)], st.integers(1, 8), lambda value: value),
    "optional": (date | None, st.none() | st.dates(), lambda value: value and value.isoformat()),
    "list": (list[date], st.lists(st.dates(), max_size=4), lambda value: [day.isoformat() for day in value]),
}
EVERY = Tool.of(lambda **given: given, [Parameter(name, kind[0], None) for name, kind in KINDS.items()], name="every")
STRICT = Tool.of(lambda **given: given, [Parameter("day", date), Parameter("count", int, 1)], name="strict")


@pytest.mark.parametrize("name", KINDS)
@given(data=st.data())
def test_every_value_of_a_type_comes_through_as_it_was(name, data):
    _, strategy, written = KINDS[name]
    value = data.draw(strategy)
    assert EVERY.parse(json.dumps({name: written(value)})) == {name: value}


@given(st.text(max_size=200))
def test_any_text_is_arguments_or_bad_arguments(text):
    try:
        STRICT.parse(text)
    except BadArguments as error:
        assert error.where
        json.loads(error.told())
    else:
        assert json.loads(text)["day"]


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner) |
                    st.dictionaries(st.sampled_from([*KINDS, "more"]), inner), max_leaves=10))  # fmt: skip
def test_any_json_is_arguments_or_bad_arguments(value):
    try:
        got = EVERY.parse(json.dumps(value))
    except BadArguments:
        return
    assert set(got) <= set(KINDS)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("{}", "day"),
        ("", "day"),
        ('{"day": "20261201"}', "day"),
        ('{"day": 1700000000}', "day"),
        ('{"day": "tomorrow"}', "day"),
        ('{"day": "2026-02-30"}', "day"),
        ('{"day": null}', "day"),
        ('{"day": "2026-12-01", "count": "many"}', "count"),
        ('{"day": "2026-12-01", "target": "0900"}', "target"),
        ("[]", "arguments"),
        ("call me", "arguments"),
        ('{"day": "2026-12-01"', "arguments"),
        ("[" * 100_00, "arguments"),
        (json.dumps({"day": "x" * 20_000}), "arguments"),
    ],
    ids=[
        "missing", "empty", "digits", "number", "words", "no such day", "null", "no number", "extra", "list", "prose",
        "cut", "deep", "long",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_without_the_value(text, where):
    with pytest.raises(BadArguments) as caught:
        STRICT.parse(text)
    assert caught.value.where == [where]
    assert "tomorrow" not in caught.value.told()
    assert "1700000000" not in caught.value.told()


def test_what_was_not_given_is_left_to_the_function_s_default():
    assert STRICT.parse('{"day": "2026-12-01"}') == {"day": date(2026, 12, 1)}


def test_callers_words_for_numbers_and_yes_fit():
    assert EVERY.parse('{"int": "4", "bool": "yes", "str": 5550142}') == {"int": 4, "bool": True, "str": "5550142"}
