"""What the dashboard and the command line ask of the store, on both databases."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voicebridge.config import load
from voicebridge.trace.rows import Query
from voicebridge.trace.store import Calls, CallStore, NoStoreError, NoSuchCallError, StoreError, open_calls, reader
from voicebridge.trace.store.document import dumped, loaded
from voicebridge.trace.store.mending import mended


def call_id(number: int) -> str:
    return str(UUID(int=number))


def record(number: int, **more: Any) -> dict[str, Any]:
    turn = {"turn": 1, "caller": "Wo ist die Straße?", "gap_s": 0.4, "said": [{"text": "Dort, 100% sicher."}]}
    return {
        "version": 2, "call_id": call_id(number), "agent": "desk", "caller": "***42", "began_at": 1000.0 + number,
        "seconds": 12.5, "outcome": "hangup", "ended_by": "caller", "target": "", "dialled": "100", "turns": [turn],
        **more,
    }  # fmt: skip


def turn(**parts: Any) -> dict[str, Any]:
    return {"turn": 1, "caller": "", "said": [], "gap_s": None, **parts}


@pytest.fixture
def kept(url, tmp_path):
    """Keep records, then look at them."""
    store = CallStore(tmp_path, keep_days=1, url=url)
    store.prepare()

    def keep(*records: dict[str, Any]) -> Calls:
        for made in records:
            store.write(str(made["call_id"]), made)
        assert store.flush()
        return Calls(tmp_path, url)

    yield keep
    store.close()


def numbers(calls: Calls, **query: Any) -> list[int]:
    page = calls.find(Query(**query))
    return [UUID(row.call_id).int for row in page.calls]


def test_a_row_tells_what_a_list_shows(kept):
    turns = [turn(gap_s=0.5), turn(gap_s=2.0, slow={"actor": "tool"}), turn(), turn(gap_s=0.6)]
    calls = kept(record(1, turns=turns, outcome="transfer", target="sales"))
    (row,) = calls.find(Query()).calls
    assert (row.call_id, row.began_at, row.seconds, row.agent) == (call_id(1), 1001.0, 12.5, "desk")
    assert (row.caller, row.dialled, row.outcome, row.ended_by, row.target) == (
        "***42", "100", "transfer", "caller", "sales")  # fmt: skip
    assert (row.turns, row.gap_p50, row.gap_max, row.problems, row.recorded) == (4, 0.6, 2.0, 1, False)


def test_a_call_in_which_nothing_was_answered_has_no_gap(kept):
    (row,) = kept(record(1, turns=[])).find(Query()).calls
    assert (row.turns, row.gap_p50, row.gap_max, row.problems) == (0, None, None, 0)


def test_newest_first_a_page_at_a_time_with_the_total(kept):
    calls = kept(*(record(number, began_at=1000.0 + number // 2) for number in (3, 1, 4, 2, 5)))
    assert numbers(calls) == [5, 4, 2, 3, 1]  # of one second the one written later comes first
    page = calls.find(Query(limit=2, offset=2))
    assert ([UUID(row.call_id).int for row in page.calls], page.total) == ([2, 3], 5)
    assert calls.find(Query(offset=9)).calls == () and calls.find(Query(offset=9)).total == 5


RESTRICTIONS = (
    ({"since": 1003.0}, [4, 3]),
    ({"until": 1003.0}, [2, 1]),
    ({"since": 1002.0, "until": 1003.0}, [2]),
    ({"agent": "other"}, [2]),
    ({"agent": "OTHER"}, []),
    ({"outcome": "transfer"}, [3]),
    ({"ended_by": "rule_goodbye"}, [4]),
    ({"min_gap_s": 0.4}, [4, 3, 2, 1]),
    ({"min_gap_s": 0.9}, [3]),
    ({"agent": "desk", "outcome": "transfer", "until": 1003.5}, [3]),
    ({"agent": "' OR 1=1 --"}, []),
)


def test_each_restriction_restricts(kept):
    calls = kept(
        record(1),
        record(2, agent="other"),
        record(3, outcome="transfer", turns=[turn(gap_s=0.9)]),
        record(4, ended_by="rule_goodbye"),
    )
    assert [numbers(calls, **query) for query, _ in RESTRICTIONS] == [found for _, found in RESTRICTIONS]


WORDS = (
    ("straße", True), ("STRASSE", True), ("dort wo", True), ("Wo Berlin", False), ("100%", True), ("1%c", False),
    ("100_", False), ("\\", False), ("'", False), ("sich", True),
)  # fmt: skip


def test_words_are_found_in_what_both_said_whatever_their_case(kept):
    calls = kept(record(1))
    assert {words: numbers(calls, text=words) == [1] for words, _ in WORDS} == dict(WORDS)


PROBLEMS = (
    ({"tools": [{"tool": "t", "ok": False, "ms": 3, "cause": "timeout"}, {"tool": "t", "ok": True, "ms": 1}]}, 1),
    ({"tools": [{"tool": "t", "ok": False, "ms": None, "cause": ""}]}, 0),  # it still ran
    ({"troubles": ["TranscriptFailed: timeout"]}, 1),
    ({"moves": [{"kind": "stt", "from": "a", "to": "b"}]}, 1),
    ({"handoffs": [{"at": 1.0, "state": "done", "target": "sales", "cause": ""}]}, 1),
    ({"handoffs": ["started sales", "done sales"]}, 1),
    ({"gap_s": 1.6}, 1),
    ({"gap_s": 1.5}, 0),
    ({}, 0),
)


def test_what_a_problem_is(kept):
    calls = kept(*(record(number, turns=[turn(**part)]) for number, (part, _) in enumerate(PROBLEMS)))
    assert [row.problems for row in reversed(calls.find(Query()).calls)] == [problems for _, problems in PROBLEMS]
    assert numbers(calls, problems=True) == [number for number, (_, some) in enumerate(PROBLEMS) if some][::-1]


def test_a_caller_is_found_by_his_whole_number_however_it_is_written(kept, tmp_path):
    from voicebridge.trace.store.callers import caller_key

    key = caller_key(tmp_path, "+49 30 1234567")
    calls = kept(record(1, caller_key=key), record(2, caller_key=""), record(3, caller="0049301234567"))
    assert numbers(calls, caller="0049 30 1234567") == [3, 1]
    assert numbers(calls, caller="1234567") == []


def test_a_record_is_read_and_one_that_is_not_there_told(kept):
    calls = kept(record(1))
    assert calls.record(call_id(1)) == mended("", record(1))
    with pytest.raises(NoSuchCallError, match="unknown, or past its retention"):
        calls.record(call_id(2))
    assert calls.matching(call_id(1)[:8]) == [call_id(1)] and calls.matching("%") == []


def test_records_stream_oldest_first_each_once(kept, monkeypatch):
    monkeypatch.setattr(reader, "STREAM_ROWS", 3)
    calls = kept(*(record(number, began_at=1000.0 + number // 4, agent="ab"[number % 2]) for number in range(1, 12)))
    assert [UUID(made["call_id"]).int for made in calls.records()] == list(range(1, 12))
    assert [UUID(made["call_id"]).int for made in calls.records(since=1001.0, until=1002.0)] == [4, 5, 6, 7]
    assert [UUID(made["call_id"]).int for made in calls.records(agent="b")] == [1, 3, 5, 7, 9, 11]
    assert calls.agents() == ["a", "b"]


def test_a_store_may_grow_and_shrink_while_it_is_streamed(kept, monkeypatch):
    monkeypatch.setattr(reader, "STREAM_ROWS", 2)
    calls = kept(*(record(number) for number in range(1, 5)))
    stream = calls.records()
    first = [next(stream), next(stream)]
    kept(record(0), record(9))
    assert [UUID(made["call_id"]).int for made in [*first, *stream]] == [1, 2, 3, 4, 9]


def test_a_recording_is_a_file_of_the_store_and_of_no_other_place(kept, tmp_path, url):
    path = tmp_path / "calls" / f"{call_id(1)}.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(8_000)
        wav.writeframes(bytes(4 * 4_000))
    calls = kept(record(1), record(2))
    assert calls.recording(call_id(1)) == path
    assert calls.recording(call_id(2)) is None
    assert calls.recording("../caller.key") is None and calls.recording(f"../calls/{call_id(1)}") is None
    assert [row.recorded for row in calls.find(Query()).calls] == [False, True]
    assert rows_of(tmp_path, url, "recordings")[0]["seconds"] == 0.5


def rows_of(folder: Path, url: str, table: str) -> list[dict[str, Any]]:
    from voicebridge.trace.store import database, schema

    with database.reading(database.address(folder, url)).connect() as connection:
        wanted = schema.metadata.tables[table]
        return [dict(row._mapping) for row in connection.execute(wanted.select())]


TIMES = [("stt", 1.0, 1.2), ("llm", 1.2, 2)]


def test_the_parts_of_a_call_stand_in_their_tables_and_are_replaced_with_it(kept, tmp_path, url):
    spans = [{"name": name, "actor": name, "from": begin, "to": end} for name, begin, end in TIMES]
    tools = [{"tool": "book", "at": 3.0, "ms": 250, "ok": True, "cause": "", "attempts": 2}]
    handoffs = [{"at": 4.0, "state": "started", "target": "sales", "cause": "asked"}]
    one = turn(source="model", rule="smalltalk", spans=spans, tools=tools, handoffs=handoffs, slow={"actor": "llm"})
    kept(record(1, turns=[one, turn(turn=2)]))
    made = {name: rows_of(tmp_path, url, name) for name in ("turns", "spans", "tool_calls", "handoffs")}
    assert [(row["n"], row["turn"], row["source"], row["slow_actor"]) for row in made["turns"]] == [
        (0, 1, "model", "llm"), (1, 2, "", "")]  # fmt: skip
    assert [(row["name"], row["from_s"], row["to_s"]) for row in made["spans"]] == TIMES
    assert [(row["tool"], row["ms"], row["attempts"]) for row in made["tool_calls"]] == [("book", 250.0, 2)]
    assert [(row["state"], row["target"], row["cause"]) for row in made["handoffs"]] == [("started", "sales", "asked")]
    kept(record(1, turns=[]))
    assert [rows_of(tmp_path, url, name) for name in made] == [[], [], [], []]


def test_a_store_that_is_not_there_yet_is_told_and_not_made(tmp_path):
    calls = Calls(tmp_path / "none")
    with pytest.raises(NoStoreError, match="yet: `voicebridge run` makes it"):
        calls.find(Query())
    assert not (tmp_path / "none").exists()


def test_an_empty_postgresql_is_told(postgres, tmp_path):
    with pytest.raises(NoStoreError, match="holds no store yet"):
        Calls(tmp_path, postgres).find(Query())


def test_a_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "calls.db").write_text("words " * 1000)
    with pytest.raises(StoreError, match=r"calls.db cannot be read: file is not a database"):
        Calls(tmp_path).agents()


def test_a_reader_cannot_write(kept, tmp_path, url):
    from sqlalchemy.exc import DBAPIError

    from voicebridge.trace.store import database

    kept(record(1))
    engine = database.reading(database.address(tmp_path, url))
    with pytest.raises(DBAPIError, match="(?i)read-?only"), engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM turns")


def test_a_configuration_opens_its_store(tmp_path):
    file = tmp_path / "voicebridge.toml"
    file.write_text(f'[store]\ndir = "{tmp_path}"\n')
    store = CallStore(tmp_path, keep_days=1)
    store.prepare()
    store.write(call_id(1), record(1))
    assert store.flush()
    store.close()
    assert open_calls(load(file)).agents() == ["desk"]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=st.dictionaries(st.sampled_from(sorted(record(1))), values),
       part=st.dictionaries(st.sampled_from(("caller", "said", "gap_s", "tools", "spans", "handoffs", "rule")), values))
def test_any_values_are_kept_as_they_are_or_mended(kept, one, part):
    made = {**record(1), **one, "turns": [part, {**turn(), **part}], "call_id": call_id(1)}
    assert kept(made).record(call_id(1)) == loaded("", dumped(made))
