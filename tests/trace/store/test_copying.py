"""`voicebridge store copy`: from SQLite to the PostgreSQL that is to follow it."""

from __future__ import annotations

import json
from uuid import UUID

from click.testing import CliRunner

from voicebridge.cli.main import main
from voicebridge.trace.rows import Query
from voicebridge.trace.store import Calls, CallStore
from voicebridge.trace.store.erase import Wanted, erase


def call_id(number: int) -> str:
    return str(UUID(int=number))


def test_calls_are_copied_and_can_still_be_found_by_caller(postgres, tmp_path):
    store = CallStore(tmp_path, keep_days=30)
    store.prepare()
    for number in range(5):
        made = {"call_id": call_id(number), "began_at": float(number), "caller": f"10{number % 2}"}
        store.write(call_id(number), made)
    assert store.flush()
    store.close()
    erase(tmp_path, "", Wanted(call_id=call_id(4)))
    config = tmp_path / "voicebridge.toml"
    config.write_text(f'[store]\ndir = "{tmp_path}"\nurl = "{postgres}"\n')
    for _ in range(2):
        done = CliRunner().invoke(main, ["store", "copy", "--config", str(config), "--json"])
        assert (done.exit_code, json.loads(done.stdout)) == (0, {"copied": 4})
    there = Calls(tmp_path, postgres)
    assert [UUID(found).int for found in there.matching("")] == [3, 2, 1, 0]
    assert there.record(call_id(1)) == Calls(tmp_path).record(call_id(1))
    assert [UUID(row.call_id).int for row in there.find(Query(caller="101")).calls] == [3, 1]
    done = CliRunner().invoke(main, ["store", "status", "--config", str(config), "--json"])
    shown = json.loads(done.stdout)
    assert (shown["calls"], [one["why"] for one in shown["erasures"]]) == (4, ["call"])


def test_a_store_is_not_copied_to_itself(tmp_path):
    CallStore(tmp_path, keep_days=1).prepare()
    config = tmp_path / "voicebridge.toml"
    config.write_text(f'[store]\ndir = "{tmp_path}"\n')
    done = CliRunner().invoke(main, ["store", "copy", "--config", str(config)])
    assert done.exit_code == 1 and "would be copied to itself" in done.stderr
