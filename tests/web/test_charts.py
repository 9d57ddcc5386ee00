"""The overview's plots."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.pretence import some_calls
from voicebridge.trace.review import review
from voicebridge.web.charts import share_bar
from voicebridge.web.overview import SPANS, Overviews, calls_plot, gap_plot

NOW = 1_800_000_000.0


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
