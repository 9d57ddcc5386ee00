"""What is erased is gone: from tables, files, what waits, and from the bytes of the database's own files."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from voicebridge.trace.rows import Query
from voicebridge.trace.store import Calls, CallStore, StoreError, database
from voicebridge.trace.store.callers import caller_key
from voicebridge.trace.store.erase import Erased, Wanted, erase
from voicebridge.trace.store.schema import calls, erasures, metadata
from voicebridge.trace.store.spill import Spill

ALICE, BOB = "+49 30 1111111", "+49 30 2222222"


def call_id(number: int) -> str:
    return str(UUID(int=number))


def record(folder: Path, number: int, caller: str, words: str, **more: Any) -> dict[str, Any]:
    said = [{"kind": "answer", "text": f"You said {words}", "heard": words}]
    turns = [{"turn": turn, "caller": f"{words} {turn}", "said": said, "rule": words} for turn in range(12)]
    made = {
        "call_id": call_id(number), "began_at": time.time(), "agent": "desk", "caller": "***11",
        "caller_key": caller_key(folder, caller), "summary": words, "turns": turns,
    }  # fmt: skip
    return {**made, **more}


@pytest.fixture
def store(url, tmp_path):
    made = CallStore(tmp_path, keep_days=30, url=url)
    made.prepare()
    yield made
    made.close()


def keep(store: CallStore, made: dict[str, Any], words: str) -> None:
    store.path(made["call_id"], ".wav").write_text(words)
    store.write(made["call_id"], made, [words])


def holding(folder: Path, needle: str) -> list[str]:
    """Files in which it stands, in any place of their bytes."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and needle.encode() in path.read_bytes())


def scalar(folder: Path, url: str, what: Any) -> Any:
    with database.reading(database.address(folder, url)).connect() as connection:
        return connection.execute(what).scalar()


def notes(folder: Path, url: str) -> list[tuple[str, int, int]]:
    with database.reading(database.address(folder, url)).connect() as connection:
        return [(row.why, row.calls, row.files) for row in connection.execute(select(erasures).order_by(erasures.c.id))]


def test_a_caller_s_calls_are_erased_wherever_they_are_and_nobody_else_s(store, tmp_path, url):
    for number in range(4):
        keep(store, record(tmp_path, number, ALICE, "pineapple"), "pineapple")
        keep(store, record(tmp_path, 10 + number, BOB, "radish"), "radish")
    assert store.flush()
    Spill(tmp_path).put(call_id(20), json.dumps(record(tmp_path, 20, ALICE, "pineapple")), ["pineapple"])
    Spill(tmp_path).put(call_id(21), json.dumps(record(tmp_path, 21, BOB, "radish")))
    legacy = tmp_path / f"calls/{call_id(22)}.json"
    legacy.write_text(json.dumps({**record(tmp_path, 22, "", "pineapple"), "caller": "0049301111111"}))
    assert holding(tmp_path, "pineapple")
    wanted = Wanted(caller="0049 30 1111111")
    assert erase(tmp_path, url, wanted, dry_run=True) == Erased(calls=4, waiting=2, files=8)
    assert Calls(tmp_path, url).find(Query()).total == 8 and legacy.exists()
    assert erase(tmp_path, url, wanted) == Erased(calls=4, waiting=2, files=8)
    assert holding(tmp_path, "pineapple") == []
    assert sorted(Calls(tmp_path, url).matching("")) == [call_id(10 + number) for number in range(4)]
    assert len(list((tmp_path / "calls").iterdir())) == 8 and len(Spill(tmp_path).paths()) == 1
    for table in metadata.sorted_tables:
        if "call_id" in table.c and table is not calls:
            orphans = select(func.count()).select_from(table).where(table.c.call_id.not_in(select(calls.c.call_id)))
            assert scalar(tmp_path, url, orphans) == 0
    assert not erase(tmp_path, url, wanted)
    assert notes(tmp_path, url) == [("caller", 6, 8), ("caller", 0, 0)]


def test_one_call_is_erased(store, tmp_path, url):
    for number in range(3):
        keep(store, record(tmp_path, number, ALICE, f"needle{number}x"), f"needle{number}x")
    assert store.flush()
    assert erase(tmp_path, url, Wanted(call_id=call_id(1))) == Erased(calls=1, files=2)
    assert holding(tmp_path, "needle1x") == []
    assert sorted(Calls(tmp_path, url).matching("")) == [call_id(0), call_id(2)]
    assert notes(tmp_path, url) == [("call", 1, 2)]


def test_age_takes_old_calls_old_files_and_damaged_ones(store, tmp_path, url):
    now = time.time()
    for number, days in enumerate((40, 10)):
        keep(store, record(tmp_path, number, ALICE, "x", began_at=now - days * 86_400), "x")
    assert store.flush()
    damaged = tmp_path / "spill/1-1-x.refused"
    damaged.write_text("{")
    os.utime(damaged, (0, 0))
    assert erase(tmp_path, url, Wanted(before=now - 30 * 86_400)) == Erased(calls=1, waiting=1, files=2)
    assert Calls(tmp_path, url).matching("") == [call_id(1)] and not damaged.exists()
    assert not erase(tmp_path, url, Wanted(before=now - 30 * 86_400))
    assert notes(tmp_path, url) == [("age", 2, 2)]


def test_a_replay_does_not_bring_back_what_is_erased_meanwhile(store, tmp_path, url):
    """The daemon holds the lock while it moves one: here we hold it, as an erasure does."""
    spill = Spill(tmp_path)
    with spill.lock():
        path = spill.put(call_id(1), json.dumps(record(tmp_path, 1, ALICE, "pineapple")))
        later = CallStore(tmp_path, keep_days=30, url=url)
        later.prepare()  # its thread finds the file, and waits for the lock
        time.sleep(0.1)
        assert later.stats().spilled == 1
        path.unlink()
    assert later.flush()
    assert Calls(tmp_path, url).find(Query()).total == 0
    later.close()


def test_files_on_another_machine_go_with_its_next_look_at_the_retention(store, tmp_path, url, monkeypatch):
    keep(store, record(tmp_path, 1, ALICE, "x", node="pbx2"), "x")
    keep(store, record(tmp_path, 2, BOB, "x", node="pbx2"), "x")
    assert store.flush()
    files = {path.name: path.read_bytes() for path in (tmp_path / "calls").iterdir()}
    assert erase(tmp_path, url, Wanted(caller=ALICE)).files == 2
    for name, content in files.items():  # as if they lay on the other one's disk
        (tmp_path / "calls" / name).write_bytes(content)
    assert not store.purge() and len(list((tmp_path / "calls").iterdir())) == 4
    monkeypatch.setattr("voicebridge.trace.store.erase.here", lambda: "pbx2")
    assert store.purge() == Erased(files=2)
    assert {path.name[-12:-4] for path in (tmp_path / "calls").glob("*.wav")} == {f"{2:08}"}
    assert not store.purge()


def test_an_erasure_wants_one_thing(tmp_path):
    for wanted in (Wanted(), Wanted(caller="1", call_id=call_id(1)), Wanted(before=0.0, caller="1")):
        with pytest.raises(ValueError, match="one of them"):
            erase(tmp_path, "", wanted)


def test_erasing_where_nothing_is_makes_nothing(tmp_path):
    assert not erase(tmp_path / "none", "", Wanted(caller=ALICE))
    assert not (tmp_path / "none").exists()


def test_an_erasure_that_cannot_reach_the_database_says_so_and_deletes_nothing(tmp_path):
    (tmp_path / "calls").mkdir()
    path = tmp_path / f"calls/{call_id(1)}.wav"
    path.write_text("x")
    with pytest.raises(StoreError, match="postgresql.*none"):
        erase(tmp_path, f"postgresql://owner@/none?host={tmp_path}", Wanted(call_id=call_id(1)))
    assert path.exists()


def test_no_byte_of_what_was_erased_stays_in_sqlite_however_it_lay_there(tmp_path):
    """Rows of many sizes, written, rewritten and erased in any order, with a reader at the same time."""
    dice = random.Random(5)
    store = CallStore(tmp_path, keep_days=30)
    store.prepare()
    for number in range(150):
        size = dice.choice((1, 5, 40, 300))
        made = record(tmp_path, number, (ALICE, BOB)[number % 2], f"{('needle', 'radish')[number % 2]} " * size)
        store.write(made["call_id"], {**made, "summary": "first " + made["summary"]})
        store.write(made["call_id"], made)
    assert store.flush(30)
    stream = Calls(tmp_path).records()
    next(stream)
    assert len(holding(tmp_path, "needle")) >= 1
    assert erase(tmp_path, "", Wanted(caller=ALICE)).calls == 75
    assert holding(tmp_path, "needle") == []
    assert len([made for made in stream if "radish" in made["summary"]]) >= 74
    size = (tmp_path / "calls.db").stat().st_size
    store.write(call_id(1), record(tmp_path, 1, BOB, "radish"))
    assert store.flush()
    erase(tmp_path, "", Wanted(caller=BOB))
    assert (tmp_path / "calls.db").stat().st_size < size / 2, "the space is not given back"
    store.close()


def test_a_call_whose_file_cannot_be_deleted_stays_and_is_told(store, tmp_path):
    """Else nobody would find the recording again."""
    for number in (1, 2):
        store.write(call_id(number), record(tmp_path, number, ALICE, "zebra"))
    assert store.flush()
    store.path(call_id(1), ".wav").mkdir()  # what no unlink takes away, not even root's
    store.path(call_id(2), ".wav").write_text("sound")
    with pytest.raises(OSError, match=r"1 of the files cannot be deleted.*1\.wav"):
        erase(tmp_path, store.url, Wanted(caller=ALICE))
    assert Calls(tmp_path, store.url).matching("") == [call_id(1)]
    store.path(call_id(1), ".wav").rmdir()
    assert erase(tmp_path, store.url, Wanted(caller=ALICE)) == Erased(calls=1)
