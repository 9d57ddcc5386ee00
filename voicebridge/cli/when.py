"""Points in time as people write them: `7d`, `24h`, `2026-11-20`, `"2026-11-20 14:00"`, `today`, `yesterday`."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

import click

_UNITS_S = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d{1,5})\s*([mhdw])")
Command = TypeVar("Command", bound=Callable[..., Any])
HOW = "write 90m, 24h, 7d or 4w, a date such as 2026-11-20, today or yesterday"


def point(text: str, now: float) -> float:
    """Unix seconds; dates are midnight in this machine's time zone, `7d` is so long before `now`. Raises ValueError."""
    word = text.strip().lower()
    if (ago := _AGO.fullmatch(word)) is not None:
        return now - int(ago[1]) * _UNITS_S[ago[2]]
    midnight = datetime.fromtimestamp(now).astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    if word in ("today", "yesterday"):
        day = midnight if word == "today" else midnight - timedelta(days=1)
        return day.replace(tzinfo=None).astimezone().timestamp()
    if word == "now":
        return now
    try:
        made = datetime.fromisoformat(text.strip())
        return (made if made.tzinfo is not None else made.astimezone()).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{text!r} is no point in time: {HOW}") from error


def when_option(name: str, text: str, *, default: str | None = None) -> Callable[[Command], Command]:
    """An option whose value comes as unix seconds, None without one."""

    def convert(ctx: click.Context, param: click.Parameter, value: str | None) -> float | None:
        try:
            return None if value is None else point(value, time.time())
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return click.option(name, callback=convert, default=default, show_default=True, metavar="WHEN", help=text)
