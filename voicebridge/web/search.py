"""The search form: from what a browser sends to a `Query` and back to addresses.

A caller's number never stands in an address, where histories and proxies would keep it: it is posted, and named by a
random word that only this process can read back.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlencode

from voicebridge.trace.rows import Query

PER_PAGE = 25
FIELDS = ("since", "until", "agent", "outcome", "text", "min_gap", "problems", "who")
"""What an address may hold, in this order. `who`: the random word of a caller's number."""
_KEPT = 500


class Numbers:
    """Callers' numbers by random words; the oldest are forgotten."""

    def __init__(self) -> None:
        self._numbers: OrderedDict[str, str] = OrderedDict()

    def word(self, number: str) -> str:
        made = secrets.token_urlsafe(9)
        self._numbers[made] = number
        while len(self._numbers) > _KEPT:
            self._numbers.popitem(last=False)
        return made

    def number(self, word: str) -> str:
        """ "" where it is not known (any more)."""
        return self._numbers.get(word, "")


class SearchError(ValueError):
    """What was typed cannot be searched for; the text says why."""


def query(fields: Mapping[str, str], numbers: Numbers, page: int = 1) -> Query:
    """Days are this machine's; `until` is the last day. Raises SearchError."""
    gap = fields.get("min_gap", "").strip().replace(",", ".")
    try:
        min_gap = float(gap) if gap else None
    except ValueError as error:
        raise SearchError(f"The gap is in seconds, e.g. 1.5: {gap!r} is not a number.") from error
    caller = numbers.number(fields["who"]) if fields.get("who") else ""
    if fields.get("who") and not caller:
        raise SearchError("This search by a caller's number is not remembered any more: enter the number again.")
    return Query(
        since=_day(fields.get("since", ""), 0),
        until=_day(fields.get("until", ""), 1),
        agent=fields.get("agent", ""),
        outcome=fields.get("outcome", ""),
        text=fields.get("text", "").strip(),
        caller=caller,
        min_gap_s=min_gap,
        problems=bool(fields.get("problems")),
        limit=PER_PAGE,
        offset=(max(1, page) - 1) * PER_PAGE,
    )


def _day(value: str, later: int) -> float | None:
    if not value.strip():
        return None
    try:
        return (datetime.strptime(value.strip(), "%Y-%m-%d") + timedelta(days=later)).timestamp()
    except (ValueError, OverflowError) as error:
        raise SearchError(f"Days are written like 2026-07-31: {value!r} is not one.") from error


def address(fields: Mapping[str, str], page: int = 1) -> str:
    """`/calls?...` of these fields, empty ones left out."""
    wanted = {name: fields[name] for name in FIELDS if fields.get(name)}
    if page > 1:
        wanted["page"] = str(page)
    return f"/calls?{urlencode(wanted)}" if wanted else "/calls"
