"""`voicebridge calls export`: records and recordings for other programs."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.cli.kept import filled, voicebridge
from tests.trace.planted import SINCE, call, tool, turn

WAV = b"RIFF....WAVE"
CALLS = [
    call(SINCE + 100 * number, [turn(1, text, tools=[tool("find", 20)]), turn(2, "bye", "Bye, now.", rule="goodbye")],
         agent=agent)
    for number, (text, agent) in enumerate([("=1+2", "desk"), ('say "hi", please', "desk"), ("x", "shop")])
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("kept"), CALLS, wav=WAV)


@pytest.fixture(autouse=True)
def place(folder, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(folder))


def exported(*arguments: object) -> str:
    done = voicebridge("calls", "export", *arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_record_a_line_oldest_first_as_it_is_stored():
    assert [json.loads(line) for line in exported().splitlines()] == CALLS


def test_one_list():
    assert json.loads(exported("--format", "json")) == json.loads(exported("--json")) == CALLS
    assert json.loads(exported("--format", "json", "--agent", "nobody")) == []


def test_agent_and_time_choose():
    assert [json.loads(line) for line in exported("--agent", "shop").splitlines()] == CALLS[2:]
    assert exported("--until", "2020-01-01") == ""


def test_a_row_a_turn_for_a_spreadsheet_that_runs_nothing():
    rows = list(csv.DictReader(io.StringIO(exported("--format", "csv"))))
    assert len(rows) == 9, "the greeting and two turns for each of three calls"
    first = rows[1]
    assert first["caller_said"] == "'=1+2", "no formula"
    assert rows[4]["caller_said"] == 'say "hi", please'
    assert (first["turn"], first["rule"], first["tools"]) == ("1", "hours", "find 20 ms ok")
    assert float(first["gap_s"]) == pytest.approx(0.3) and first["call_id"] == CALLS[0]["call_id"]
    assert first["began_at"].startswith("2026-11-18T") and rows[2]["agent_heard"] == "Bye, now."


def test_a_file_is_written_wholly_and_for_its_owner_only(tmp_path):
    target = tmp_path / "calls.jsonl"
    target.write_text("old")
    done = voicebridge("calls", "export", "-o", target)
    assert done.exit_code == 0 and done.stdout == ""
    assert "3 calls in" in done.stderr
    assert len(target.read_text().splitlines()) == 3
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [target], "nothing half is left"


def test_recordings_go_along_into_a_folder(tmp_path):
    done = voicebridge("calls", "export", "--agent", "desk", "--recordings", tmp_path / "wav")
    assert "2 calls, 2 recordings" in done.stderr
    files = sorted((tmp_path / "wav").iterdir())
    assert [file.name for file in files] == sorted(f"{made['call_id']}.wav" for made in CALLS[:2])
    assert all(file.read_bytes() == WAV and stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_or_into_an_archive(tmp_path, folder):
    missing = folder / "calls" / f"{CALLS[1]['call_id']}.wav"
    missing.rename(tmp_path / "away")
    try:
        done = voicebridge("calls", "export", "--recordings", tmp_path / "wav.zip")
    finally:
        (tmp_path / "away").rename(missing)
    assert "3 calls, 2 recordings" in done.stderr
    with zipfile.ZipFile(tmp_path / "wav.zip") as made:
        assert made.testzip() is None and len(made.namelist()) == 2
    assert stat.S_IMODE((tmp_path / "wav.zip").stat().st_mode) == 0o600


def test_what_cannot_be_written_is_told_and_leaves_nothing(tmp_path):
    done = voicebridge("calls", "export", "-o", tmp_path / "no/folder.json")
    assert done.exit_code == 1 and "No such file" in done.stderr and "Traceback" not in done.output
    (tmp_path / "file").write_text("x")
    done = voicebridge("calls", "export", "-o", tmp_path / "out", "--recordings", tmp_path / "file")
    assert done.exit_code == 1 and "file" in done.stderr
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file"]


def test_a_device_or_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """As root, `-o /dev/null` would be the end of it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as other:
        read = other.submit(pipe.read_text)
        done = voicebridge("calls", "export", "-o", pipe)
        assert done.exit_code == 0, done.output
        assert len(read.result(10).splitlines()) == 3
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_a_link_stays_one_and_what_stood_in_the_way_lends_no_mode(tmp_path):
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "target").write_text("old")
    (tmp_path / "target.part").write_text("of somebody who may read it")
    (tmp_path / "wav").mkdir()
    (tmp_path / "wav" / f"{CALLS[0]['call_id']}.wav").touch(mode=0o644)
    done = voicebridge("calls", "export", "-o", tmp_path / "link", "--recordings", tmp_path / "wav")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "link").is_symlink()
    made = [tmp_path / "target", *(tmp_path / "wav").iterdir()]
    assert len(made) == 4 and {stat.S_IMODE(file.stat().st_mode) for file in made} == {0o600}
