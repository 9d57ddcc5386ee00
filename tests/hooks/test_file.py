"""One document a call, for its owner alone, and no longer than it is kept."""

from __future__ import annotations

import json
import os
import stat
import time
import uuid

import pytest

from voicebridge.hooks.file import DAY_S, HOOK

CALL = str(uuid.uuid4())


def ended(call_id: str = CALL) -> dict:
    return {"event": "call_ended", "call_id": call_id, "at": 1.0, "record": {"call_id": call_id, "turns": []}}


async def test_a_call_that_ended_is_a_document(tmp_path):
    hook = HOOK.create({"dir": "docs"}, tmp_path)
    await hook.handle(ended())
    (file,) = (tmp_path / "docs").iterdir()
    assert file.name == f"{CALL}.json" and stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"call_id": CALL, "turns": []}


async def test_it_is_deleted_when_its_time_has_come_and_nothing_else_is(tmp_path):
    hook = HOOK.create({"dir": str(tmp_path), "keep_days": 2}, tmp_path / "own")
    await hook.handle(ended())
    (tmp_path / "notes.json").write_text("{}")
    long_ago = time.time() - 3 * DAY_S
    for file in tmp_path.iterdir():
        os.utime(file, (long_ago, long_ago))
    young = str(uuid.uuid4())
    await hook.handle(ended(young))
    assert hook.purge() == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["notes.json", f"{young}.json"])
    assert HOOK.create({"dir": "never"}, tmp_path).purge() == 0


async def test_what_is_no_call_id_writes_nowhere(tmp_path):
    hook = HOOK.create({"dir": str(tmp_path / "docs")}, tmp_path)
    with pytest.raises(ValueError, match="not a call id"):
        await hook.handle(ended("../../etc/x"))
    assert not (tmp_path / "docs").exists()
