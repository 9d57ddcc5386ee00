"""Scenario files: what they may say, and where exactly the fault is in one that may not."""

from __future__ import annotations

import textwrap
from datetime import datetime
from pathlib import Path

import pytest

from voicebridge.scenario.script import EXAMPLE, load
from voicebridge.scenario.source import ScriptError


def written(folder: Path, text: str) -> Path:
    path = folder / "desk.test.yaml"
    path.write_text(textwrap.dedent(text))
    return path


def test_the_documented_example_is_a_scenario_file(tmp_path):
    path = written(tmp_path, EXAMPLE.read_text())
    (tmp_path / "yes.wav").touch()
    made = load(path)
    first, second = made.calls
    assert made.agent == "desk"
    assert first.now == second.now == datetime(2026, 11, 30, 10, 15)
    assert first.caller == "+15550142"
    assert first.tools["book"][0].takes == 2.5
    assert [stub.fails for stub in first.tools["lookup"]] == ["timeout", None]
    assert set(second.tools) == {"book"}
    assert first.humans["sales"].state == "declined"
    assert [step.action for step in first.steps] == [
        "nothing", "caller", "caller", "interrupt", "keys", "wait", "caller",
    ]  # fmt: skip
    assert first.steps[1].expect.says == ("december 1st", "1st of december")
    assert first.steps[2].expect.tool.arguments == {"date": "2026-12-01"}
    assert made.wav(first.steps[2]) == tmp_path / "yes.wav"
    assert second.steps[0].action == "hang_up"
    lines = path.read_text().splitlines()
    assert "interrupt:" in lines[made.line(0, 3) - 1]


def test_a_call_beats_what_the_file_says_for_all(tmp_path):
    made = load(written(tmp_path, """
        caller: "1"
        now: 2026-01-01 10:00
        variables: {a: "1", b: "2"}
        delays: {stt: 1}
        calls:
          - {name: one, steps: [caller: x]}
          - {name: two, caller: 007, now: 2026-02-02T10:00:00+01:00, variables: {b: 3}, steps: [caller: x]}
    """))
    one, two = made.calls
    assert (one.caller, one.variables, one.delays.stt) == ("1", {"a": "1", "b": "2"}, 1.0)
    assert (two.caller, two.variables) == ("007", {"a": "1", "b": "3"})
    assert (one.now.month, two.now.month) == (1, 2)
    assert two.now.utcoffset().total_seconds() == 3600


ONE = "calls:\n  - name: a\n    steps:\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ONE + "      - caler: hi\n", ":4: call 'a', step 1: caler: there is no such key"),
        (ONE + "      - caller: hi\n      - {}\n", ":5: call 'a', step 2: an empty step"),
        (ONE + "      - caller: hi\n        keys: 1\n", ":4: call 'a', step 1: a step does one thing: caller and keys"),
        (ONE + "      - keys: 12x\n", ":4: call 'a', step 1: keys: String should match"),
        (ONE + "      - after: -1\n", ":4: call 'a', step 1: after: Input should be greater"),
        (ONE + "      - after: 1\n        meanwhile: true\n", ":4: call 'a', step 1: meanwhile goes with"),
        (ONE + "      - expect:\n          says: '('\n", ":5: call 'a', step 1: expect.says: '(' is not a regular"),
        (ONE + "      - expect: {}\n", ":4: call 'a', step 1: expect: nothing is expected"),
        (ONE + "      - expect: {ends: later}\n", ":4: call 'a', step 1: expect.ends: Input should be 'hangup'"),
        (ONE + "      - expect: {within_ms: soon}\n", ":4: call 'a', step 1: expect.within_ms: Input should be"),
        (ONE + "      - expect: {says: 1,400}\n", ":4: call 'a', step 1: expect: a key is not text"),
        (ONE + "      - wav: none.wav\n", ":4: wav: there is no file"),
        (ONE + "      - hang_up: true\n      - caller: hi\n", ":2: call 'a': steps: the caller has hung up in step 1"),
        (ONE + "      []\n", ":3: call 'a': steps: is empty"),
        ("calls:\n  - name: a\n", ":2: call 'a': steps: is missing"),
        ("calls:\n  - steps: [hang_up: true]\n", ":2: call 1: name: is missing"),
        (ONE + "      - caller: x\n    tools:\n      book: {fails: sometimes}\n", ":6: call 'a': tools.book.fails: "),
        (ONE + "      - caller: x\n    tools:\n      book: []\n", ":6: call 'a': tools.book: is empty"),
        (ONE + "      - caller: x\n    model: [{}]\n", ":5: call 'a': model: a model's answer is a text, or {call"),
        (ONE + "      - caller: x\n    humans: {sales: asleep}\n", ":5: call 'a': humans.sales.state: Input"),
        (ONE + "      - caller: x\n    now: yesterday\n", ":5: call 'a': now: Input should be a valid datetime"),
        (ONE + "      - caller: x\n  - {name: a, steps: [caller: y]}\n", ":1: calls: two are named 'a'"),
        ("agent: desk\n", ":1: calls: is missing"),
        ("- 1\n", ": is not a scenario file"),
        ("", ": is not a scenario file"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_file_line_call_and_step(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(ScriptError) as caught:
        load(path)
    (line,) = str(caught.value).splitlines()
    assert f"{path}{told}" in line


def test_all_faults_are_told_at_once(tmp_path):
    path = written(tmp_path, ONE + "      - caler: hi\n      - expect: {within_ms: 0, saays: x}\n")
    with pytest.raises(ScriptError) as caught:
        load(path)
    assert [line.split(": ")[0].rpartition(":")[2] for line in str(caught.value).splitlines()] == ["4", "5", "5"]
