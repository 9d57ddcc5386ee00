"""What agrees with what; the rest of judging is tried on whole calls in test_virtual."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.scenario.format import CallScript
from voicebridge.scenario.observation import Mark, Observation, Said
from voicebridge.scenario.verdict import agrees, answer_gap, judge

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("wanted", "got", "agree"),
    [
        ({}, {"a": 1}, True), ({"a": 1}, {"a": 1, "b": 2}, True), ({"a": 1}, {"b": 1}, False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True), ({"a": {"b": 1}}, {"a": 1}, False),
        (4, "4", True), ("4", 4, True), ("Anna", "anna", True), ("Anna", "Anne", False),
        ([1, 2], [1, 2], True), ([1, 2], [2, 1], False), ([1], [1, 2], False), ([{"a": 1}], [{"a": 1, "b": 1}], True),
        (True, True, True), (True, "true", False), (True, 1, False), (None, None, True), (None, "None", False),
        ("2026-12-01", "2026-12-01", True), ({"a": 1}, "text", False),
    ],
    ids=range(20),
)  # fmt: skip
def test_a_part_of_the_arguments_agrees(wanted, got, agree):
    assert agrees(wanted, got) is agree


@given(JSON)
def test_everything_agrees_with_itself(value):
    assert agrees(value, value)


def test_fillers_are_no_answer():
    seen = Observation(
        said=[Said("filler", "One moment.", 2.0), Said("answer", "Nine to five.", 3.0)],
        sounds=[(2.0, 2.5), (3.1, 4.0)],
        until=9.0,
    )
    assert answer_gap(seen, Mark(0, 0.0, 1.0), 9.0) == pytest.approx(2.1)
    assert answer_gap(seen, Mark(0, 0.0, 3.5), 9.0) is None


def test_a_call_in_trouble_fails_although_nothing_is_expected_of_it():
    call = CallScript.model_validate({"name": "a", "steps": [{"caller": "hello"}]})
    seen = Observation(marks=[Mark(-1, 0, 0), Mark(0, 1, 2)], trouble="the agent has not come to rest")
    (failure,) = judge(call, seen)
    assert (failure.what, failure.got) == ("step", "the agent has not come to rest")


def test_a_leg_that_is_gone_is_told():
    call = CallScript.model_validate({"name": "a", "steps": [{"caller": "hello"}]})
    (failure,) = judge(call, Observation(marks=[Mark(-1, 0, 0)], closed=(1.0, "dropped")))
    assert failure.got == "the call was over (dropped)"
