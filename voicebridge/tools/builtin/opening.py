"""opening_hours: whether it is open now, or at a day and time, and when next.

    [tools.opening_hours]                 # or [tool_settings.opening_hours] in an agent's file
    week = "mon-fri 09:00-17:30, sat 10:00-14:00"
    closed = ["2026-12-24..2026-12-26", "01-01"]
    special = { "2026-12-23" = "09:00-12:00" }
    timezone = "Europe/Berlin"

The words are English; for other languages the tool returns data alone.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from voicebridge.hours import Hours, Span, closing, is_open, next_opening, parse_hours
from voicebridge.tools.context import ToolContext, ToolReply
from voicebridge.tools.tool import tool

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


class HoursSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    week: str = Field(min_length=1)
    closed: tuple[str, ...] = ()
    special: dict[str, str] = Field(default_factory=dict)
    timezone: str = ""

    @model_validator(mode="after")
    def _readable(self) -> HoursSettings:
        self.hours()
        return self

    def hours(self) -> Hours:
        return parse_hours(self.week, closed=self.closed, special=self.special, timezone=self.timezone)


@tool(idempotent=True, cancellable=True, settings=HoursSettings)
async def opening_hours(ctx: ToolContext, day: date | None = None, at: time | None = None) -> ToolReply:
    """Tell whether we are open now or at another time, and when we open next.

    day: the day that is asked about; today when it is left out
    at: the time of day that is asked about
    """
    hours = HoursSettings.model_validate(dict(ctx.settings)).hours()
    now = ctx.now().astimezone(hours.zone)
    if day is not None and at is None and day != now.date():
        said, data = _day(hours, day, now)
    else:
        moment = now if at is None and day in (None, now.date()) else _moment(hours, day or now.date(), at or time())
        said, data = _at(hours, moment, now)
    return ToolReply(said if ctx.language.startswith("en") else "", data)


def _moment(hours: Hours, day: date, at: time) -> datetime:
    return datetime.combine(day, at.replace(tzinfo=None), hours.zone)


def _at(hours: Hours, moment: datetime, now: datetime) -> tuple[str, dict[str, Any]]:
    """What is to be said of a moment."""
    is_now = moment == now
    end = closing(hours, moment)
    opens = next_opening(hours, moment)
    when = "now" if is_now else f"{_day_name(moment.date(), now.date())} at {spoken_time(moment.time())}"
    open_then = is_open(hours, moment)
    data = {
        "open": open_then, "at": _iso(moment), "closes": _iso(end) if open_then and end is not None else None,
        "next_opening": None if open_then or opens is None else _iso(opens),
        "today": _written(hours.spans(now.date())),
    }  # fmt: skip
    if open_then:
        until = f", until {_clock_of(end, moment)}" if end is not None else ""
        return f"Yes, we are open {when}{until}.", data
    if opens is None:
        return f"No, we are closed {when}.", data
    again = f"{_day_name(opens.date(), now.date())} at {spoken_time(opens.time())}"
    return f"No, we are closed {when}. We open {again}.", data


def _day(hours: Hours, day: date, now: datetime) -> tuple[str, dict[str, Any]]:
    """What is to be said of a whole day."""
    spans = hours.spans(day)
    name = _day_name(day, now.date())
    data = {"open": bool(spans), "day": day.isoformat(), "hours": _written(spans)}
    if not spans:
        return f"We are closed {name}.", data
    if spans == (Span(0, 1440),):
        return f"We are open all day {name}.", data
    times = " and ".join(f"from {_minutes(span.opens)} to {_minutes(span.closes)}" for span in spans)
    return f"We are open {name} {times}.", data


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")


def _written(spans: tuple[Span, ...]) -> list[str]:
    return [f"{s.opens // 60:02}:{s.opens % 60:02}-{s.closes % 1440 // 60:02}:{s.closes % 60:02}" for s in spans]


def _minutes(minutes: int) -> str:
    return "midnight" if minutes % 1440 == 0 else spoken_time(time(minutes % 1440 // 60, minutes % 60))


def _clock_of(end: datetime, moment: datetime) -> str:
    """The time of day, with its day where that is another one."""
    if end.time() == time():
        end -= timedelta(minutes=1)
        said = "midnight"
    else:
        said = spoken_time(end.time())
    return said if end.date() - moment.date() <= timedelta(days=1) else f"{said} {_day_name(end.date(), moment.date())}"


def spoken_time(at: time) -> str:
    """9 am, 5:30 pm, noon."""
    if (at.hour, at.minute) == (12, 0):
        return "noon"
    minutes = f":{at.minute:02}" if at.minute else ""
    return f"{at.hour % 12 or 12}{minutes} {'am' if at.hour < 12 else 'pm'}"


def _day_name(day: date, today: date) -> str:
    away = (day - today).days
    if away in (0, 1):
        return ("today", "tomorrow")[away]
    if 1 < away < 7:
        return f"on {DAYS[day.weekday()]}"
    return f"on {DAYS[day.weekday()]}, {MONTHS[day.month - 1]} {day.day}"
