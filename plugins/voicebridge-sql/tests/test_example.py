"""The example shop: made as its README says, checked, and called."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from voicebridge.config import load
from voicebridge.scenario.rehearsal import rehearse
from voicebridge.scenario.suite import open_suite
from voicebridge_sql import SQL

EXAMPLE = Path(__file__).parents[1] / "example"


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, timeout=120, cwd=EXAMPLE)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    database = tmp_path / "workshop.db"
    made = run("voicebridge_sql", "create", str(database), "schema.sql", "seed.sql")
    assert made.returncode == 0, made.stderr
    monkeypatch.setenv("SHOP_DATABASE", str(database))
    return database


async def test_every_call_ends_as_it_should(shop):
    suite = open_suite(EXAMPLE / "shop.test.yaml", load(EXAMPLE / "voicebridge.toml"))
    results = [result async for result in rehearse([suite])]
    assert {result.call.name: [failure.text for failure in result.failures] for result in results} == {
        call.name: [] for call in suite.calls
    }
    assert len(results) >= 20
    with sqlite3.connect(shop) as database:
        ours = "SELECT work, day, time, name, phone FROM appointments WHERE key IS NOT NULL"
        booked = database.execute(ours).fetchall()
    assert ("puncture repair", "2026-12-01", "16:00", "Sam Taylor", "5550121") in booked
    assert len(booked) == 7


@pytest.mark.models
def test_every_call_ends_as_it_should_when_rules_are_matched_by_meaning(shop):
    done = run("voicebridge", "test", "-c", "voicebridge.toml", "shop.test.yaml", "--by-meaning")
    assert done.returncode == 0, done.stdout


def test_the_plug_in_command_is_content_with_it(shop):
    done = run("voicebridge", "plugins", "check", "-c", "voicebridge.toml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_its_database_the_cure_is_told(monkeypatch):
    monkeypatch.delenv("SHOP_DATABASE", raising=False)
    done = run("voicebridge", "plugins", "check", "-c", "voicebridge.toml")
    assert done.returncode == 1
    assert "[tools.sql]: database: env SHOP_DATABASE is empty or not set" in done.stdout


def test_a_database_that_is_there_is_not_written_over(shop):
    before = shop.read_bytes()
    again = run("voicebridge_sql", "create", str(shop), "schema.sql")
    assert (again.returncode, again.stderr) == (2, f"{shop} is there already: name another, or say --force\n")
    assert shop.read_bytes() == before
    assert run("voicebridge_sql", "create", "--force", str(shop), "schema.sql").returncode == 0
    assert shop.read_bytes() != before


def test_the_readme_s_settings_are_taken(shop):
    text = (EXAMPLE.parent / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    settings = tomllib.loads(block)["tools"]["sql"]
    tools = SQL.create(settings | {"database": str(shop)} | {"queries": settings["queries"][:1]})
    assert [tool.name for tool in tools] == ["find_repair"]
    with sqlite3.connect(shop) as database:
        database.executescript("DROP TABLE appointments; CREATE TABLE appointments(day, time, name, UNIQUE(day, time))")
    tools = SQL.create(settings | {"database": str(shop)})
    assert [tool.spec().consequential for tool in tools] == [False, True]


def test_a_broken_file_leaves_nothing_behind(tmp_path):
    (tmp_path / "bad.sql").write_text("CREATE TABLE;")
    done = run("voicebridge_sql", "create", str(tmp_path / "x.db"), str(tmp_path / "bad.sql"))
    assert (done.returncode, [file.name for file in tmp_path.iterdir()]) == (2, ["bad.sql"])
    assert "bad.sql: " in done.stderr
