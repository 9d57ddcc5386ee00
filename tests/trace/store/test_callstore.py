"""The daemon's store: a record is taken at once, kept for the owner's eyes and for as long as he said, never a call's
reason to fail."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import stat
import threading
import time
from pathlib import Path

import pytest

from voicebridge.trace.rows import Query
from voicebridge.trace.store import DAY_S, Calls, CallStore, NewerStoreError, NoSuchCallError, StoreError, writer
from voicebridge.trace.store.mending import mended

ID = "00000000-0000-4000-8000-000000000001"
RECORD = {"call_id": ID, "began_at": time.time(), "agent": "desk", "turns": [{"turn": 1, "caller": "Grüße"}]}
WHOLE = mended(ID, RECORD)
"""As it is read: with what every reader relies on."""


def call_id(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


@pytest.fixture
def store(tmp_path):
    made = CallStore(tmp_path, keep_days=30)
    made.prepare()
    yield made
    made.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_record_comes_back_as_it_was_written_before_and_after_it_is_in_the_database(store, tmp_path):
    store.write(ID, RECORD)
    assert mended(ID, store.read(ID)) == WHOLE
    assert store.flush()
    assert mended(ID, store.read(ID)) == WHOLE == Calls(tmp_path).record(ID)
    store.write(ID, {"call_id": "again"})
    assert mended(ID, store.read(ID)) == mended(ID, {"call_id": "again"})
    assert store.flush() and Calls(tmp_path).record(ID) == mended(ID, {"call_id": "again"})


def test_another_process_reads_while_the_daemon_has_it_open(store, tmp_path):
    store.write(ID, RECORD)
    assert store.flush()
    other = CallStore(tmp_path, keep_days=0)
    assert mended(ID, other.read(ID)) == WHOLE
    assert Calls(tmp_path).find(Query()).total == 1


def test_events_stand_beside_it_one_a_line_and_are_there_before_the_record(store, tmp_path):
    store.write(ID, RECORD, ["one", "two"])
    assert store.flush()
    assert (tmp_path / f"calls/{ID}.events.jsonl").read_text() == "one\ntwo\n"
    assert {file.name for file in (tmp_path / "calls").iterdir()} == {f"{ID}.events.jsonl"}


def test_only_the_owner_can_read_whatever_the_umask_says(tmp_path):
    before = os.umask(0)
    try:
        store = CallStore(tmp_path, keep_days=1)
        store.prepare()
        store.write(ID, RECORD, ["one"])
        assert store.flush()
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {path.name for path in files} >= {"calls.db", "calls.db-wal", "calls.db-shm", "caller.key", "lock"}
        assert {path.name: mode(path) for path in files if mode(path) != 0o600} == {}
        store.close()
    finally:
        os.umask(before)
    assert mode(tmp_path / "calls") == mode(tmp_path / "spill") == 0o700


def test_a_folder_that_was_open_is_closed(tmp_path):
    (tmp_path / "calls").mkdir(mode=0o755)
    CallStore(tmp_path, keep_days=1).prepare()
    assert mode(tmp_path / "calls") == 0o700


@pytest.mark.parametrize("bad", ["", "x", "../../etc/passwd", ID + "/..", ID.upper().replace("0", "G"), ID + "0"])
def test_a_call_id_that_is_none_makes_no_path(store, bad):
    for use in (lambda: store.path(bad, ".wav"), lambda: store.read(bad), lambda: store.write(bad, {})):
        with pytest.raises(ValueError, match="is not a call id"):
            use()


def test_a_folder_that_cannot_be_made_is_an_error_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        CallStore(tmp_path / "file", keep_days=1).prepare()


def test_an_unknown_call_is_told_from_a_store_that_is_damaged(store, tmp_path):
    with pytest.raises(NoSuchCallError):
        store.read(ID)
    with pytest.raises(FileNotFoundError):
        CallStore(tmp_path / "none", keep_days=1).read(ID)
    store.write(ID, RECORD)
    assert store.flush()
    store.close()
    with sqlite3.connect(tmp_path / "calls.db") as database:
        database.execute("UPDATE calls SET document = '{'")
    with pytest.raises(StoreError, match=f"record of call {ID} is damaged"):
        store.read(ID)


def test_reading_makes_nothing(tmp_path):
    with pytest.raises(NoSuchCallError):
        CallStore(tmp_path / "none", keep_days=1).read(ID)
    assert not (tmp_path / "none").exists()


def test_what_is_no_json_is_lost_alone_and_named(store, caplog):
    store.write(ID, {"call_id": ID, "secret": object()})
    store.write(call_id(2), RECORD)
    assert store.flush()
    assert store.stats().lost == 1 and store.stats().written == 1
    assert f"call={ID} record lost" in caplog.text


def test_a_database_of_a_later_version_is_refused_with_the_cure(store, tmp_path):
    store.close()
    with sqlite3.connect(tmp_path / "calls.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(NewerStoreError, match="version 9999, this voicebridge knows .* run the later voicebridge"):
        CallStore(tmp_path, keep_days=1).prepare()


def test_a_file_that_is_no_database_costs_no_record(tmp_path, caplog):
    (tmp_path / "calls.db").write_text("not a database, but long enough to have a header" * 50)
    store = CallStore(tmp_path, keep_days=1)
    store.prepare()
    store.write(ID, RECORD)
    until = time.monotonic() + 10
    while not store.stats().spilled and time.monotonic() < until:
        time.sleep(0.01)
    assert mended(ID, store.read(ID)) == WHOLE
    assert "not a database" in store.stats().last_error
    (tmp_path / "calls.db").unlink()
    assert store.flush(), "the record waits although the cause is gone"
    assert Calls(tmp_path).record(ID) == WHOLE
    assert list((tmp_path / "spill").glob("*.json")) == []
    store.close()


def test_a_database_that_is_deleted_under_the_daemon_is_made_anew(store, tmp_path):
    store.write(ID, RECORD)
    assert store.flush()
    for path in tmp_path.glob("calls.db*"):
        path.unlink()
    store.write(call_id(2), RECORD)
    assert store.flush()
    assert Calls(tmp_path).matching("") == [call_id(2)]


def test_records_of_before_the_database_are_moved_into_it_once_and_in_order(tmp_path, caplog):
    (tmp_path / "calls").mkdir()
    for number in range(3):
        path = tmp_path / f"calls/{call_id(number)}.json"
        path.write_text(json.dumps({"call_id": call_id(number), "caller": "+49 30 1234567", "began_at": 50.0}))
        os.utime(path, (100 - number, 100 - number))
    (tmp_path / f"calls/{call_id(7)}.json").write_text("{")
    (tmp_path / f"calls/{call_id(8)}.json").write_text("[]")
    store = CallStore(tmp_path, keep_days=1)
    assert store.read(call_id(1))["call_id"] == call_id(1), "not to be read before it is moved"
    store.prepare()
    assert store.flush()
    calls = Calls(tmp_path)
    assert calls.matching("") == [call_id(0), call_id(1), call_id(2)]  # newest first: the oldest file was 2
    assert calls.find(Query(caller="0049301234567")).total == 3
    left = sorted(path.name for path in (tmp_path / "calls").iterdir())
    assert left == [f"{call_id(7)}.refused", f"{call_id(8)}.refused"]
    assert caplog.text.count("holds no record") == 2
    store.close()


def test_what_a_killed_daemon_has_left_is_written_at_the_start(tmp_path):
    dead = CallStore(tmp_path, keep_days=1)
    dead.prepare()
    for number in (3, 1, 2):
        writer.Spill(tmp_path).put(call_id(number), json.dumps(RECORD), [f"event {number}"])
    piece = tmp_path / "spill/0-0-x.part"
    piece.write_text("half a record")
    os.utime(piece, (0, 0))
    store = CallStore(tmp_path, keep_days=1)
    store.prepare()
    assert store.flush()
    assert Calls(tmp_path).matching("") == [call_id(2), call_id(1), call_id(3)]
    assert (tmp_path / f"calls/{call_id(1)}.events.jsonl").read_text() == "event 1\n"
    assert [path.name for path in (tmp_path / "spill").iterdir()] == ["lock"]
    store.close()


def test_nothing_stays_in_memory_only_at_the_end(tmp_path, monkeypatch):
    store = CallStore(tmp_path, keep_days=1)
    store.prepare()
    with sqlite3.connect(tmp_path / "calls.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")  # somebody writes, for long
        for number in range(5):
            store.write(call_id(number), RECORD, ["event"])
        store.close(limit_s=0.2)
        assert {path.name[-41:-5] for path in (tmp_path / "spill").glob("*.json")} == set(map(call_id, range(5)))
    other.close()
    later = CallStore(tmp_path, keep_days=1)
    later.prepare()
    assert later.flush()
    assert sorted(Calls(tmp_path).matching("")) == list(map(call_id, range(5)))
    later.close()


def test_a_record_is_taken_at_once_while_the_database_is_locked(tmp_path, monkeypatch):
    monkeypatch.setattr("voicebridge.trace.store.database.BUSY_S", 0.1)
    store = CallStore(tmp_path, keep_days=1)
    store.prepare()
    other = sqlite3.connect(tmp_path / "calls.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    began = time.monotonic()
    for number in range(20):
        store.write(call_id(number), {**RECORD, "number": number})
    assert time.monotonic() - began < 1.0
    until = time.monotonic() + 10
    while store.stats().spilled < 20 and time.monotonic() < until:
        time.sleep(0.01)
    assert (store.stats().spilled, store.stats().queued) == (20, 0)
    assert "locked" in store.stats().last_error
    assert store.read(call_id(7))["number"] == 7
    other.close()
    assert store.flush(20)
    with sqlite3.connect(tmp_path / "calls.db") as database:
        order = [row[0] for row in database.execute("SELECT call_id FROM calls ORDER BY id")]
    assert order == list(map(call_id, range(20)))
    assert store.stats().last_error == "" and store.stats().errors >= 1
    store.close()


def test_what_no_longer_fits_into_memory_is_lost_and_counted(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(writer, "MAX_WAITING", 3)
    (tmp_path / "file").write_text("")
    store = CallStore(tmp_path / "file", keep_days=1)  # neither database nor spill can be there
    for number in range(5):
        store.write(call_id(number), RECORD)
    assert store.stats().queued == 3 and store.stats().lost == 2
    assert caplog.text.count("record lost: 3 wait already") == 2
    (tmp_path / "file").unlink()
    assert store.flush(), "what is in memory is not written although it could be"
    assert sorted(Calls(tmp_path / "file").matching("")) == list(map(call_id, range(3)))
    store.close()


def test_errors_do_not_carry_what_was_said(tmp_path, caplog):
    (tmp_path / "calls.db").mkdir()
    store = CallStore(tmp_path, keep_days=1)
    with caplog.at_level(logging.DEBUG):
        store.write(ID, RECORD, ["secret words"])
        until = time.monotonic() + 10
        while not store.stats().last_error and time.monotonic() < until:
            time.sleep(0.01)
    assert "calls.db" in caplog.text
    assert "Grüße" not in caplog.text and "secret" not in caplog.text
    store.close()


def test_what_is_past_its_retention_is_deleted_and_nothing_else(store, tmp_path):
    now = time.time()
    for number, days in ((1, 31), (2, 29)):
        store.path(call_id(number), ".wav").write_text("x")
        store.write(call_id(number), {**RECORD, "began_at": now - days * DAY_S}, ["event"])
    stray = store.path(call_id(9), ".wav")  # of a call that left no record
    stray.write_text("x")
    os.utime(stray, (now, now - 31 * DAY_S))
    assert store.flush()
    (tmp_path / "voicebridge.toml").write_text("")
    os.utime(tmp_path / "voicebridge.toml", (0, 0))
    gone = store.purge()
    assert (gone.calls, gone.files) == (1, 3)
    assert Calls(tmp_path).matching("") == [call_id(2)]
    assert {path.name[:8] for path in (tmp_path / "calls").iterdir()} == {"00000002"}
    assert store.purge(now=now + 2 * DAY_S).calls == 1
    assert (tmp_path / "voicebridge.toml").exists()


def test_what_cannot_be_deleted_does_not_stop_the_rest(store, tmp_path, caplog):
    (tmp_path / "calls/a-folder").mkdir()
    for number in range(3):
        store.path(call_id(number), ".wav").write_text("x")
    assert store.purge(now=time.time() + 31 * DAY_S).files == 3
    assert [path.name for path in (tmp_path / "calls").iterdir()] == ["a-folder"]
    assert "cannot be deleted" in caplog.text


def test_a_purge_that_cannot_be_is_logged_and_tried_again_later(tmp_path, caplog):
    (tmp_path / "calls.db").mkdir()
    assert not CallStore(tmp_path, keep_days=0).purge()
    assert "are not deleted yet" in caplog.text


def test_many_threads_may_write(store, tmp_path):
    def some(begin: int) -> None:
        for number in range(begin, begin + 20):
            store.write(call_id(number), RECORD)

    threads = [threading.Thread(target=some, args=[20 * number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.flush()
    assert Calls(tmp_path).find(Query()).total == 80
