"""A record of before, or a damaged one, is shown as far as it goes, and hides no other."""

from __future__ import annotations

import copy
import json
import random

import pytest
from rich.console import Console

from bench.pretence import the_call, the_slow_call
from voicebridge.cli.export import COLUMNS, _rows
from voicebridge.trace.render import show_call
from voicebridge.trace.review import review
from voicebridge.trace.store.database import DamagedRecordError
from voicebridge.trace.store.document import dumped, loaded, rows
from voicebridge.trace.store.mending import mended
from voicebridge.web import view

NOW = 1_796_000_000.0
WRONG = (None, "word", -1, 1e300, float("nan"), [], {}, True, [None], {"a": 1}, "\ud83d", [[]], 7)


def places(value, path=()):
    """Every part of a record, by the keys that lead there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def damaged(record, dice):
    """With one part gone or of another kind."""
    made = copy.deepcopy(record)
    *way, last = dice.choice(list(places(made)))
    inner = made
    for key in way:
        inner = inner[key]
    if isinstance(inner, dict) and dice.random() < 0.4:
        del inner[last]
    else:
        inner[last] = dice.choice(WRONG)
    return made


def read_by_all(record):
    """What the dashboard, the terminal, the report and spreadsheets do with it."""
    for turn in record["turns"]:
        view.turn_view(turn, record.get("engines") or {})
    [view.moment(record["began_at"]), *view.facts(record)]
    console = Console(quiet=True)
    show_call(console, record)
    review([record], since=0.0, until=NOW * 2, bucket_s=1e9, origin=0.0).as_dict()
    assert all(row.keys() <= set(COLUMNS) for row in _rows(record))
    json.dumps(record, allow_nan=False)
    json.dumps(record, ensure_ascii=False).encode()


@pytest.mark.parametrize("record", [the_call(NOW), the_slow_call(NOW)], ids=["full", "slow"])
def test_a_sound_record_stays_as_it_is(record):
    assert mended("x", record) == record
    read_by_all(mended("x", record))


def test_whatever_part_is_damaged_every_reader_shows_the_rest():
    dice, whole = random.Random(5), the_call(NOW)
    for _ in range(60):
        torn = damaged(whole, dice)
        rows(whole["call_id"], torn, now=NOW)
        read_by_all(loaded(whole["call_id"], dumped(torn)))


@pytest.mark.parametrize("record", [
    {}, {"turns": None}, {"turns": "abc"}, {"turns": [{}, 1, None]}, {"began_at": 1e18}, {"began_at": -1e12},
    {"turns": [{"turn": 1, "handoffs": ["offered 100", "failed 100 busy"], "said": None}]},
], ids=str)  # fmt: skip
def test_a_record_with_little_in_it_is_one(record):
    made = mended("the id", record)
    assert made["call_id"] == "the id" and made["began_at"] == 0.0 and made["outcome"] == ""
    read_by_all(made)


@pytest.mark.parametrize("document", ["null", "[]", "3", "{", "[" * 100_000], ids=lambda text: text[:4])
def test_what_is_no_record_is_named_by_its_call(document):
    with pytest.raises(DamagedRecordError, match="record of call abc is damaged"):
        loaded("abc", document)


def test_a_time_that_cannot_be_is_not_what_calls_are_listed_by():
    assert [rows("id", {"began_at": at}, now=5.0).call["began_at"] for at in (1e18, -3.0, NOW)] == [5.0, 5.0, NOW]
