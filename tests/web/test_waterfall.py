"""The picture of a turn: what it shows, where, and that nothing in a record gets into its markup."""

from __future__ import annotations

import random
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.pretence import Maker, booking, some_calls, the_call, the_slow_call
from voicebridge.web.scale import WAIT_SHARE, in_words, scale, ticks
from voicebridge.web.waterfall import in_short, picture, svg

RECORD = the_call(1_800_000_000.0)
TURNS = {
    name: RECORD["turns"][number]
    for name, number in (("greeting", 0), ("plain", 1), ("cut", 2), ("slow", 3), ("tool", 4))
}


def drawn(turn: dict) -> ElementTree.Element:
    made = picture(turn)
    assert made is not None
    return ElementTree.fromstring(svg(made, in_short(turn)))


def test_a_turns_bars_are_its_spans_one_below_the_other_and_touch():
    made = picture(TURNS["plain"])
    bars = [bar for bar in made.bars if bar.actor not in ("caller", "agent")]
    assert [(bar.actor, bar.begin, bar.end) for bar in bars] == [
        (span["actor"], span["from"], span["to"]) for span in TURNS["plain"]["spans"]
    ]
    assert [bar.row for bar in bars] == list(range(len(bars)))
    places = [(made.scale.at(bar.begin), made.scale.at(bar.end)) for bar in bars]
    assert all(one[1] == pytest.approx(other[0]) for one, other in zip(places, places[1:], strict=False))
    assert made.scale.at(made.audible) == pytest.approx(WAIT_SHARE)
    assert made.audible - made.zero == pytest.approx(TURNS["plain"]["gap_s"], abs=0.001)


def test_what_is_to_blame_stands_out_and_the_budget_is_drawn():
    slow, plain = svg(picture(TURNS["slow"]), ""), svg(picture(TURNS["plain"]), "")
    assert 'class="bar a-llm blamed"' in slow and 'class="budget"' in slow
    assert "blamed" not in plain and 'class="budget"' not in plain


def test_a_turn_made_slow_by_each_is_blamed_on_it():
    turns = the_slow_call(0.0)["turns"][1:5]
    assert [turn["slow"]["actor"] for turn in turns] == ["stt", "llm", "tts", "tool"]
    for turn in turns:
        blamed = {bar.actor for bar in picture(turn).bars if bar.actor == picture(turn).blamed}
        assert blamed == {turn["slow"]["actor"]}
        longest = max(
            (b for b in picture(turn).bars if b.actor not in ("caller", "agent")), key=lambda b: b.end - b.begin
        )
        assert longest.actor == turn["slow"]["actor"]


def test_a_tools_attempts_are_drawn_and_those_that_failed_are_hatched():
    made = picture(TURNS["tool"])
    attempts = [bar for bar in made.bars if bar.title.startswith("book_repair, attempt")]
    assert [bar.failed for bar in attempts] == [True, False]
    assert len({bar.row for bar in attempts}) == 1
    assert svg(made, "").count('class="hatch"') == 1
    failed = Maker(random.Random(1), 0.0)
    booking(failed, fails=True)
    assert [bar.failed for bar in picture(failed.record()["turns"][0]).bars if "attempt" in bar.title] == [True, True]


def test_cover_speech_and_the_callers_interruption_are_drawn():
    assert any(bar.actor == "filler" for bar in picture(TURNS["tool"]).bars)
    root = drawn(TURNS["cut"])
    (line,) = (line for line in root if line.get("class") == "cut" and line.tag == "line")
    made = picture(TURNS["cut"])
    assert (
        WAIT_SHARE < float(line.get("x1").rstrip("%")) == pytest.approx(made.scale.at(TURNS["cut"]["cut_at"]), abs=0.01)
    )
    assert not any(line.get("class") == "cut" for line in drawn(TURNS["plain"]))


def test_a_line_that_was_heard_whole_and_that_nobody_waited_for_needs_no_picture():
    assert picture(TURNS["greeting"]) is None
    assert picture({"turn": 0}) is None


def test_words_of_a_record_are_no_markup():
    turn = {**TURNS["tool"], "tools": [{**TURNS["tool"]["tools"][0], "tool": '<script x="1">&'}]}
    text = svg(picture(turn), '"><script>')
    assert "<script" not in text
    assert ElementTree.fromstring(text).get("aria-label") == '"><script>'


def test_the_picture_is_told_in_words():
    text = in_short(TURNS["plain"])
    assert text.startswith("Turn 1: 564 ms from the caller's last sound to the answer")
    assert "recogniser 154 ms" in text


def test_every_turn_of_many_calls_is_drawn_inside_its_frame():
    drawn_turns = 0
    for record in some_calls(40, 1_800_000_000.0):
        for turn in record["turns"]:
            if (made := picture(turn)) is None:
                continue
            drawn_turns += 1
            for element in ElementTree.fromstring(svg(made, "")).iter("rect"):
                left, width = (float(element.get(name).rstrip("%")) for name in ("x", "width"))
                assert left >= 0 and left + width <= 100.5
                assert float(element.get("y")) + float(element.get("height")) <= made.height
    assert drawn_turns > 80


def test_a_record_of_before_without_spans_is_shown_too():
    old = {name: value for name, value in TURNS["cut"].items() if name not in ("spans", "slow", "cut_at", "fillers")}
    old["said"] = [{name: value for name, value in said.items() if name != "until"} for said in old["said"]]
    assert drawn(old).tag == "svg"


@given(st.floats(0, 1e4), st.floats(0, 1e3), st.floats(0, 1e3), st.floats(-1e4, 2e4), st.floats(0, 1e3))
def test_a_later_moment_is_never_further_left(begin, wait, play, moment, more):
    made = scale(begin, begin + wait, begin + wait + play)
    assert 0 <= made.at(moment) <= made.at(moment + more) <= 100


@pytest.mark.parametrize(("length", "count"), [(0.2, 5), (0.56, 6), (1.9, 4), (31.0, 4)])
def test_the_axis_has_a_handful_of_round_numbers(length, count):
    assert len(ticks(length)) == count
    assert ticks(length)[-1] <= length


@pytest.mark.parametrize(("seconds", "text"), [(0, "0"), (0.2, "200 ms"), (1.5, "1.5 s"), (12, "12 s")])
def test_times_are_written_shortly(seconds, text):
    assert in_words(seconds) == text
