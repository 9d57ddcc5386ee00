"""Call records on disk: for the owner's eyes, for as long as he said, and never a reason for a call to fail."""

from __future__ import annotations

import json
import logging
import os
import stat
import time
from pathlib import Path

import pytest

from voicebridge.trace.store import DAY_S, CallStore

ID = "00000000-0000-4000-8000-000000000001"
RECORD = {"call_id": ID, "turns": [{"caller": "Grüße"}]}


@pytest.fixture
def store(tmp_path) -> CallStore:
    made = CallStore(tmp_path, keep_days=30)
    made.prepare()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_record_comes_back_as_it_was_written(store):
    store.write(ID, RECORD)
    assert store.read(ID) == RECORD
    store.write(ID, {"call_id": "again"})
    assert store.read(ID) == {"call_id": "again"}


def test_events_stand_beside_it_one_a_line(store, tmp_path):
    store.write(ID, RECORD, ["one", "two"])
    assert (tmp_path / f"calls/{ID}.events.jsonl").read_text() == "one\ntwo\n"
    assert {file.name for file in (tmp_path / "calls").iterdir()} == {f"{ID}.json", f"{ID}.events.jsonl"}


def test_without_events_there_is_no_file_of_them(store, tmp_path):
    store.write(ID, RECORD, None)
    assert [file.name for file in (tmp_path / "calls").iterdir()] == [f"{ID}.json"]


def test_only_the_owner_can_read_whatever_the_umask_says(tmp_path):
    before = os.umask(0)
    try:
        store = CallStore(tmp_path, keep_days=1)
        store.prepare()
        store.write(ID, RECORD, ["one"])
    finally:
        os.umask(before)
    assert mode(tmp_path / "calls") == 0o700
    assert {mode(file) for file in (tmp_path / "calls").iterdir()} == {0o600}


def test_a_folder_that_was_open_is_closed(tmp_path):
    (tmp_path / "calls").mkdir(mode=0o755)
    CallStore(tmp_path, keep_days=1).prepare()
    assert mode(tmp_path / "calls") == 0o700


@pytest.mark.parametrize("bad", ["", "x", "../../etc/passwd", ID + "/..", ID.upper().replace("0", "G"), ID + "0"])
def test_a_call_id_that_is_none_makes_no_path(store, bad):
    with pytest.raises(ValueError, match="is not a call id"):
        store.path(bad, ".json")


def test_a_record_that_cannot_be_written_is_logged_without_what_was_said(tmp_path, caplog):
    store = CallStore(tmp_path, keep_days=1)  # not prepared: the folder is not there
    with caplog.at_level(logging.DEBUG):
        store.write(ID, RECORD, ["secret words"])
    (entry,) = caplog.records
    assert entry.levelname == "ERROR"
    assert ID in entry.message and "No such file" in entry.message
    assert "Grüße" not in caplog.text and "secret" not in caplog.text


def test_a_full_disk_is_logged_and_the_record_before_it_stays_whole(store, tmp_path, caplog):
    store.write(ID, RECORD)
    (tmp_path / f"calls/{ID}.part").symlink_to("/dev/full")
    store.write(ID, {"other": 1})
    assert "No space left on device" in caplog.text
    assert store.read(ID) == RECORD


def test_a_folder_that_cannot_be_made_is_an_error_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        CallStore(tmp_path / "file", keep_days=1).prepare()


def test_missing_and_damaged_records_are_told_apart(store, tmp_path):
    with pytest.raises(FileNotFoundError):
        store.read(ID)
    (tmp_path / f"calls/{ID}.json").write_text("{")
    with pytest.raises(ValueError):
        store.read(ID)


def test_what_is_past_its_retention_is_deleted_and_nothing_else(store, tmp_path):
    now = time.time()
    for suffix, days in ((".json", 31), (".wav", 31), (".events.jsonl", 29)):
        file = tmp_path / f"calls/{ID}{suffix}"
        file.write_text("x")
        os.utime(file, (now, now - days * DAY_S))
    (tmp_path / "voicebridge.toml").write_text("")
    os.utime(tmp_path / "voicebridge.toml", (0, 0))
    assert store.purge() == 2
    assert [file.suffix for file in (tmp_path / "calls").iterdir()] == [".jsonl"]
    assert store.purge(now=now + 2 * DAY_S) == 1
    assert (tmp_path / "voicebridge.toml").exists()


def test_what_cannot_be_deleted_does_not_stop_the_rest(store, tmp_path, caplog):
    stubborn = tmp_path / "calls/a-folder"
    stubborn.mkdir()
    for number in range(3):
        (tmp_path / f"calls/{number}.json").write_text(json.dumps({}))
    assert store.purge(now=time.time() + 31 * DAY_S) == 3
    assert stubborn.exists() and "cannot be deleted" in caplog.text


def test_purging_before_the_folder_exists_is_nothing(tmp_path):
    assert CallStore(tmp_path / "none", keep_days=0).purge() == 0
