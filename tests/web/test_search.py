"""From the search form to a query and to an address without the caller's number."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import parse_qsl, urlsplit

import pytest

from voicebridge.trace.rows import Query
from voicebridge.web import search


def test_all_fields_reach_the_query():
    numbers = search.Numbers()
    fields = {
        "since": "2026-07-01", "until": "2026-07-02", "agent": "northgate", "outcome": "transfer", "text": " parking ",
        "min_gap": "1,5", "problems": "1", "who": numbers.word("+15550142"),
    }  # fmt: skip
    assert search.query(fields, numbers, page=3) == Query(
        since=datetime(2026, 7, 1).timestamp(), until=datetime(2026, 7, 3).timestamp(), agent="northgate",
        outcome="transfer", text="parking", caller="+15550142", min_gap_s=1.5, problems=True, limit=search.PER_PAGE,
        offset=2 * search.PER_PAGE,
    )  # fmt: skip


def test_nothing_typed_restricts_nothing():
    assert search.query({}, search.Numbers()) == Query(limit=search.PER_PAGE)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"min_gap": "long"}, "in seconds"),
        ({"since": "1.7.2026"}, "2026-07-31"),
        ({"until": "9999-12-31"}, "2026-07-31"),
        ({"who": "forgotten"}, "not remembered"),
    ],
    ids=["gap", "day", "too_late", "number"],
)
def test_what_cannot_be_searched_for_is_said(fields, told):
    with pytest.raises(search.SearchError, match=told):
        search.query(fields, search.Numbers())


def test_an_address_brings_the_fields_back_and_holds_no_number():
    address = search.address({"text": "a b&c", "caller": "+15550142", "who": "word", "agent": "", "csrf": "x"}, page=2)
    assert dict(parse_qsl(urlsplit(address).query)) == {"text": "a b&c", "who": "word", "page": "2"}
    assert search.address({}) == "/calls"


def test_numbers_are_forgotten_in_the_end():
    numbers = search.Numbers()
    first = numbers.word("1")
    words = [numbers.word(str(n)) for n in range(600)]
    assert numbers.number(first) == "" and numbers.number(words[-1]) == "599"
