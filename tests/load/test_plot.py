"""Charts: well-formed, nothing outside of the picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from voicebridge.load.plot import WIDTH, Chart, distribution


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


def test_names_stand_in_the_legend_once():
    chart = Chart("calls", (0, 10), (0, 2), x_label="s", y_label="calls", whole=True)
    for at in (1, 3):
        chart.band(at, at + 1, 0, 2, "c", "gap")
    words = [part.text for part in ET.fromstring(chart.svg()).iter() if part.tag.endswith("text")]
    assert words.count("gap") == 1
    assert {"0", "1", "2"} <= set(words)
    assert "0.5" not in words, "calls are counted"


def test_a_chart_of_nothing_is_one():
    ET.fromstring(Chart("empty", (0, 0), (0, 0), x_label="", y_label="").svg())


def test_a_distribution_ends_at_all():
    assert distribution([3, 1]) == [(1.0, 50.0), (3.0, 100.0)]
