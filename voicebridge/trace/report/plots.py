"""Plots of a report: coloured by the page's style, readable on paper. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from voicebridge.trace.chart import Column, Plane, columns, picture
from voicebridge.trace.findings import Bucket, Review
from voicebridge.trace.report.content import count
from voicebridge.trace.spans import ACTORS

WIDTH, HEIGHT = 720, 220
LEFT, TOP, BOTTOM, RIGHT = 44, 14, 28, 8
LABELS = 10
WIDEST = 46.0
DAY_S = 86_400.0


def gaps(now: Review) -> str:
    """Mean gap by what was waited for, stacked, with a mark at p50 and p95, over time."""
    return _drawn("Response gap over time, by what was waited for", [_gap(now, bucket) for bucket in now.buckets], " s")


def calls(now: Review) -> str:
    made = [_column(now, bucket, (("calls", float(bucket.calls)),)) for bucket in now.buckets]
    return _drawn("Calls over time", made, "", height=120)


def used(now: Review) -> list[str]:
    """The actors that the plot of gaps shows, for its legend."""
    return [actor for actor in ACTORS if any(bucket.actors.get(actor, 0.0) > 0 for bucket in now.buckets)]


def _drawn(title: str, made: Sequence[Column], unit: str, *, height: int = HEIGHT) -> str:
    plane = Plane(LEFT, WIDTH - RIGHT, TOP, height - BOTTOM)
    inner = columns(made, plane, labels=LABELS, unit=unit, whole=not unit, widest=WIDEST)
    return picture(inner, title, class_="plot", viewBox=f"0 0 {WIDTH} {height}")


def _gap(now: Review, bucket: Bucket) -> Column:
    parts = tuple((actor, bucket.actors.get(actor, 0.0)) for actor in ACTORS)
    marks = tuple((name, value) for name, value in (("p50", bucket.p50), ("p95", bucket.p95)) if value is not None)
    return _column(now, bucket, parts, marks)


def _column(
    now: Review, bucket: Bucket, parts: tuple[tuple[str, float], ...], marks: tuple[tuple[str, float], ...] = ()
) -> Column:
    name = _named(bucket, now.bucket_s)
    return Column(name, f"{name}{_numbers(bucket)}", parts, marks)


def _named(bucket: Bucket, bucket_s: float) -> str:
    at = datetime.fromtimestamp(bucket.at)
    return f"{at:%a %d %b}" if bucket_s >= DAY_S else f"{at:%H:%M}"


def _numbers(bucket: Bucket) -> str:
    begun = count(bucket.calls, "call")
    if bucket.p50 is None or bucket.p95 is None:
        return f": {begun}"
    shares: Sequence[str] = [f"{actor} {took:.2f}" for actor, took in bucket.actors.items()]
    return f": {begun}, p50 {bucket.p50:.2f} s, p95 {bucket.p95:.2f} s; mean by {', '.join(shares)}"
