"""What came of scenarios, for people and for machines."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from tests.scenario.desk import played
from voicebridge.scenario import report

CALLS = """
  - name: asks [bold] for the hours & <more>
    steps:
      - caller: when are you open
        expect: {says: nine, within_ms: 1500}
  - name: fails
    steps:
      - caller: when are you open
        expect: {says: "ten [/] thirty\\x1b"}
      - caller: bye bye
  - {name: unheard, steps: [{wav: a.wav}]}
"""


@pytest.fixture
def results(tmp_path):
    (tmp_path / "a.wav").touch()
    return played(tmp_path, CALLS)


def shown(results) -> str:
    console = Console(file=io.StringIO(), width=300, color_system=None)
    for result in results:
        report.show_result(console, result)
    report.show_summary(console, results)
    return console.file.getvalue()


def test_people_see_the_conversation_of_a_failed_call_and_what_was_expected(results):
    text = shown(results)
    assert "✓ asks [bold] for the hours & <more>  " in text
    assert "✗ fails" in text and "- unheard  step 1 is a recording" in text
    path = results[0].suite.script.path
    assert f"step 1 (caller: when are you open) says  {path}:20" in text
    assert path.read_text().splitlines()[19].strip() == "- caller: when are you open"
    assert "expected  'ten [/] thirty\\x1b'" in text
    assert "got       'We are open from nine to five" in text
    assert text.count("caller   when are you open") == 1
    assert "end      hangup (rule_bye)" in text
    assert "1 passed, 1 failed, 1 skipped; response gap p50 0.30 s, p95 0.30 s over 3 turns" in text


def test_machines_read_the_same_as_json(results):
    told = json.loads(report.as_json(results))
    assert (told["passed"], told["failed"], told["skipped"]) == (1, 1, 1)
    passed, failed, skipped = told["calls"]
    assert passed["gaps_ms"] == [300]
    assert failed["failures"] == [{
        "step": 1, "line": 20, "what": "says", "expected": "'ten [/] thirty\\x1b'", "got": failed["failures"][0]["got"],
    }]  # fmt: skip
    assert [line["who"] for line in failed["conversation"]] == ["agent", "caller", "agent", "caller", "agent", "end"]
    assert "recording" in skipped["reason"]


def test_build_servers_read_junit(results, tmp_path):
    report.write_junit(results, tmp_path / "out.xml")
    root = ET.parse(tmp_path / "out.xml").getroot()
    assert (root.tag, root.get("tests"), root.get("failures"), root.get("skipped")) == ("testsuites", "3", "1", "1")
    (suite,) = root
    passed, failed, skipped = suite
    assert passed.get("name") == "asks [bold] for the hours & <more>"
    assert passed.find("failure") is None
    assert passed.get("classname") == "desk"
    assert ":20: step 1: says: expected 'ten [/] thirty" in failed.find("failure").get("message")
    assert "We are open from nine to five" in failed.find("failure").text
    assert skipped.find("skipped") is not None
