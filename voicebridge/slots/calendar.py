"""Reckoning with days: the next Friday, the third of the month, the last day of it. Nothing here reads words."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta


def day(year: int, month: int, number: int) -> date | None:
    try:
        return date(year, month, number)
    except ValueError:
        return None


def plus_months(start: date, months: int) -> date:
    """The same day so many months on; the month's last where it has fewer days."""
    index = start.year * 12 + start.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(start.day, monthrange(year, month + 1)[1]))


def coming(today: date, weekday: int, *, today_counts: bool = False) -> date:
    """The next such weekday (Monday is 0)."""
    ahead = (weekday - today.weekday()) % 7
    return today + timedelta(days=ahead if ahead or today_counts else 7)


def in_week(today: date, weekday: int, weeks: int) -> date:
    """The weekday of the week so many weeks from this one; weeks begin on Monday."""
    return today - timedelta(days=today.weekday()) + timedelta(days=weekday, weeks=weeks)


def month_day(today: date, month: int, number: int, year: int | None, *, past: bool) -> date | None:
    """That day, in the year where one is named, else the nearest to come (or gone by, where `past`)."""
    if year is not None:
        return day(year, month, number)
    years = range(today.year, today.year - 9, -1) if past else range(today.year, today.year + 9)
    days = (day(year, month, number) for year in years)
    return next((that for that in days if that and (that <= today if past else that >= today)), None)


def day_number(today: date, number: int, *, past: bool) -> date | None:
    """The nearest such day of a month to come, today counted (or gone by, where `past`)."""
    for months in range(13):
        first = plus_months(today.replace(day=1), -months if past else months)
        that = day(first.year, first.month, number)
        if that and (that <= today if past else that >= today):
            return that
    return None


def weekday_number(today: date, weekday: int, number: int, *, past: bool) -> date | None:
    """"Tuesday the first": where both fit within some three months, else the number is believed."""
    for days in range(100):
        that = today + timedelta(days=-days if past else days)
        if that.day == number and that.weekday() == weekday:
            return that
    return day_number(today, number, past=past)


def nth_weekday(year: int, month: int, weekday: int, nth: int) -> date | None:
    """The nth such weekday of a month; the last for -1."""
    if nth < 0:
        last = date(year, month, monthrange(year, month)[1])
        return last - timedelta(days=(last.weekday() - weekday) % 7)
    first = date(year, month, 1)
    that = first + timedelta(days=(weekday - first.weekday()) % 7, weeks=nth - 1)
    return that if that.month == month else None


def month_end(start: date) -> date:
    return start.replace(day=monthrange(start.year, start.month)[1])
