"""Charts: well-formed, nothing outside of the picture, round numbers at the axes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from voicebridge.load.plot import WIDTH, Chart, distribution, ticks


def test_a_chart_is_well_formed_and_keeps_inside():
    chart = Chart('a "<b>"', (0, 10), (0, 2), x_label="s & ms", y_label="s")
    chart.line([(0, 0), (10, 2)], "a", "one")
    chart.dots([(5, 1)], "b", "<two>")
    chart.band(1, 2, 0, 2, "c")
    chart.text(1, 1, "<x>")
    tree = ET.fromstring(chart.svg())
    (dot,) = [part for part in tree.iter() if part.tag.endswith("circle")]
    assert 0 < float(dot.get("cx") or 0) < WIDTH
    assert tree.get("aria-label") == 'a "<b>"'


@pytest.mark.parametrize(
    ("low", "high", "made"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0, 0.31, [0, 0.1, 0.2, 0.3]), (0, 61, [0, 20, 40, 60]), (-2, 2, [-2, -1, 0, 1, 2])],
)  # fmt: skip
def test_ticks_are_round(low: float, high: float, made: list[float]):
    assert ticks(low, high) == pytest.approx(made)


def test_a_chart_of_nothing_is_one():
    ET.fromstring(Chart("empty", (0, 0), (0, 0), x_label="", y_label="").svg())


def test_a_distribution_ends_at_all():
    assert distribution([3, 1]) == [(1.0, 50.0), (3.0, 100.0)]
