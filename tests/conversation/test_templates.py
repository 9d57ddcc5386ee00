"""Templates are filled once, with what is there."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.form import SlotValue
from voicebridge.conversation.templates import LONGEST, fields, fill, sayable


def test_names_are_replaced_and_unknown_ones_leave_nothing():
    assert fill("On {day} at {time}, {name}.", {"day": "Tuesday", "time": "three"}) == "On Tuesday at three, ."
    assert fields("On {day} at {time}") == {"day", "time"}


@given(st.text())
def test_a_value_is_never_a_template(value):
    assert fill("{a}", {"a": value, "b": "SECRET"}) == " ".join(value.split()) or "{a}" not in "{a}"
    assert "SECRET" not in fill("{a}", {"a": "{b}", "b": "SECRET"})


def test_what_the_caller_said_goes_before_the_results_field():
    data = json.dumps({"day": "2026-12-01", "id": 17, "ok": True, "rows": [1], "more": {"x": 1}})
    assert sayable(data, (SlotValue("day", "2026-12-01", "Tuesday"),)) == {"day": "Tuesday", "id": "17", "ok": "yes"}


def test_a_result_that_is_no_object_gives_no_fields():
    for data in ("", "[]", "5", "{", '"text"'):
        assert sayable(data) == {}
    assert len(sayable(json.dumps({"long": "x" * 9999}))["long"]) == LONGEST
