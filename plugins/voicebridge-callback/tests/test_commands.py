"""`python -m voicebridge_callback`, as whoever calls back uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from voicebridge_callback.__main__ import main
from voicebridge_callback.book import Book, Wish


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "voicebridge.toml"
    file.write_text(f'[store]\ndir = "{tmp_path}/state"\n')
    return file


def run(config: Path, *arguments: str) -> Result:
    name, *rest = arguments
    return CliRunner().invoke(main, [name, "-c", str(config), *rest])


def written(folder: Path, count: int = 2) -> None:
    for number in range(count):
        Book(folder / "callbacks.db").write(Wish(str(number), "2026-11-29T11:00:00+01:00", f"555014{number}", "noon"))


def test_the_list_shows_who_waits(config, tmp_path):
    assert run(config, "ls").output == "Nobody waits to be called.\n"
    assert run(config, "ls", "--json").output == "[]\n"
    written(tmp_path / "state")
    assert "5550141" in run(config, "ls").output
    rows = json.loads(run(config, "ls", "--json").output)
    assert [(row["number"], row["phone"], row["convenient"], row["done"]) for row in rows] == [
        (1, "5550140", "noon", ""), (2, "5550141", "noon", ""),
    ]  # fmt: skip


def test_done_ticks_off_and_undo_takes_it_back(config, tmp_path):
    written(tmp_path / "state")
    assert run(config, "done", "1", "2").exit_code == 0
    assert run(config, "ls", "--json").output == "[]\n"
    assert all(row["done"] for row in json.loads(run(config, "ls", "--json", "--all").output))
    assert run(config, "done", "2", "--undo").exit_code == 0
    assert [row["number"] for row in json.loads(run(config, "ls", "--json").output)] == [2]


def test_a_number_that_there_is_not_is_told(config):
    done = run(config, "done", "7")
    assert (done.exit_code, done.output) == (1, "there is no number 7\n")


def test_the_configured_file_is_the_one_that_is_read(config, tmp_path):
    config.write_text(f'[fallbacks.callback]\nfile = "{tmp_path}/elsewhere/callbacks.db"\n')
    written(tmp_path / "elsewhere", 1)
    assert len(json.loads(run(config, "ls", "--json").output)) == 1


def test_what_cannot_be_read_is_told_in_words(config, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "callbacks.db").write_text("no database, but long enough to be looked at" * 20)
    done = run(config, "ls")
    assert (done.exit_code, done.output) == (2, "file is not a database\n")
    config.write_text("[stor]\n")
    assert "stor" in run(config, "ls").output
