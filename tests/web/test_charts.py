"""The overview's plots."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.pretence import some_calls
from voicebridge.trace.review import review
from voicebridge.web.charts import Column, axis, columns, share_bar
from voicebridge.web.overview import SPANS, Overviews, calls_plot, gap_plot

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("highest", "whole", "top", "step"), [(31, True, 40, 10), (0.61, False, 0.8, 0.2), (1, True, 1, 1), (0, True, 1, 1)]
)
def test_the_axis_is_round_and_holds_everything(highest, whole, top, step):
    made = axis(highest, whole=whole)
    assert (made.top, made.step) == (pytest.approx(top), pytest.approx(step))


def test_parts_are_stacked_to_their_sum_and_marks_stand_at_their_value():
    made = [Column("Mon", "<b>", (("stt", 1.0), ("llm", 3.0)), (("p95", 4.0),)), Column("Tue", "none")]
    root = ElementTree.fromstring(columns(made, "a & b"))
    stt, llm = (next(r for r in root.iter("rect") if r.get("class") == name) for name in ("a-stt", "a-llm"))
    assert float(llm.get("height")) == pytest.approx(3 * float(stt.get("height")), abs=0.3)
    assert float(llm.get("y")) + float(llm.get("height")) == pytest.approx(float(stt.get("y")), abs=0.11)
    (mark,) = (line for line in root.iter("line") if "m-p95" in line.get("class"))
    assert float(mark.get("y1")) == pytest.approx(float(llm.get("y")), abs=0.11)
    assert root.get("aria-label") == "a & b"


def test_a_share_is_as_wide_as_it_is_large():
    assert 'width="25.0%"' in share_bar(1, 4, "fill-transfer")
    assert 'width="0.0%"' in share_bar(0, 0, "fill-transfer")


def test_the_overview_is_made_once_a_minute_of_whole_days():
    asked = []
    now = [NOW]

    def records(since, until, agent):
        asked.append((since, until, agent))
        return list(some_calls(60, NOW, days=7))

    overviews = Overviews(records, {}, clock=lambda: now[0])
    week = SPANS[1]
    found = overviews.get(week, "")
    assert overviews.get(week, "") is found
    now[0] += 61
    assert overviews.get(week, "") is not found
    assert overviews.get(week, "northgate") is not found
    assert [agent for _, _, agent in asked] == ["", "", "northgate"]
    assert len(found.buckets) == 7
    assert sum(bucket.calls for bucket in found.buckets) == found.calls


@pytest.mark.parametrize("span", SPANS, ids=[span.name for span in SPANS])
def test_plots_of_real_reviews_are_drawn(span):
    found = review(
        some_calls(60, NOW, days=span.seconds / 86_400),
        since=NOW - span.seconds, until=NOW, bucket_s=span.bucket_s,
    )  # fmt: skip
    gaps, calls = (ElementTree.fromstring(plot(found, span)) for plot in (gap_plot, calls_plot))
    answered = [bucket for bucket in found.buckets if bucket.p95 is not None]
    assert sum("m-p95" in line.get("class") for line in gaps.iter("line")) == len(answered)
    assert sum(r.get("class") == "a-calls" for r in calls.iter("rect")) == sum(b.calls > 0 for b in found.buckets)
