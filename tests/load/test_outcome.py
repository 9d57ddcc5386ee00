"""Who was lost, whose silence it was, and which record belongs to which call."""

from __future__ import annotations

from dataclasses import replace

import pytest

from voicebridge.load.caller import longest_silence
from voicebridge.load.outcome import Call, Media, Turn
from voicebridge.load.records import matched
from voicebridge.load.report import answer_gaps, report, spread
from voicebridge.load.run import Run, Target
from voicebridge.load.show import page, rows
from voicebridge.load.sipp import Step
from voicebridge.phone import Line, Spoken

GREETED = Media(voice=((0.5, 2.0), (6.2, 8.0)), packets=500, longest_silence_s=0.4)
TURN = Turn("hours?", 3.0, 6.0, 6.2)
CALL = Call(1, "a", "talk", 1.0, 1.1, 12.1, 200, "callee", (TURN,), GREETED, begun_s=1.1)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"ended_by": "caller"}, ""),
        ({"answered_s": None, "code": 486}, "refused with 486"),
        ({"answered_s": None, "code": 0}, "not answered"),
        ({"media": Media()}, "answered, but nobody spoke"),
        ({"media": Media(), "behaviour": "early", "ended_s": 3.0, "ended_by": "caller"}, ""),
        ({"media": Media(), "behaviour": "early", "ended_s": 9.0}, "answered, but nobody spoke"),
        ({"media": Media(voice=((0.5, 2.0),))}, "cut off without a goodbye"),
        ({"media": Media(voice=((0.5, 2.0),)), "ended_by": "caller"}, ""),
        ({"media": Media(voice=((0.5, 2.0),)), "outcome": "hangup"}, ""),
        ({"cut_while_talking": True}, "cut off without a goodbye"),
        ({"behaviour": "silent", "turns": ()}, ""),
    ],
)  # fmt: skip
def test_who_is_lost_and_why(changes: dict, why: str):
    assert replace(CALL, **changes).lost == why


def line(first: float, last: float, stopped: float | None = None) -> Spoken:
    return Spoken(Line("x", b""), first, last, first, agent_stopped=stopped)


def test_the_longest_silence_is_that_of_the_agents_turns_only():
    voice = [(0.4, 2.0), (6.5, 7.0), (7.6, 9.0)]
    assert longest_silence(voice, [line(3.5, 6.0)], 20.0) == pytest.approx(0.6)  # 2.0 to 3.5 is the caller's
    assert longest_silence([(0.4, 2.0)], [line(3.0, 6.0)], 14.0) == pytest.approx(8.0)
    assert longest_silence([], [], 5.0) == 5.0
    assert longest_silence([(0.2, 5.0), (6.0, 7.0)], [line(3.0, 4.5, stopped=5.0)], 7.5) == pytest.approx(1.0)


def record(call_id: str, began_at: float, seconds: float, **turn) -> dict:
    made = {"last_voice": 5.9, "gap_s": 0.3, "source": "rule", "said": [], **turn}
    return {"call_id": call_id, "began_at": began_at, "seconds": seconds, "outcome": "hangup", "ended_by": "x",
            "turns": [made]}  # fmt: skip


def test_a_record_is_found_by_its_id_or_else_by_the_time_of_day():
    other = replace(CALL, number=2, call_id="b", begun_s=4.0, answered_s=4.0, ended_s=15.0)
    records = [record("z", 1004.1, 10.9), record("a", 2000.0, 1.0), record("far", 1500.0, 11.0)]
    first, second = matched([CALL, other], records, 1000.0)
    assert first.ended == "x"
    assert second.outcome == "hangup"
    assert second.turns[0].own_gap_s == 0.3
    (lonely,) = matched([CALL], [record("far", 1500.0, 11.0)], 1000.0)
    assert lonely.outcome == ""


def test_a_record_belongs_to_one_call_only():
    twin = replace(CALL, number=2, call_id="b", begun_s=1.4)
    found = matched([CALL, twin], [record("q", 1001.35, 10.8)], 1000.0)
    assert [call.outcome for call in found] == ["", "hangup"]


def test_of_a_turn_with_a_filler_the_answers_own_words_count():
    plain = replace(TURN, own_gap_s=0.15, source="rule")  # the wire adds 50 ms
    covered = replace(TURN, answer=7.0, own_gap_s=2.0, filler=True)
    assert answer_gaps([replace(CALL, turns=(plain, covered))]) == pytest.approx([0.2, 2.05])
    assert answer_gaps([CALL]) == []


def test_a_report_counts_and_its_page_stands_by_itself():
    refused = replace(CALL, number=2, answered_s=None, code=404, turns=(), media=Media())
    run = Run(seconds=20.0)
    asked = {"target": "sip:<1>@x", "at_once": 2, "rate": 1.0, "duration_s": 10.0, "profile": "mixed", "seed": 1,
             "codec": "PCMU"}  # fmt: skip
    made = report(run, [CALL, refused], asked)
    assert (made["offered"], made["answered"], made["lost"]) == (2, 1, 1)
    assert made["refused"] == {"404": 1}
    assert made["gap_s"] == spread([TURN.gap_s])
    assert ("lost", "1 (refused with 404: 1)") in list(rows(made))
    html = page(run, made)
    assert "sip:&lt;1&gt;@x" in html
    assert html.count("<svg") == 3
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("sip:100@pbx.example", Target("100", "pbx.example", 5060)),
        ("sip:100@127.0.0.1:5070", Target("100", "127.0.0.1", 5070)),
        ("sip:100@[::1]:5070", Target("100", "::1", 5070)),
    ],
)
def test_targets(text: str, made: Target):
    assert Target.parsed(text) == made


@pytest.mark.parametrize("text", ["100@pbx", "sip:pbx", "sip:@pbx", "tel:100", "sip:100@"])
def test_what_is_no_target_is_refused(text: str):
    with pytest.raises(ValueError, match="sip:EXTENSION@HOST"):
        Target.parsed(text)


@pytest.mark.parametrize(
    ("line", "step"),
    [
        ("offered 3", Step("offered", 3)),
        ("answered 3 127.0.0.1 4000", Step("answered", 3, host="127.0.0.1", port=4000)),
        ("refused 3 486", Step("refused", 3, code=486)),
        ("ended 3 callee", Step("ended", 3, by="callee")),
        ("answered 3 127.0.0.1", None),
        ("2026-11-24 something else", None),
        ("", None),
    ],
)
def test_the_log_of_a_scenario(line: str, step: Step | None):
    assert Step.parsed(line) == step
