"""An administrator's commands leave nothing in the store that the daemon's user cannot open."""

from __future__ import annotations

import os

import pytest

from voicebridge.trace.store.callers import caller_key
from voicebridge.trace.store.erase import Wanted, erase

DAEMON = 61_234


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can")
def test_what_root_makes_is_the_stores_owners(tmp_path):
    os.chown(tmp_path, DAEMON, DAEMON)
    caller_key(tmp_path, "0")
    erase(tmp_path, "", Wanted(before=0.0))
    made = {path.relative_to(tmp_path).as_posix(): path.stat().st_uid for path in tmp_path.rglob("*")}
    assert {"calls.db", "caller.key", "spill", "spill/lock"} <= made.keys()
    assert set(made.values()) == {DAEMON}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can")
def test_what_is_somebodys_already_stays_his(tmp_path):
    os.chown(tmp_path, DAEMON, DAEMON)
    caller_key(tmp_path, "0")
    os.chown(tmp_path / "caller.key", DAEMON + 1, DAEMON)
    caller_key(tmp_path, "1")
    assert (tmp_path / "caller.key").stat().st_uid == DAEMON + 1
