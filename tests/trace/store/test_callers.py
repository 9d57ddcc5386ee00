"""A caller's key is the same however his number is written, and says nothing to who has not the secret."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from voicebridge.trace.store.callers import caller_key, fingerprint, known_key, normalised


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+49 30 123-4567", "49301234567"),
        ("0049 (30) 1234567", "49301234567"),
        ("49301234567", "49301234567"),
        ("sip:+49301234567@pbx.example", "49301234567"),
        ("tel:+49.30.1234567", "49301234567"),
        ("030 1234567", "0301234567"),
        ("100", "100"),
        (" Alice ", "alice"),
        ("anonymous", "anonymous"),
        ("", ""),
    ],
)
def test_a_number_is_the_same_however_it_is_written(written, number):
    assert normalised(written) == number


def test_a_key_is_made_with_a_secret_of_this_folder_that_stays(tmp_path):
    key = caller_key(tmp_path / "a", "+4930 1234567")
    assert key == caller_key(tmp_path / "a", "0049301234567") == known_key(tmp_path / "a", "49301234567")
    assert len(key) == 64 and int(key, 16)
    assert key != caller_key(tmp_path / "a", "49301234568")
    assert key != caller_key(tmp_path / "b", "+4930 1234567")
    assert stat.S_IMODE((tmp_path / "a/caller.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["caller.key"]
    assert fingerprint(tmp_path / "a") != fingerprint(tmp_path / "b")


def test_no_number_has_no_key(tmp_path):
    assert caller_key(tmp_path, "") == caller_key(tmp_path, "  ") == ""


def test_who_only_reads_makes_no_secret(tmp_path):
    assert known_key(tmp_path, "100") == fingerprint(tmp_path) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_is_replaced_is_read_again(tmp_path):
    before = caller_key(tmp_path, "100")
    (tmp_path / "caller.key").write_bytes(os.urandom(32))
    os.utime(tmp_path / "caller.key", ns=(1, 1))
    assert caller_key(tmp_path, "100") != before


def test_a_damaged_secret_is_an_error_with_the_cure_and_not_another_secret(tmp_path):
    (tmp_path / "caller.key").write_bytes(b"short")
    with pytest.raises(OSError, match=r"caller.key is damaged: .* Put the saved one back"):
        caller_key(tmp_path, "100")


def test_many_who_make_it_at_once_have_the_same(tmp_path):
    gate, keys = threading.Barrier(8), []

    def make() -> None:
        gate.wait()
        keys.append(caller_key(tmp_path, "100"))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8 and len(set(keys)) == 1
