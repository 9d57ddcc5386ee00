"""A report as a page: whole by itself, nothing of a caller's is run, the plots show the numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from tests.trace.planted import DAY_S, SINCE, UNKNOWN, UNTIL, all_problems, call, quiet, turn
from voicebridge.trace.report import plots
from voicebridge.trace.report.page import page
from voicebridge.trace.review import review

WEEK = UNTIL - SINCE
VOID = {"meta", "br", "link", "img", "line", "rect"}


def reviewed(records, since=SINCE, bucket_s=DAY_S):
    return review(records, since=since, until=since + WEEK, bucket_s=bucket_s)


class Reader(HTMLParser):
    """Fails where tags are not closed in order; keeps attributes and text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def html():
    before = reviewed(quiet(70, SINCE - WEEK), SINCE - WEEK)
    return page(reviewed(all_problems()), before, agent="desk", made_at="Made today.")


def test_the_page_is_well_formed_and_loads_nothing(html):
    reader = read(html)
    assert not {name for _, name, _ in reader.attributes} & {"src", "href", "onclick", "onload"}
    assert "http:" not in html and "https:" not in html and "@import" not in html and "<script" not in html
    assert len(html) < 60_000


def test_light_dark_and_paper_have_their_colours(html):
    assert "@media (prefers-color-scheme: dark)" in html and "@media print" in html
    used = set(re.findall(r"var\((--[a-z0-9]+)\)", html))
    light, _, dark = html.partition("prefers-color-scheme: dark")
    assert used <= set(re.findall(r"(--[a-z0-9]+):", light))
    assert used <= set(re.findall(r"(--[a-z0-9]+):", dark.partition("</style>")[0]))


def test_what_was_planted_stands_in_it(html):
    text = " ".join("".join(read(html).text).split())
    for piece in ("Calls of desk", "18 Nov 2026 to 25 Nov 2026", "Answer “can I park there”", "It failed 5 of 40 times",
                  "raise its deadline_s", "▲ 0.80 s, worse", "8 or more", "Made today."):  # fmt: skip
        assert piece in text


def test_what_a_caller_said_is_text():
    evil = '<img src=x onerror="alert(1)"> `</code><script>` & \x1b'
    records = [call(SINCE + n, [turn(1, evil, UNKNOWN, rule="not_covered")], agent="<b>") for n in range(3)]
    html = page(reviewed(records), reviewed([]), agent="<b>")
    reader = read(html)
    assert "<img" not in html and "<script" not in html and "<b>" not in html and "\x1b" not in html
    assert '<img src=x onerror="alert(1)">' in "".join(reader.text)


def test_a_page_without_calls_is_one_sentence():
    text = "".join(read(page(reviewed([]), reviewed([]))).text)
    assert "No calls in this time." in text and "What to do" not in text


# ---- plots


def bars(svg: str, name: str) -> list[float]:
    return [float(height) for height in re.findall(rf'<rect class="{name}"[^>]* height="([\d.]+)"', svg)]


def test_columns_are_as_high_as_their_numbers():
    now = reviewed([call(SINCE + n * 60, [turn(1, "x")]) for n in range(3)]
                   + [call(SINCE + DAY_S, [turn(1, "x")])])  # fmt: skip
    three, one = bars(plots.calls(now), "a-calls")
    assert three == pytest.approx(3 * one, rel=0.01)


def test_stacked_parts_are_in_the_proportion_of_their_times():
    svg = plots.gaps(reviewed([call(SINCE, [turn(1, "x", shares={"stt": 0.4, "llm": 0.8})])]))
    (stt,), (llm,) = bars(svg, "a-stt"), bars(svg, "a-llm")
    assert llm == pytest.approx(2 * stt, rel=0.01)


def test_every_bar_lies_within_the_picture():
    svg = plots.gaps(reviewed(all_problems()))
    for x, y, width, height in re.findall(r'<rect [^>]*x="(.+?)" y="(.+?)" width="(.+?)" height="(.+?)"', svg):
        assert 0 <= float(x) <= float(x) + float(width) <= plots.WIDTH
        assert 0 <= float(y) <= float(y) + float(height) <= plots.HEIGHT - plots.BOTTOM + 1


def test_a_column_tells_its_numbers_to_who_points_at_it():
    svg = plots.gaps(reviewed([call(SINCE, [turn(1, "x")])]))
    assert ": 1 call, p50 0.30 s, p95 0.30 s; mean by vad 0.08" in svg
    assert svg.count("<title>") == 7


@pytest.mark.parametrize("bucket_s", [3_600.0, DAY_S, 10 * DAY_S], ids=["hours", "days", "one"])
def test_labels_do_not_run_into_each_other(bucket_s):
    svg = plots.calls(reviewed(quiet(), bucket_s=bucket_s))
    assert svg.count('text-anchor="middle"') <= plots.LABELS
    read(svg)
