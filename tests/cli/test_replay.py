"""`voicebridge replay`: the same decisions, other decisions, or no log at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.trace.stage import RULED, Watched
from voicebridge.cli.replay import replay
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.trace.eventlog import Step, header, line


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    stage = Watched(agent=RULED).start().run(2).caller("when are you open").run(1.0).caller("uh-huh").run(2)
    return stage.caller("what about [/] that").run(3).caller("goodbye").run(4).steps


def written(path: Path, steps: list[Step]) -> Path:
    path.write_text("\n".join([header(RULED, call="c", context_tokens=2048), *map(line, steps)]) + "\n")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(replay, [str(argument) for argument in arguments])


def test_a_recorded_call_gives_the_same_decisions(steps, tmp_path):
    done = run(written(tmp_path / "log", steps))
    assert done.exit_code == 0
    assert f"{len(steps)} events replayed: the same decisions" in done.output
    assert "0.000 CallStarted()" in done.output
    assert "-> Play(segment=1)" in done.output
    assert "what about [/] that" in done.output


def test_quiet_tells_only_the_verdict(steps, tmp_path):
    done = run("-q", written(tmp_path / "log", steps))
    assert done.output == f"{len(steps)} events replayed: the same decisions\n"


def test_another_decision_is_shown_and_is_exit_code_1(steps, tmp_path):
    at = next(number for number, step in enumerate(steps) if step.commands)
    changed = [*steps]
    changed[at] = replace(steps[at], commands=(cmd.Play(77),))
    done = run("-q", written(tmp_path / "log", changed))
    assert done.exit_code == 1
    assert f"step {at + 1} at" in done.output and "was [Play(segment=77)], is [" in done.output
    assert "1 steps differ" in done.output
    told = json.loads(run("--json", tmp_path / "log").output)
    assert (told["steps"], len(told["differences"]), told["log"]) == (len(steps), 1, str(tmp_path / "log"))


def test_an_empty_call_is_the_same(tmp_path):
    done = run(written(tmp_path / "log", []))
    assert (done.exit_code, done.output) == (0, "0 events replayed: the same decisions\n")


def test_what_is_no_log_is_exit_code_2_with_its_line(steps, tmp_path):
    bad = written(tmp_path / "log", [Step(1.0, ev.CallStarted(), ())])
    bad.write_text(bad.read_text() + "{\n")
    done = run(bad)
    assert done.exit_code == 2
    assert f"voicebridge: {bad}: line 3: not an event" in done.output
    bad.write_bytes(bytes(range(256)) * 100)
    assert run(bad).exit_code == 2
    good = written(tmp_path / "log", steps).read_bytes()
    bad.write_bytes(good + b"\xff\xfe\n")
    assert run(bad).exit_code == 2
    assert run(tmp_path / "nowhere").exit_code == 2
