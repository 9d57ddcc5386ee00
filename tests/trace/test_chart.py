"""Charts: round numbers at the axes, everything where its value is, nothing outside, all text escaped."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from voicebridge.trace.chart import Column, Plane, axis, columns, element, picture, step, ticks

PIXELS = Plane(40, 240, 10, 110, (0, 10), (0, 5))
PERCENT = Plane(10, 100, 10, 110, (0, 10), (0, 5), "%")


def drawn(inner: str) -> ET.Element:
    return ET.fromstring(picture(inner, "a <&> b"))


def number(part: ET.Element, name: str) -> float:
    return float(part.attrib[name].removesuffix("%"))


# ---- numbers at the axes


@pytest.mark.parametrize(
    ("highest", "whole", "top", "by"),
    [(31, True, 40, 10), (0.61, False, 0.8, 0.2), (0.9, False, 1, 0.25), (1, True, 1, 1), (0, True, 1, 1),
     (0, False, 1, 0.25), (10, True, 10, 5), (10, False, 10, 2.5), (1e-5, False, 1e-5, 2.5e-6),
     (4_000, True, 4_000, 1_000)],
)  # fmt: skip
def test_an_axis_is_round_and_holds_everything(highest, whole, top, by):
    made = axis(highest, whole=whole)
    assert made[0] == 0
    assert made[-1] == pytest.approx(top)
    assert made[1] == pytest.approx(by)


@pytest.mark.parametrize(
    ("low", "high", "made"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0, 0.31, [0, 0.1, 0.2, 0.3]), (0, 61, [0, 20, 40, 60]), (-2, 2, [-2, -1, 0, 1, 2]),
     (0.3, 0.9, [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])],
)  # fmt: skip
def test_ticks_are_round_and_inside(low, high, made):
    assert ticks(low, high) == pytest.approx(made)


@pytest.mark.parametrize("most", [4, 6])
def test_steps_are_the_finest_that_fit(most):
    for length in (n / 7 for n in range(1, 400)):
        made = step(length, most)
        assert length / made <= most + 1e-6
        assert length / made > most / 2.5 - 1e-6, "the next finer one is at most 2.5 times as fine"
        counted = step(length, most, whole=True)
        assert counted >= made and counted == int(counted)


# ---- where things lie


@pytest.mark.parametrize("plane", [PIXELS, PERCENT], ids=["pixels", "percent"])
def test_a_bar_lies_between_its_values(plane):
    (bar,) = drawn(plane.bar("a-stt", (2, 4), (1, 3))).iter("rect")
    assert bar.get("class") == "a-stt"
    assert number(bar, "x") == plane.across(2)
    assert number(bar, "x") + number(bar, "width") == plane.across(4)
    assert number(bar, "y") == plane.up(3) == 50
    assert number(bar, "height") == plane.up(1) - plane.up(3) == 40
    assert {bar.attrib[name].endswith("%") for name in ("x", "width")} == {bool(plane.unit)}
    assert not {bar.attrib[name] for name in ("y", "height") if bar.attrib[name].endswith("%")}


def test_a_bar_of_next_to_nothing_is_seen():
    (bar,) = drawn(PIXELS.bar("a", (0, 1), (2, 2.001))).iter("rect")
    assert number(bar, "height") == 0.8


def test_lines_and_dots_go_through_their_points():
    points = [(0.0, 0.0), (10.0, 5.0)]
    (line,) = drawn(PIXELS.line("line a", points)).iter("polyline")
    assert line.get("points") == "40.0,110.0 240.0,10.0"
    assert [(number(dot, "cx"), number(dot, "cy")) for dot in drawn(PIXELS.dots("dot a", points)).iter("circle")] == [
        (40, 110), (240, 10)
    ]  # fmt: skip


def test_numbers_stand_at_their_lines_and_the_last_has_the_unit():
    root = drawn(PERCENT.grid([0, 2.5, 5], " s"))
    assert [text.text for text in root.iter("text")] == ["0", "2.5", "5 s"]
    for line, text in zip(root.iter("line"), root.iter("text"), strict=True):
        assert number(line, "y1") == number(line, "y2") == number(text, "y") - 4
        assert (line.get("x1"), line.get("x2")) == ("10%", "100%")


# ---- columns


def test_parts_are_stacked_to_their_sum_and_marks_stand_at_their_value():
    made = [Column("Mon", "<b>", (("stt", 1.0), ("llm", 3.0)), (("p95", 4.0),)), Column("Tue", "none")]
    root = drawn(columns(made, PERCENT, labels=6))
    stt, llm = (next(r for r in root.iter("rect") if r.get("class") == name) for name in ("a-stt", "a-llm"))
    assert number(llm, "height") == pytest.approx(3 * number(stt, "height"), abs=0.03)
    assert number(llm, "y") + number(llm, "height") == pytest.approx(number(stt, "y"), abs=0.02)
    (mark,) = (line for line in root.iter("line") if "m-p95" in line.attrib["class"])
    assert number(mark, "y1") == pytest.approx(number(llm, "y"))
    assert number(mark, "x1") < number(llm, "x") < number(llm, "x") + number(llm, "width") < number(mark, "x2")
    assert [title.text for title in root.iter("title")] == ["<b>", "none"]


@pytest.mark.parametrize("count", [1, 2, 6, 7, 24, 30, 31, 400])
@pytest.mark.parametrize("plane", [PIXELS, PERCENT], ids=["pixels", "percent"])
def test_columns_stay_inside_and_apart_with_few_labels(count, plane):
    made = [Column(str(n), "", (("calls", n + 1.0),), (("p50", n),)) for n in range(count)]
    root = drawn(columns(made, plane, labels=6, whole=True))
    bars = [r for r in root.iter("rect") if r.get("class") == "a-calls"]
    marks = [r for r in root.iter("line") if r.get("class") == "mark m-p50"]
    assert len(bars) == count
    ends = [(number(mark, "x1"), number(mark, "x2")) for mark in marks]
    assert plane.left <= ends[0][0] and ends[-1][1] <= plane.right
    assert all(before[1] < after[0] for before, after in zip(ends, ends[1:], strict=False))
    assert all(plane.top <= number(bar, "y") <= plane.floor for bar in bars)
    labels = [text.text for text in root.iter("text") if text.get("text-anchor") == "middle"]
    assert 1 <= len(labels) <= 6


def test_a_column_is_no_wider_than_asked():
    made = [Column("", "", (("calls", 1.0),))]
    (bar,) = (r for r in drawn(columns(made, PIXELS, labels=6, widest=46)).iter("rect") if r.get("class") == "a-calls")
    assert number(bar, "width") == pytest.approx(46, abs=0.01)
    assert number(bar, "x") + 23 == pytest.approx(140, abs=0.01)


def test_no_columns_are_an_empty_picture():
    root = drawn(columns([], PERCENT, labels=6))
    assert [text.text for text in root.iter("text")] == ["0", "0.25", "0.5", "0.75", "1"]
    assert not list(root.iter("rect"))


# ---- what is written


def test_whatever_is_written_is_text():
    evil = '"/><script>&'
    root = drawn(
        PIXELS.text(evil, 1, 1) + PIXELS.grid([1], evil) + PIXELS.bar(evil, (0, 1), (0, 1))
        + columns([Column(evil, evil, ((evil, 1),), ((evil, 1),))], PIXELS, labels=1, unit=evil)
    )  # fmt: skip
    assert root.get("aria-label") == "a <&> b"
    assert {part.tag for part in root.iter()} == {"svg", "g", "rect", "line", "text", "title"}
    assert [text.text for text in root.iter("text")].count(evil) == 2


def test_attributes_are_named_as_svg_names_them():
    assert element("text", "x", class_="tick", text_anchor="end", x=1.006, viewBox=3.0) == (
        '<text class="tick" text-anchor="end" x="1.01" viewBox="3">x</text>'
    )
