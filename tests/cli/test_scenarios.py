"""`voicebridge test`: what it plays, and its exit codes."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from tests.scenario.desk import written
from voicebridge.cli.main import main

GOOD = "  - {name: good one, steps: [{caller: when are you open, expect: {says: nine}}]}\n"
BAD = "  - {name: bad one, steps: [{caller: when are you open, expect: {says: midnight}}]}\n"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["test", *map(str, arguments)])


def test_the_demos_scenarios_pass():
    done = run("demo", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["failed"], told["skipped"]) == (0, 0)
    assert told["passed"] >= 10


def test_the_example_is_printed_without_a_file():
    done = run("--example")
    assert done.exit_code == 0
    assert "expect: {hand_off: sales, ends: transfer}" in done.output


def test_a_failed_call_is_exit_code_1(tmp_path):
    done = run(written(tmp_path, GOOD + BAD), "--junit", tmp_path / "out.xml")
    assert done.exit_code == 1
    assert "✓ good one" in done.output and "✗ bad one" in done.output
    assert "1 passed, 1 failed" in done.output
    assert 'failures="1"' in (tmp_path / "out.xml").read_text()


def test_k_picks_calls_by_their_name(tmp_path):
    written(tmp_path, GOOD + BAD)
    done = run(tmp_path / "desk.toml", "-k", "GOOD")
    assert done.exit_code == 0
    assert "bad one" not in done.output
    done = run(tmp_path, "-k", "ugly")
    assert done.exit_code == 2
    assert "voicebridge: -k ugly: no call has this in its name" in done.output


def test_every_broken_file_is_told_and_nothing_is_played(tmp_path):
    good = written(tmp_path, GOOD)
    (tmp_path / "b.test.yaml").write_text("agent: demo\ncalls:\n  - {name: a, steps: [{caler: x}]}\n")
    done = run(good, tmp_path / "b.test.yaml", tmp_path / "none.yaml")
    assert done.exit_code == 2
    assert f"voicebridge: {tmp_path}/b.test.yaml:3: call 'a', step 1: caler: there is no such key" in done.output
    assert f"voicebridge: {tmp_path}/none.yaml: cannot be read" in done.output
    assert "good one" not in done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Missing argument 'FILE...'"),
        (("--daemon", "127.0.0.1:1"), "--daemon and --store go together"),
        (("--junit", "/nowhere/out.xml"), "voicebridge: [Errno 2]"),
        (("--daemon", "127.0.0.1", "--store", "/tmp"), "'127.0.0.1' is not an address"),
    ],
)
def test_what_cannot_be_done_is_exit_code_2(tmp_path, arguments, told):
    done = run(*([written(tmp_path, GOOD)] if arguments else []), *arguments)
    assert done.exit_code == 2
    assert told in done.output
