"""The overview: a review of the last days, kept for a minute, and its plots."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from voicebridge.trace.chart import Column
from voicebridge.trace.findings import Bucket, Review
from voicebridge.trace.record import Record
from voicebridge.trace.review import review
from voicebridge.trace.spans import ACTORS
from voicebridge.web.charts import TALL, columns

HOUR_S = 3600.0
DAY_S = 86_400.0
KEPT_S = 60.0
_CACHED = 12


@dataclass(frozen=True, slots=True)
class Span:
    """What may be looked at. `bucket_s`: how it is divided over time; `form`: how its parts are named."""

    name: str
    label: str
    seconds: float
    bucket_s: float
    form: str


SPANS = (
    Span("24h", "24 hours", DAY_S, HOUR_S, "%H:00"),
    Span("7d", "7 days", 7 * DAY_S, DAY_S, "%a %d"),
    Span("30d", "30 days", 30 * DAY_S, DAY_S, "%d %b"),
)

Records = Callable[[float, float, str], Iterable[Record]]


class Overviews:
    """Reviews by span and agent. May be used by several threads; each review is made once a minute at most."""

    def __init__(
        self, records: Records, unknown: Mapping[str, Collection[str]], clock: Callable[[], float] = time.time
    ) -> None:
        """`unknown`: see `review`."""
        self._records = records
        self._unknown = unknown
        self._clock = clock
        self._kept: dict[tuple[str, str], Review] = {}
        self._lock = threading.Lock()

    def get(self, span: Span, agent: str) -> Review:
        now = self._clock()
        with self._lock:
            kept = self._kept.get((span.name, agent))
            if kept is not None and now - kept.until < KEPT_S:
                return kept
            since = _start(now, span)
            made = review(
                self._records(since, now, agent), since=since, until=now, bucket_s=span.bucket_s, unknown=self._unknown
            )
            if len(self._kept) >= _CACHED:
                self._kept.clear()
            self._kept[span.name, agent] = made
            return made


def _start(now: float, span: Span) -> float:
    """The beginning of this machine's hour or day that many before, so that columns are whole hours and days."""
    there = datetime.fromtimestamp(now - span.seconds).replace(minute=0, second=0, microsecond=0)
    whole = there.replace(hour=0) + timedelta(days=1) if span.bucket_s >= DAY_S else there + timedelta(hours=1)
    return whole.timestamp()


def calls_plot(found: Review, span: Span) -> Markup:
    """How many calls each hour or day."""
    made = [
        Column(_label(b, span), f"{_label(b, span)}: {b.calls} calls, {b.turns} turns", (("calls", b.calls),))
        for b in found.buckets
    ]
    return Markup(columns(made, f"Calls over time, {found.calls} in all", whole=True))  # noqa: S704 - escaped there


def gap_plot(found: Review, span: Span) -> Markup:
    """The mean gap, stacked by whom it waited for, with p50 and p95 as lines."""
    made = []
    for bucket in found.buckets:
        parts = tuple((actor, bucket.actors.get(actor, 0.0)) for actor in ACTORS)
        marks = tuple((name, value) for name, value in (("p50", bucket.p50), ("p95", bucket.p95)) if value is not None)
        made.append(Column(_label(bucket, span), _gap_title(bucket, span), parts, marks))
    summary = "Response gap over time"
    if found.gap.p50 is not None and found.gap.p95 is not None:
        summary += f": p50 {found.gap.p50:.2f} s, p95 {found.gap.p95:.2f} s over all"
    return Markup(columns(made, summary, unit=" s", height=TALL))  # noqa: S704 - escaped there


def _gap_title(bucket: Bucket, span: Span) -> str:
    if bucket.p50 is None or bucket.p95 is None or bucket.mean is None:
        return f"{_label(bucket, span)}: no answers"
    parts = ", ".join(f"{ACTORS.get(a, a)} {s * 1000:.0f} ms" for a, s in bucket.actors.items())
    head = f"{_label(bucket, span)}: p50 {bucket.p50:.2f} s, p95 {bucket.p95:.2f} s"
    return f"{head}; on average {bucket.mean * 1000:.0f} ms: {parts}"


def _label(bucket: Bucket, span: Span) -> str:
    return datetime.fromtimestamp(bucket.at).strftime(span.form)
