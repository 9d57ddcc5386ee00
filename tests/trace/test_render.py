"""A call's record in the terminal."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.trace.stage import RULED, Engine, Watched
from voicebridge.trace.render import WIDTH, percentile, show_call, summary, waterfall
from voicebridge.trace.timeline import STAGES


def drawn(thing) -> str:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    thing(console) if callable(thing) else console.print(thing)
    return console.file.getvalue()


def record(stage: Watched) -> dict:
    turns = [turn.as_dict(100.0) for turn in stage.timeline.turns]
    head = {"call_id": "c-1", "agent": "test", "seconds": 12.34, "ended_by": "caller", "outcome": "hangup"}
    return {**head, "turns": turns}


@pytest.fixture(scope="module")
def call() -> dict:
    stage = Watched(agent=RULED).start().run(2).caller("when are you open").run(0.8)
    return record(stage.caller("stop [it] please").run(5))


def test_percentiles_are_those_of_linear_interpolation():
    assert percentile([1.0], 95) == 1.0
    assert percentile([0.0, 1.0], 50) == 0.5
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.5
    assert percentile(list(range(101)), 95) == 95.0


@given(st.lists(st.floats(0, 100), min_size=1, max_size=50), st.floats(0, 100))
def test_a_percentile_lies_among_the_values(values, share):
    assert min(values) - 1e-9 <= percentile(values, share) <= max(values) + 1e-9


def test_the_summary_is_one_line():
    assert summary([]) == "no turns"
    assert summary([0.4]) == "p50 0.40 s, p95 0.40 s over 1 turn"
    assert summary([0.4, 0.6, 0.5]) == "p50 0.50 s, p95 0.59 s over 3 turns"


def test_a_waterfall_has_a_row_for_every_stage_at_its_millisecond(call):
    turn = next(turn for turn in call["turns"] if turn["gap_s"] is not None)
    rows = [row for row in drawn(waterfall(turn)).splitlines() if row.strip()]
    assert len(rows) == len(turn["marks"])
    shown = [int(re.search(r"\d+", row).group()) for row in rows]
    assert shown == sorted(shown)
    assert shown[-1] == round((turn["marks"]["audible"] - turn["last_voice"]) * 1000)
    for row in rows:
        assert any(text in row for text in STAGES.values())
        assert 1 <= row.count("█") <= WIDTH


def test_the_bars_follow_each_other_from_left_to_right(call):
    turn = next(turn for turn in call["turns"] if turn["gap_s"] is not None)
    bars = [(row.index("█"), row.rindex("█")) for row in drawn(waterfall(turn)).splitlines() if "█" in row]
    assert all(before[0] <= after[0] and before[1] <= after[1] for before, after in zip(bars, bars[1:], strict=False))
    assert bars[-1][1] - bars[0][0] == WIDTH - 1
    assert len({end for _, end in bars}) >= 3, "stages that took time have bars of their own"


def test_a_waterfall_of_nothing_is_empty():
    assert "█" not in drawn(waterfall({"last_voice": 1.0, "marks": {}}))
    assert drawn(waterfall({"last_voice": 1.0, "marks": {"detected": 1.0, "audible": None}})).count("█") >= 1


def test_a_call_is_shown_as_a_conversation(call):
    text = drawn(lambda console: show_call(console, call))
    assert "call c-1  agent test  12.3 s  ended by caller, outcome hangup" in text
    assert "caller  when are you open" in text
    assert "caller  stop [it] please" in text, "what was said is no mark-up"
    assert "agent   Hello and welcome." in text
    assert re.search(r"\d+ ms to the answer, by rule hours, interrupted by the caller", text)
    assert "agent   We are" in text


def test_troubles_and_fillers_are_shown():
    stage = Watched(llm=Engine(1.2, fails="crashed")).start().run(2).caller("what do you sell").run(9)
    text = drawn(lambda console: show_call(console, record(stage)))
    assert "filler  One moment." in text
    assert "ModelFailed: crashed" in text


def test_names_and_causes_are_no_mark_up():
    turn = {"turn": 1, "caller": "x [/] y", "source": "rule", "rule": "a[/b]", "gap_s": 0.5, "last_voice": 1.0,
            "marks": {"audible": 1.5}, "said": [], "cut_off": False, "troubles": ["ModelFailed: [/oh]"]}
    made = {"call_id": "c", "agent": "[/desk]", "seconds": 1.0, "ended_by": "x", "outcome": "y", "turns": [turn]}
    text = drawn(lambda console: show_call(console, made))
    for piece in ("[/desk]", "x [/] y", "by rule a[/b]", "ModelFailed: [/oh]"):
        assert piece in text


def test_what_was_made_and_never_heard_is_not_shown():
    stage = Watched().start().run(2).caller("what do you sell").run(1.0).caller("stop that now").run(0.6)
    text = drawn(lambda console: show_call(console, record(stage)))
    first = text[: text.index("stop that now")]
    assert "Anything else?" not in first


def test_tools_and_handoffs_are_shown():
    turn = {
        "turn": 1, "caller": "a human [please]", "source": "rule", "rule": "human", "gap_s": None, "last_voice": None,
        "marks": {}, "said": [], "cut_off": False, "troubles": [],
        "handoffs": [
            {"at": 1.0, "state": "refused", "target": "sales", "cause": "closed"},
            {"at": 2.0, "state": "go", "target": "desk", "cause": ""},
        ],
        "tools": [{"tool": "find", "at": 1.0, "ms": 120, "ok": True, "cause": ""},
                  {"tool": "book", "at": 1.0, "ms": 5000, "ok": False, "cause": "timeout"},
                  {"tool": "slow", "at": 1.0, "ms": None, "ok": False, "cause": ""}],
    }  # fmt: skip
    call = {**record(Watched(agent=RULED)), "target": "desk", "turns": [turn]}
    made = drawn(lambda console: show_call(console, call))
    for part in (
        "outcome hangup to desk", "tool find 120 ms, ok", "tool book 5000 ms, timeout", "tool slow not finished",
        "handoff refused sales closed", "handoff go desk", "a human [please]",
    ):  # fmt: skip
        assert part in made


def test_who_served_is_drawn_only_where_it_is_not_the_first_of_the_list(call):
    turn = {**call["turns"][-1], "engines": {"stt": "vosk", "llm": "small[1]", "tts": "disk"}}
    record = {**call, "turns": [turn], "engines": {"stt": "vosk", "llm": "big", "tts": "piper"}}
    shown = drawn(lambda console: show_call(console, record))
    assert [line.strip() for line in shown.splitlines() if "served by" in line] == ["served by llm small[1]"]
    record["engines"]["llm"] = "small[1]"
    assert "served by" not in drawn(lambda console: show_call(console, record))
    assert "served by" not in drawn(lambda console: show_call(console, {**record, "engines": {}}))
