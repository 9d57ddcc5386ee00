"""Opening hours: a week written as people write it, exceptions, a time zone; and what they say about a moment.

    mon-fri 09:00-12:00 13:00-17:30, sat 10:00-14:00

Entries stand between commas: days (`mon`, `mon-fri`, `sat-mon`, `daily`), then one or more spans of the day.
`22:00-06:00` runs past midnight and belongs to the day on which it begins; `00:00-24:00` is all day, `24/7` all week.
Closed days: `2026-12-24`, `2026-12-24..2027-01-01` (both included), or `12-25` for every year. A closed day takes away
the spans that begin on it: Friday's night span still ends on a closed Saturday. `special` gives single dates spans of
their own; they beat both.

No clock in here: whoever asks brings an aware `now`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
LOOK_AHEAD_DAYS = 400
"""Hours that do not open within so many days are taken for closed for good."""
LOCALTIME = Path("/etc/localtime")

_SPAN = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})", re.ASCII)
_YEARLY = re.compile(r"(\d{2})-(\d{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes after midnight of the day on which it begins; `closes` lies above 1440 where it runs past midnight."""

    opens: int
    closes: int


@dataclass(frozen=True, slots=True)
class Closure:
    """Both days included."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Hours:
    """`week` holds seven days from Monday on. `yearly` are (month, day)."""

    week: tuple[tuple[Span, ...], ...]
    zone: ZoneInfo
    closures: tuple[Closure, ...] = ()
    yearly: frozenset[tuple[int, int]] = frozenset()
    special: tuple[tuple[date, tuple[Span, ...]], ...] = ()

    def spans(self, day: date) -> tuple[Span, ...]:
        """What begins on that day, in order."""
        for special, spans in self.special:
            if special == day:
                return spans
        if (day.month, day.day) in self.yearly or any(gap.first <= day <= gap.last for gap in self.closures):
            return ()
        return self.week[day.weekday()]


def parse_hours(
    week: str, *, closed: Sequence[str] = (), special: Mapping[str, str] | None = None, timezone: str = ""
) -> Hours:
    """ValueError says what cannot be read and how it is written. An empty `timezone` is the machine's own.

    An empty `week` is open always, but for the exceptions.
    """
    days = tuple(_joined(spans) for spans in _week(week))
    closures, yearly = _closed(closed)
    own = tuple(sorted((_date(day), _spans_of(spans)) for day, spans in (special or {}).items()))
    return Hours(days, _zone(timezone), closures, yearly, own)


def is_open(hours: Hours, now: datetime) -> bool:
    return any(opens <= now < closes for opens, closes in _stretches(hours, _day_before(hours, now), 3))


def next_opening(hours: Hours, now: datetime) -> datetime | None:
    """The first open moment from `now` on, in the hours' own zone: `now` itself where it is open, None where never."""
    for opens, closes in _stretches(hours, _day_before(hours, now), LOOK_AHEAD_DAYS):
        if closes > now:
            return max(opens, now).astimezone(hours.zone)
    return None


def closing(hours: Hours, now: datetime) -> datetime | None:
    """When what is open at `now` closes, in the hours' own zone. None where it is closed, or never closes."""
    end: datetime | None = None
    for opens, closes in _stretches(hours, _day_before(hours, now), LOOK_AHEAD_DAYS):
        if opens <= (end or now) < closes:
            end = closes
        elif end is not None and opens > end:
            return end.astimezone(hours.zone)
    ends = end is not None and end - now < timedelta(days=LOOK_AHEAD_DAYS - 3)
    return end.astimezone(hours.zone) if end is not None and ends else None


def local_zone() -> ZoneInfo:
    """The machine's own time zone; UTC where it has none."""
    return _zone("")


# ---- a moment


def _day_before(hours: Hours, now: datetime) -> date:
    """A night span of yesterday may still be on."""
    if now.tzinfo is None:
        raise ValueError("a moment without a time zone: give an aware datetime")
    return now.astimezone(hours.zone).date() - timedelta(days=1)


def _stretches(hours: Hours, first: date, days: int) -> Iterator[tuple[datetime, datetime]]:
    """(opens, closes) in UTC, in order of opening, of the spans that begin on these days.

    Moments, not wall clocks, are compared: 02:30 that comes twice is the first, one that is skipped comes an hour on.
    """
    for ahead in range(days):
        day = first + timedelta(days=ahead)
        for span in hours.spans(day):
            opens, closes = _moment(hours, day, span.opens), _moment(hours, day, span.closes)
            if opens < closes:
                yield opens, closes


def _moment(hours: Hours, day: date, minutes: int) -> datetime:
    more, rest = divmod(minutes, DAY_MINUTES)
    at = day + timedelta(days=more)
    return datetime(at.year, at.month, at.day, rest // 60, rest % 60, tzinfo=hours.zone).astimezone(UTC)


# ---- reading


def _week(text: str) -> list[list[Span]]:
    text = text.strip().lower()
    always = [Span(0, DAY_MINUTES)]
    if text in ("", "24/7", "always"):
        return [list(always) for _ in DAYS]
    week: list[list[Span]] = [[] for _ in DAYS]
    if text in ("closed", "never"):
        return week
    for entry in text.split(","):
        days, _, spans = entry.strip().partition(" ")
        if not days or not spans.strip():
            raise ValueError(f'{entry.strip()!r}: write days and times, e.g. "mon-fri 09:00-17:30, sat 10:00-14:00"')
        for day in _days(days):
            week[day] += _spans_of(spans)
    return week


def _days(text: str) -> list[int]:
    if text == "daily":
        return list(range(7))
    first, dash, last = text.partition("-")
    known = {name: index for index, name in enumerate(DAYS)}
    for name in (first, last) if dash else (first,):
        if name not in known:
            raise ValueError(f"{name!r} is no day: write {', '.join(DAYS)} or daily, e.g. mon-fri")
    count = (known[last] - known[first]) % 7 if dash else 0
    return [(known[first] + step) % 7 for step in range(count + 1)]


def _spans_of(text: str) -> tuple[Span, ...]:
    if text.strip().lower() in ("", "closed"):
        return ()
    return _joined([_span(part) for part in text.split()])


def _span(text: str) -> Span:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no span of the day: write e.g. 09:00-17:30")
    opens_h, opens_m, closes_h, closes_m = (int(part) for part in found.groups())
    opens, closes = opens_h * 60 + opens_m, closes_h * 60 + closes_m
    if opens_m > 59 or closes_m > 59 or opens >= DAY_MINUTES or closes > DAY_MINUTES:
        raise ValueError(f"{text!r} is no span of the day: hours end at 23 (24:00 as the end), minutes at 59")
    if opens == closes:
        raise ValueError(f"{text!r} is an empty span: all day is 00:00-24:00")
    return Span(opens, closes if closes > opens else closes + DAY_MINUTES)


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    """In order, overlapping and touching ones made one."""
    made: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.opens, span.closes)):
        if made and span.opens <= made[-1].closes:
            made[-1] = Span(made[-1].opens, max(made[-1].closes, span.closes))
        else:
            made.append(span)
    return tuple(made)


def _closed(entries: Sequence[str]) -> tuple[tuple[Closure, ...], frozenset[tuple[int, int]]]:
    closures, yearly = [], set()
    for entry in entries:
        if found := _YEARLY.fullmatch(entry.strip()):
            day = _date(f"2024-{found.group(0)}")  # a leap year: 02-29 is one
            yearly.add((day.month, day.day))
            continue
        first, dots, last = entry.partition("..")
        closure = Closure(_date(first), _date(last) if dots else _date(first))
        if closure.last < closure.first:
            raise ValueError(f"{entry!r} ends before it begins")
        closures.append(closure)
    return tuple(closures), frozenset(yearly)


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"{text.strip()!r} is no day: write 2026-12-24, 2026-12-24..2027-01-01 or 12-25") from None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    if name:
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{name!r} is no time zone: write e.g. Europe/Berlin") from None
    try:
        with LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key="local")
    except (OSError, ValueError):
        return ZoneInfo("UTC")
