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


def numbers(rows: list[str]) -> list[int]:
    return [int(re.search(r"\d+", row).group()) for row in rows]


def test_a_waterfall_has_a_row_for_every_span_and_they_add_up_to_the_gap(call):
    turn = next(turn for turn in call["turns"] if turn["gap_s"] is not None)
    rows = [row for row in drawn(waterfall(turn)).splitlines() if row.strip()]
    took = [span for span in turn["spans"] if round(span["to"] * 1000) > round(span["from"] * 1000)]
    assert [row.split()[0] for row in rows] == [span["actor"] for span in took]
    assert sum(numbers(rows)) == round(turn["gap_s"] * 1000)
    for row, span in zip(rows, took, strict=True):
        assert STAGES[span["name"]] in row
        assert 1 <= row.count("█") <= WIDTH


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=9))
def test_whatever_the_spans_the_ms_add_up(lengths):
    ends = [5.0]
    for length in lengths:
        ends.append(round(ends[-1] + length, 4))
    spans = [
        {"name": "rule", "actor": "match", "from": a, "to": b} for a, b in zip(ends, ends[1:], strict=False)
    ]  # fmt: skip
    rows = [row for row in drawn(waterfall({"last_voice": 5.0, "spans": spans})).splitlines() if row.strip()]
    assert sum(numbers(rows)) == round((ends[-1] - 5.0) * 1000)
    assert all(1 <= row.count("█") <= WIDTH and len(row.rstrip()) <= 80 for row in rows)


def test_the_bars_follow_each_other_from_left_to_right(call):
    turn = next(turn for turn in call["turns"] if turn["gap_s"] is not None)
    bars = [(row.index("█"), row.rindex("█")) for row in drawn(waterfall(turn)).splitlines() if "█" in row]
    assert all(before[0] <= after[0] and before[1] <= after[1] for before, after in zip(bars, bars[1:], strict=False))
    assert bars[-1][1] - bars[0][0] == WIDTH - 1
    assert len({end for _, end in bars}) >= 3, "stages that took time have bars of their own"


def test_a_waterfall_of_nothing_is_empty():
    assert "█" not in drawn(waterfall({"last_voice": 1.0, "marks": {}}))
    assert "█" not in drawn(waterfall({"last_voice": None, "spans": []}))


def test_a_call_is_shown_as_a_conversation(call):
    text = drawn(lambda console: show_call(console, call))
    assert text.splitlines()[:3] == ["call c-1", "agent test  12.3 s", "ended by caller, outcome hangup"]
    assert "caller  when are you open" in text
    assert "caller  stop [it] please" in text, "what was said is no mark-up"
    assert "agent   Hello and welcome." in text
    assert re.search(r"interrupted by the caller at 0:0\d\.\d, silent \d+ ms after his first voice", text)
    assert re.search(r"\d+ ms to the answer at 0:0\d\.\d, by rule hours", text)
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


# ---- what is drawn where it is on record


def turn_of(**more) -> dict:
    return {"turn": 1, "caller": "hello", "source": "rule", "rule": "", "gap_s": None, "last_voice": None, "marks": {},
            "said": [], "cut_off": False, "troubles": [], **more}  # fmt: skip


def shown(turn: dict, width: int = 140, **head) -> str:
    made = {"call_id": "c", "agent": "a", "seconds": 1.0, "ended_by": "hangup", "outcome": "hangup", "turns": [turn]}
    console = Console(file=io.StringIO(), width=width, color_system=None)
    show_call(console, {**made, **head})
    return console.file.getvalue()


def test_why_a_turn_was_slow_is_said_in_words():
    slow = {"actor": "tool", "span": "tool_done", "ms": 2000, "over_ms": 2000, "text": "the tool x [took] 2.00 s"}
    assert "slow: the tool x [took] 2.00 s" in shown(turn_of(gap_s=2.2, last_voice=1.0, slow=slow))
    assert "slow" not in shown(turn_of(gap_s=0.2, last_voice=1.0, slow=None))


def test_attempts_of_a_tool_are_told_one_by_one():
    tries = [{"at": 1.0, "ms": 500, "cause": "error"}, {"at": 1.6, "ms": 80, "cause": ""}]
    tool = {"tool": "find", "at": 1.0, "ms": 700, "ok": True, "cause": "", "attempts": 2, "try": tries}
    assert "tool find 700 ms, ok (2 attempts: 500 ms error, 80 ms ok)" in shown(turn_of(tools=[tool]))
    assert "attempts" not in shown(turn_of(tools=[{**tool, "attempts": 1, "try": tries[1:]}]))
    assert "ok (3 attempts)" in shown(turn_of(tools=[{**tool, "attempts": 3, "try": []}]))


def test_cover_speech_stands_in_the_waterfall_and_is_no_part_of_the_sum():
    spans = [{"name": "tool_done", "actor": "tool", "from": 10.0, "to": 12.0},
             {"name": "audible", "actor": "playout", "from": 12.0, "to": 12.1}]
    turn = turn_of(gap_s=2.1, last_voice=10.0, spans=spans, fillers=[[11.0, 11.8], [12.5, None]])
    rows = [row.split() for row in shown(turn).splitlines() if "█" in row or "▒" in row]
    assert [row[:2] for row in rows] == [["tool", "2000"], ["playout", "100"], ["filler", "800"]]
    bar = next(row for row in shown(turn).splitlines() if "▒" in row)
    begin = next(row for row in shown(turn).splitlines() if "█" in row).index("█")
    assert (bar.index("▒") - begin) / WIDTH == pytest.approx(1.0 / 2.1, abs=0.03)


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ({"disclosure": {"said": True, "at": 0.4}}, "disclosure heard at 0.4 s"),
        ({"disclosure": {"said": False, "at": 0.4}}, "disclosure not heard to its end"),
        ({"consent": {"asked": True, "given": False, "recorded": False}},
         "consent to recording refused, not recorded"),
        ({"consent": {"asked": True, "given": True, "recorded": True}}, "consent to recording given, recorded"),
        ({"consent": {"asked": True, "given": None, "recorded": False}}, "consent to recording not answered"),
        ({"frames": {"sent": 90, "gap_p50_ms": 20, "gap_p99_ms": 22, "gap_max_ms": 41, "late": 1}},
         "frames: 90 sent, gap p99 22 ms, longest 41 ms, 1 late"),
        ({"engines": {"stt": "vosk", "llm": "", "tts": "piper"}}, "engines: stt vosk, tts piper"),
        ({"caller": "***42", "dialled": "100", "node": "pbx1"}, "agent a  1.0 s  from ***42  to 100  on pbx1"),
        ({"summary": "wants [a] human"}, "summary: wants [a] human"),
        ({"ended_by": "rule_human", "outcome": "transfer", "target": "desk"},
         "ended by rule_human, outcome transfer to desk: the caller asked for it by rule human"),
    ],
    ids=["disclosed", "cut", "refused", "given", "silence", "frames", "engines", "numbers", "summary", "human"],
)  # fmt: skip
def test_the_head_tells(head, line):
    assert line in shown(turn_of(), **head)


def test_without_consent_or_disclosure_nothing_is_said_of_them():
    text = shown(turn_of(), disclosure={"said": False, "at": None}, consent={"asked": False, "given": None})
    assert "disclosure" not in text and "consent" not in text


def test_a_secret_answer_is_told_as_such():
    assert "caller  (not written down)" in shown(turn_of(caller="***", secret=True))


def test_80_columns_suffice_and_long_words_wrap_below_their_beginning(call):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    long = turn_of(caller="word " * 40)
    show_call(console, {**call, "turns": [*call["turns"], long]})
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert not any("…" in line for line in lines), "nothing is cut off"
    begin = next(place for place, line in enumerate(lines) if line.startswith("caller  word"))
    assert lines[begin + 1].startswith("        word")


def test_a_number_from_outside_cannot_move_the_terminals_cursor():
    evil = "\x1b[2J\x1b]0;owned\x07\u202e42"
    text = shown(turn_of(caller=evil, rule=evil, gap_s=0.2, last_voice=0.1, troubles=[evil]), caller=evil, agent=evil)
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "42" in text


def test_a_terminal_without_unicode_gets_bars_all_the_same(call, tmp_path):
    path = tmp_path / "out"
    with path.open("w", encoding="ascii", errors="replace") as file:
        show_call(Console(file=file, width=80, color_system=None), call)
    rows = [line for line in path.read_text("ascii").splitlines() if "#" in line]
    assert len(rows) >= 3


def test_a_record_of_version_1_has_its_waterfall_too():
    old = {"last_voice": 1.0, "gap_s": 0.5, "marks": {"detected": 1.08, "transcript": 1.2, "audible": 1.5}}
    rows = [row.split()[:2] for row in shown(turn_of(**old, handoffs=["refused sales"])).splitlines() if "█" in row]
    assert rows == [["vad", "80"], ["stt", "120"], ["playout", "300"]]


@pytest.mark.parametrize("turns", [None, "x", [1, None], []], ids=["none", "text", "numbers", "empty"])
def test_a_record_without_turns_is_shown(turns):
    console = Console(file=io.StringIO(), width=80)
    show_call(console, {"call_id": "c", "turns": turns})
    assert "call c" in console.file.getvalue()
