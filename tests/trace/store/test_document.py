"""Whatever a document holds, the rows taken from it are such that every database takes them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebridge.trace.store.database import StoreError
from voicebridge.trace.store.document import INT_MAX, dumped, loaded, rows
from voicebridge.trace.store.schema import metadata

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PARTS = ("text", "tool", "ms", "ok", "attempts", "state", "target", "cause", "name", "actor", "from", "to", "at")
parts = st.lists(st.dictionaries(st.sampled_from(PARTS), values, max_size=4) | values, max_size=2)
TURN = ("turn", "caller", "said", "gap_s", "slow", "tools", "handoffs", "spans", "troubles", "moves", "cut_off")
turns = st.dictionaries(st.sampled_from(TURN), values | parts, max_size=5)
FIELDS = ("began_at", "seconds", "agent", "caller", "dialled", "outcome", "target", "turns", "node", "caller_key")
records = st.dictionaries(st.sampled_from(FIELDS), values | st.lists(turns, max_size=2), max_size=6)


@settings(max_examples=150, deadline=None)
@given(record=records)
def test_any_document_gives_rows_that_fit_their_columns(record):
    made = rows("id", record, now=5.0)
    found = loaded("id", dumped(record))
    assert loaded("id", dumped(found)) == found
    assert dumped(record).isascii() and "\0" not in dumped(record)
    for table, some in {"calls": [made.call], **made.parts}.items():
        columns = metadata.tables[table].columns
        for row in some:
            assert set(row) == set(columns.keys()) - {"id", "document"}
            for name, value in row.items():
                check(columns[name], value)


def check(column: Any, value: Any) -> None:
    if value is None:
        assert column.nullable
        return
    assert type(value) is column.type.python_type
    if isinstance(value, str):
        assert "\0" not in value
        value.encode()
        assert (column.type.length or math.inf) >= len(value)
    elif isinstance(value, float):
        assert math.isfinite(value)
    elif type(value) is int:
        assert abs(value) <= INT_MAX


def test_the_greeting_is_no_turn_of_the_conversation():
    made = rows("id", {"turns": [{"turn": 0}, {"turn": 1}, {"turn": 2}]}, now=5.0)
    assert (made.call["turns"], len(made.parts["turns"])) == (2, 3)


def test_what_cannot_be_a_column_is_left_to_the_document():
    record = {"agent": "a" * 5_000, "began_at": "yesterday", "turns": [{"turn": 2**70, "gap_s": float("inf")}, 7, None]}
    made = rows("id", record, now=5.0)
    call = made.call
    assert (len(call["agent"]), call["began_at"], call["turns"], call["gap_max"]) == (200, 5.0, 0, None)
    assert made.parts["turns"][0]["turn"] == 0


def test_the_key_of_a_record_wins_over_one_that_is_worked_out():
    assert rows("id", {"caller_key": "own"}, now=0.0, caller_key="made").call["caller_key"] == "own"
    assert rows("id", {}, now=0.0, caller_key="made").call["caller_key"] == "made"


def test_a_damaged_document_is_named_by_its_call():
    with pytest.raises(StoreError, match="record of call abc is damaged"):
        loaded("abc", json.dumps({})[:-1])
