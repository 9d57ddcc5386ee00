"""`voicebridge store` and `voicebridge calls purge`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from voicebridge.cli.main import main
from voicebridge.trace.store import Calls, CallStore
from voicebridge.trace.store.spill import Spill

DAY_S = 86_400


def call_id(number: int) -> str:
    return str(UUID(int=number))


def ask(folder: Path, *words: str, answer: str = "") -> Result:
    config = folder / "voicebridge.toml"
    if not config.exists():
        config.write_text(f'[store]\ndir = "{folder}"\n')
    return CliRunner().invoke(main, [*words, "--config", str(config)], input=answer)


@pytest.fixture
def kept(tmp_path):
    """Five calls, one a day, of two callers."""
    store = CallStore(tmp_path, keep_days=30)
    store.prepare()
    for number in range(5):
        made = {"call_id": call_id(number), "began_at": time.time() - number * DAY_S - 60, "caller": f"10{number % 2}"}
        store.path(call_id(number), ".wav").write_text("x")
        store.write(call_id(number), made)
    assert store.flush()
    store.close()
    return tmp_path


def left(folder: Path, url: str = "") -> list[int]:
    return sorted(UUID(found).int for found in Calls(folder, url).matching(""))


def test_purge_by_age_asks_first(kept):
    done = ask(kept, "calls", "purge", "--older-than", "2d", answer="n\n")
    assert done.exit_code == 1 and "Erase 3 calls and 3 files for good?" in done.stderr
    assert left(kept) == [0, 1, 2, 3, 4]
    done = ask(kept, "calls", "purge", "--older-than", "49h", answer="y\n")
    assert (done.exit_code, done.stdout) == (0, "2 calls and 2 files erased\n")
    assert left(kept) == [0, 1, 2] and len(list((kept / "calls").iterdir())) == 3


def test_purge_by_caller_and_call(kept):
    done = ask(kept, "calls", "purge", "--caller", "101", "--dry-run", "--json")
    assert json.loads(done.stdout) == {"calls": 2, "waiting": 0, "files": 2, "dry_run": True}
    assert left(kept) == [0, 1, 2, 3, 4]
    done = ask(kept, "calls", "purge", "--caller", "101", "--yes", "--json")
    assert json.loads(done.stdout) == {"calls": 2, "waiting": 0, "files": 2, "dry_run": False}
    assert ask(kept, "calls", "purge", "--call", call_id(4).upper(), "-y").stdout == "1 call and 1 file erased\n"
    assert left(kept) == [0, 2]
    shown = json.loads(ask(kept, "store", "status", "--json").stdout)
    assert [(one["why"], one["calls"]) for one in shown["erasures"]] == [("call", 1), ("caller", 2)]
    assert "101" not in json.dumps(shown["erasures"])


def test_nothing_to_purge_is_no_error_and_asks_nothing(kept):
    done = ask(kept, "calls", "purge", "--caller", "555")
    assert (done.exit_code, done.stdout) == (0, "0 calls and 0 files erased\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "say one of --older-than, --caller and --call"),
        (("--caller", "1", "--older-than", "3d"), "say one of"),
        (("--older-than", "3 moons"), "'3 moons' is no age: write e.g. 30d"),
        (("--call", "0000"), "not a call's whole id: voicebridge calls show 0000 has it"),
        (("--caller", " "), "--caller wants a number"),
    ],
)
def test_what_is_not_clear_erases_nothing(kept, words, text):
    done = ask(kept, "calls", "purge", "--yes", *words)
    assert done.exit_code == 2 and text in " ".join(done.stderr.split())
    assert left(kept) == [0, 1, 2, 3, 4]


def test_status_tells_what_is_kept_and_what_waits(kept):
    done = ask(kept, "store", "status")
    assert done.exit_code == 0
    assert f"database    {kept / 'calls.db'}" in done.stdout
    assert "calls       5 (0 recorded, " in done.stdout and "waiting     0 records" in done.stdout
    Spill(kept).put(call_id(9), "{}")
    done = ask(kept, "store", "status", "--json")
    shown = json.loads(done.stdout)
    assert (done.exit_code, shown["waiting"], shown["healthy"], shown["calls"]) == (1, 1, False, 5)


def test_status_of_a_store_that_is_not_there_yet_makes_none(tmp_path):
    done = ask(tmp_path, "store", "status")
    assert done.exit_code == 0 and "none yet" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["voicebridge.toml"]


def test_status_tells_why_a_database_cannot_be_used(tmp_path):
    (tmp_path / "voicebridge.toml").write_text(
        f'[store]\ndir = "{tmp_path}"\nurl = "postgresql://me:geheim@/x?host={tmp_path}"\n'
    )
    done = ask(tmp_path, "store", "status")
    assert done.exit_code == 1 and "problem     connection" in done.stdout and "geheim" not in done.output
    done = ask(tmp_path, "store", "migrate")
    assert done.exit_code == 1 and done.stderr.startswith("voicebridge: postgresql") and "geheim" not in done.output


def test_migrate_makes_the_tables(tmp_path):
    done = ask(tmp_path, "store", "migrate")
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'calls.db'} is up to date\n")
    assert json.loads(ask(tmp_path, "store", "status", "--json").stdout)["version"] == "0001"
