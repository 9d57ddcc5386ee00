"""`voicebridge calls ls` and `show` on a store as a daemon leaves it."""

from __future__ import annotations

import json
import sqlite3

import pytest
from click.testing import CliRunner

from tests.cli.kept import filled, voicebridge
from tests.trace.planted import SINCE, call, tool, turn
from voicebridge.cli.main import main

SLOW = {"llm": 1.9}
CALLS = [
    call(SINCE + 100, [turn(1, "when are you open")], caller="***42"),
    call(SINCE + 200, [turn(1, "a human please", rule="human", shares=SLOW)], agent="shop", outcome="transfer",
         ended_by="rule_human", target="desk"),
    call(SINCE + 300, [turn(1, "book it", tools=[tool("book", 5000, "timeout", 2)])], ended_by="rule_goodbye"),
]  # fmt: skip
IDS = [made["call_id"] for made in CALLS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return filled(tmp_path_factory.mktemp("kept"), CALLS)


@pytest.fixture(autouse=True)
def place(folder, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(folder))
    monkeypatch.delenv("COLUMNS", raising=False)


def listed(*arguments: object) -> list[str]:
    done = voicebridge("calls", "ls", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return [row["call_id"] for row in json.loads(done.stdout)["calls"]]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ([], [2, 1, 0]),
        (["--agent", "shop"], [1]),
        (["--outcome", "transfer"], [1]),
        (["--ended-by", "rule_goodbye"], [2]),
        (["--text", "HUMAN"], [1]),
        (["--min-gap", "1.5"], [1]),
        (["--problems"], [2, 1]),
        (["--limit", "1"], [2]),
        (["--limit", "1", "--offset", "1"], [1]),
        (["--until", "2020-01-01"], []),
        (["--since", "2020-01-01"], [2, 1, 0]),
        (["--caller", "+49 170 1"], []),
    ],
    ids=lambda value: "-".join(map(str, value)).replace(" ", "") or "all" if isinstance(value, list) else None,
)
def test_calls_are_found_newest_first(arguments, found):
    assert listed(*arguments) == [IDS[number] for number in found]


def test_the_list_for_people_has_a_line_a_call():
    done = voicebridge("calls", "ls")
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["began", "call", "agent", "caller", "length", "turns", "gap", "max", "ended"]
    assert [row.split()[2] for row in rows] == [IDS[2][:8], IDS[1][:8], IDS[0][:8]]
    assert "transfer to desk, rule_human" in rows[1] and "2.20" in rows[1]
    assert "1:00" in rows[0] and "1!" in rows[0]


def test_a_part_of_the_list_says_how_many_there_are():
    assert "1 to 2 of 3 calls" in voicebridge("calls", "ls", "--limit", 2).stdout
    assert json.loads(voicebridge("calls", "ls", "--limit", 2, "--json").stdout)["total"] == 3


def test_none_that_fits_is_no_error():
    done = voicebridge("calls", "ls", "--agent", "nobody")
    assert (done.exit_code, done.stdout) == (0, "no calls that fit\n")


def test_a_time_that_is_none_is_told_with_what_can_be_written():
    done = voicebridge("calls", "ls", "--since", "tomorrowish")
    assert done.exit_code == 2 and "write 90m, 24h, 7d" in done.output


@pytest.mark.parametrize("name", [IDS[1], IDS[1][:8], IDS[1].upper(), IDS[1][:13]], ids=["id", "8", "upper", "13"])
def test_a_call_is_shown_by_its_id_or_its_beginning(name):
    done = voicebridge("calls", "show", name)
    assert done.exit_code == 0, done.output
    assert f"call {IDS[1]}" in done.stdout and "caller  a human please" in done.stdout
    assert "slow: the language model took 1.90 of 2.20 s" in done.stdout
    assert max(len(line.rstrip()) for line in done.stdout.splitlines()) <= 160


def test_the_last_call_is_shown_and_its_record_printed():
    assert json.loads(voicebridge("calls", "show", "last", "--json").stdout) == CALLS[2]
    assert "tool book 5000 ms, timeout (2 attempts)" in voicebridge("calls", "show", "last").stdout


def test_where_the_recording_is_is_told(folder):
    wav = folder / "calls" / f"{IDS[0]}.wav"
    wav.write_bytes(b"RIFF")
    try:
        assert f"listen to it: {wav}" in voicebridge("calls", "show", IDS[0]).stdout
    finally:
        wav.unlink()
    assert "listen to it" not in voicebridge("calls", "show", IDS[0]).stdout


@pytest.mark.parametrize(
    "name", ["ffffffff-0000", "../../etc", "%", "x" * 500], ids=["unknown", "path", "like", "long"]
)
def test_an_unknown_call_is_told_without_a_traceback(name):
    done = voicebridge("calls", "show", name)
    assert done.exit_code == 1
    assert "is kept" in done.stderr and "Traceback" not in done.output


def test_a_beginning_of_several_calls_names_them(tmp_path, monkeypatch):
    twins = [{**CALLS[0], "call_id": f"{number}{IDS[0][1:]}", "began_at": SINCE} for number in "ab"]
    twins += [{**CALLS[0], "call_id": f"a{number}{IDS[0][2:]}"} for number in "01"]
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(filled(tmp_path, twins)))
    done = voicebridge("calls", "show", "a")
    assert done.exit_code == 1 and "several calls begin with a" in done.stderr
    assert sum(twin["call_id"] in done.stderr for twin in twins) == 3


def test_without_a_store_each_command_says_what_makes_one(tmp_path, monkeypatch):
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(tmp_path / "none"))
    for arguments in (["ls"], ["show", "last"], ["export"]):
        done = voicebridge("calls", *arguments)
        assert done.exit_code == 1 and "voicebridge run" in done.stderr, arguments
    assert not (tmp_path / "none").exists(), "who only reads makes no folder"


def test_an_empty_store_has_no_last_call(tmp_path, monkeypatch):
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(filled(tmp_path, [])))
    done = voicebridge("calls", "show", "last")
    assert (done.exit_code, done.stderr) == (1, "voicebridge: no call is kept yet\n")
    assert voicebridge("calls", "ls").stdout == "no calls\n"


def test_a_damaged_record_is_told_as_such(tmp_path, monkeypatch):
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(filled(tmp_path, CALLS[:2])))
    with sqlite3.connect(tmp_path / "calls.db") as database:
        database.execute("update calls set document = '{' where call_id = ?", (IDS[0],))
    database.close()
    done = voicebridge("calls", "show", IDS[0])
    assert done.exit_code == 1 and "is damaged" in done.stderr and "Traceback" not in done.output
    exported = voicebridge("calls", "export")
    assert [json.loads(line)["call_id"] for line in exported.stdout.splitlines()] == [IDS[1]]


def test_a_file_that_is_no_database_is_told_as_such(tmp_path, monkeypatch):
    (tmp_path / "calls.db").write_bytes(b"no database" * 1000)
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(tmp_path))
    done = voicebridge("calls", "ls")
    assert done.exit_code == 1 and "cannot be read" in done.stderr and "Traceback" not in done.output


@pytest.mark.parametrize(("begun", "expected"), [("", [2, 1, 0]), (IDS[1][:3], [1])], ids=["all", "begun"])
def test_ids_are_completed_newest_first(begun, expected):
    environment = {"COMP_WORDS": f"voicebridge calls show {begun}", "COMP_CWORD": "3",
                   "_VOICEBRIDGE_COMPLETE": "bash_complete"}  # fmt: skip
    done = CliRunner(env=environment).invoke(main, prog_name="voicebridge", complete_var="_VOICEBRIDGE_COMPLETE")
    offered = [line.partition(",")[2] for line in done.stdout.splitlines()]
    assert [value for value in offered if value != "last"] == [IDS[number] for number in expected]


def test_without_a_store_nothing_is_completed(tmp_path, monkeypatch):
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(tmp_path))
    environment = {"COMP_WORDS": "voicebridge calls show ", "COMP_CWORD": "3", "_VOICEBRIDGE_COMPLETE": "bash_complete"}
    done = CliRunner(env=environment).invoke(main, prog_name="voicebridge", complete_var="_VOICEBRIDGE_COMPLETE")
    assert done.stdout.strip() == "" and "Traceback" not in done.output
