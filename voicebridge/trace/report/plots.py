"""Plots of a report as SVG: coloured by the page's style, readable on paper. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from html import escape

from voicebridge.trace.findings import Bucket, Review
from voicebridge.trace.report.content import count
from voicebridge.trace.spans import ACTORS

WIDTH, HEIGHT = 720, 220
LEFT, TOP, BOTTOM, RIGHT = 44, 14, 28, 8
LABELS = 10
DAY_S = 86_400.0


def gaps(now: Review) -> str:
    """Mean gap by what was waited for, stacked, with a mark at p50 and p95, over time."""
    tallest = max((max(bucket.p95 or 0.0, bucket.mean or 0.0) for bucket in now.buckets), default=0.0)
    return _drawn("Response gap over time, by what was waited for", tallest, " s", now, _gap_column)


def calls(now: Review) -> str:
    tallest = max((float(bucket.calls) for bucket in now.buckets), default=0.0)
    return _drawn("Calls over time", tallest, "", now, _calls_column, height=120)


def used(now: Review) -> list[str]:
    """The actors that the plot of gaps shows, for its legend."""
    return [actor for actor in ACTORS if any(bucket.actors.get(actor, 0.0) > 0 for bucket in now.buckets)]


class _Frame:
    """Where values and columns lie."""

    def __init__(self, tallest: float, columns: int, height: int, whole: bool) -> None:
        self.height = height
        self.step = _step(tallest, whole)
        self.top = self.step * max(1, math.ceil(tallest / self.step - 1e-9))
        self.pitch = (WIDTH - LEFT - RIGHT) / max(1, columns)

    def y(self, value: float) -> float:
        room = self.height - TOP - BOTTOM
        return TOP + room - room * value / self.top

    def x(self, place: int) -> tuple[float, float]:
        """Left edge and width of a column."""
        width = min(46.0, self.pitch * 0.72)
        return LEFT + self.pitch * place + (self.pitch - width) / 2, width


_Column = Callable[[_Frame, float, float, Bucket], Iterator[str]]


def _step(tallest: float, whole: bool) -> float:
    if tallest <= 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(tallest / 3))
    step *= next(factor for factor in (1, 2, 2.5, 5, 10) if tallest / (step * factor) <= 4)
    return float(max(1, math.ceil(step))) if whole else step


def _drawn(title: str, tallest: float, unit: str, now: Review, column: _Column, *, height: int = HEIGHT) -> str:
    frame = _Frame(tallest, len(now.buckets), height, whole=not unit)
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">',
        *_grid(frame, unit),
    ]
    every = max(1, math.ceil(len(now.buckets) / LABELS))
    for place, bucket in enumerate(now.buckets):
        x, width = frame.x(place)
        told = _named(bucket, now.bucket_s)
        parts.append(f"<g><title>{escape(told)}{escape(_numbers(bucket))}</title>")
        parts += column(frame, x, width, bucket)
        if place % every == 0:
            middle = x + width / 2
            parts.append(f'<text x="{middle:.1f}" y="{height - 9}" text-anchor="middle">{escape(told)}</text>')
        parts.append("</g>")
    return "".join([*parts, "</svg>"])


def _grid(frame: _Frame, unit: str) -> Iterator[str]:
    for number in range(round(frame.top / frame.step) + 1):
        value = number * frame.step
        y = frame.y(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}{unit}</text>'


def _gap_column(frame: _Frame, x: float, width: float, bucket: Bucket) -> Iterator[str]:
    base = 0.0
    for actor in ACTORS:
        if (took := bucket.actors.get(actor, 0.0)) > 0:
            yield _bar(frame, x, width, base, base + took, f"a-{actor}")
            base += took
    for value, name in ((bucket.p50, "p50"), (bucket.p95, "p95")):
        if value is not None:
            y = frame.y(value)
            yield f'<line class="{name}" x1="{x - 3:.1f}" x2="{x + width + 3:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _calls_column(frame: _Frame, x: float, width: float, bucket: Bucket) -> Iterator[str]:
    if bucket.calls:
        yield _bar(frame, x, width, 0.0, float(bucket.calls), "calls")


def _bar(frame: _Frame, x: float, width: float, low: float, high: float, name: str) -> str:
    y, foot = frame.y(high), frame.y(low)
    return f'<rect class="{name}" x="{x:.1f}" y="{y:.2f}" width="{width:.1f}" height="{max(0.4, foot - y):.2f}"/>'


def _named(bucket: Bucket, bucket_s: float) -> str:
    at = datetime.fromtimestamp(bucket.at)
    return f"{at:%a %d %b}" if bucket_s >= DAY_S else f"{at:%H:%M}"


def _numbers(bucket: Bucket) -> str:
    begun = count(bucket.calls, "call")
    if bucket.p50 is None or bucket.p95 is None:
        return f": {begun}"
    shares: Sequence[str] = [f"{actor} {took:.2f}" for actor, took in bucket.actors.items()]
    return f": {begun}, p50 {bucket.p50:.2f} s, p95 {bucket.p95:.2f} s; mean by {', '.join(shares)}"
