"""Test calls are known by their ids, and count in no review."""

from __future__ import annotations

from uuid import uuid4

from voicebridge.trace.record import is_test, new_test_id, origin
from voicebridge.trace.review import review


def test_ids_of_test_calls_are_uuids_that_no_pbx_makes():
    made = [new_test_id() for _ in range(50)]
    assert len(set(made)) == 50
    assert {one.version for one in made} == {8}
    assert all(is_test({"call_id": str(one)}) for one in made)
    assert not any(is_test({"call_id": str(uuid4())}) for _ in range(50))
    assert not is_test({})


def test_a_review_is_of_callers():
    real, test = ({"call_id": str(one), "began_at": 5.0, "turns": []} for one in (uuid4(), new_test_id()))
    assert review([real, test], since=0.0, until=9.0).calls == 1


def test_a_record_says_where_it_was_made():
    assert origin()["version"] == 2
    assert origin()["node"]
