"""Dates as callers say them; the calls come in on Tuesday, the 24th of November 2026, at 12:03."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.form import Form, Slot, SlotValue
from voicebridge.slots import parse
from voicebridge.slots.saying import say_date

NOW = datetime(2026, 11, 24, 12, 3)


def understood(text, *, asked=True, past=False, now=NOW, language="en", known=None):
    form = Form("book", "book", (Slot("day", "date", past=past),))
    held = {"day": SlotValue("day", known, "")} if known else None
    values = parse(form, "day" if asked else "", text, now=now, language=language, known=held).values
    return values[0].value if values else ""


SAID = [
    ("today", "2026-11-24"),
    ("tonight", "2026-11-24"),
    ("this afternoon", "2026-11-24"),
    ("tomorrow", "2026-11-25"),
    ("Tomorrow.", "2026-11-25"),
    ("To-morrow morning.", "2026-11-25"),
    ("tomorrow, please", "2026-11-25"),
    ("um, tomorrow I think", "2026-11-25"),
    ("the day after tomorrow", "2026-11-26"),
    ("day after tomorrow would be great", "2026-11-26"),
    ("Tuesday", "2026-12-01"),
    ("on Wednesday", "2026-11-25"),
    ("Thursday afternoon", "2026-11-26"),
    ("Friday", "2026-11-27"),
    ("Friday would be good.", "2026-11-27"),
    ("Saturday, if you have anything", "2026-11-28"),
    ("sunday", "2026-11-29"),
    ("Monday works for me", "2026-11-30"),
    ("this Friday", "2026-11-27"),
    ("this coming Friday", "2026-11-27"),
    ("the coming Monday", "2026-11-30"),
    ("next Tuesday", "2026-12-01"),
    ("next Friday", "2026-12-04"),
    ("next Monday", "2026-11-30"),
    ("Friday next week", "2026-12-04"),
    ("Friday of next week", "2026-12-04"),
    ("next week on Wednesday", "2026-12-02"),
    ("next week Thursday", "2026-12-03"),
    ("this week on Friday", "2026-11-27"),
    ("Tuesday the week after next", "2026-12-08"),
    ("a week on Monday", "2026-12-07"),
    ("A week on Monday.", "2026-12-07"),
    ("Monday week", "2026-12-07"),
    ("a week from Friday", "2026-12-04"),
    ("a week today", "2026-12-01"),
    ("a week from today", "2026-12-01"),
    ("a week from tomorrow", "2026-12-02"),
    ("two weeks from today", "2026-12-08"),
    ("two weeks on Friday", "2026-12-11"),
    ("Monday after next", "2026-12-07"),
    ("in two weeks", "2026-12-08"),
    ("in two weeks' time", "2026-12-08"),
    ("in a fortnight", "2026-12-08"),
    ("in three days", "2026-11-27"),
    ("three days from now", "2026-11-27"),
    ("in a week", "2026-12-01"),
    ("in a couple of days", "2026-11-26"),
    ("in a month", "2026-12-24"),
    ("in two weeks on Thursday", "2026-12-10"),
    ("the third", "2026-12-03"),
    ("on the third", "2026-12-03"),
    ("The 3rd.", "2026-12-03"),
    ("the twenty-first", "2026-12-21"),
    ("the twenty fourth", "2026-11-24"),
    ("the twenty fifth please", "2026-11-25"),
    ("the 30th", "2026-11-30"),
    ("the thirty first", "2026-12-31"),
    ("the 3rd of December", "2026-12-03"),
    ("December the 3rd", "2026-12-03"),
    ("December 3rd", "2026-12-03"),
    ("december third", "2026-12-03"),
    ("December, the third.", "2026-12-03"),
    ("December 3", "2026-12-03"),
    ("3 December", "2026-12-03"),
    ("the first of January", "2027-01-01"),
    ("January the first", "2027-01-01"),
    ("5th of January", "2027-01-05"),
    ("the fifth day of January", "2027-01-05"),
    ("twenty second of February", "2027-02-22"),
    ("March 15th 2027", "2027-03-15"),
    ("the fifteenth of March twenty twenty-seven", "2027-03-15"),
    ("the fifteenth of March two thousand twenty seven", "2027-03-15"),
    ("Feb 29", "2028-02-29"),
    ("Tuesday the first", "2026-12-01"),
    ("Tuesday, December 1st", "2026-12-01"),
    ("Tuesday the 1st of December", "2026-12-01"),
    ("Friday the fourth of December", "2026-12-04"),
    ("Wednesday the second", "2026-12-02"),
    ("the third of next month", "2026-12-03"),
    ("the 27th of this month", "2026-11-27"),
    ("next month on the fifth", "2026-12-05"),
    ("the last Friday of the month", "2026-11-27"),
    ("the first Monday in December", "2026-12-07"),
    ("the second Tuesday of January", "2027-01-12"),
    ("the last day of the month", "2026-11-30"),
    ("the end of December", "2026-12-31"),
    ("Christmas Eve", "2026-12-24"),
    ("New Year's Eve", "2026-12-31"),
    ("the day after Christmas", "2026-12-26"),
    ("the day before Christmas Eve", "2026-12-23"),
    ("12/3", "2026-12-03"),
    ("12/3/2026", "2026-12-03"),
    ("2026-12-03", "2026-12-03"),
    ("3.12.2026", "2026-12-03"),
    ("Can I come on Friday?", "2026-11-27"),
    ("Do you have anything on the fifth of December?", "2026-12-05"),
    ("Thirsty.", "2026-11-26"),
    ("No, thirsty.", "2026-11-26"),
    ("I'd like wendsday", "2026-11-25"),
    ("With a third of December.", "2026-12-03"),
    ("Monday, no, Tuesday", "2026-12-01"),
    ("Monday. Sorry, I mean Wednesday", "2026-11-25"),
    ("not Monday, Wednesday", "2026-11-25"),
    ("Monday doesn't work, how about Thursday", "2026-11-26"),
    ("Thursday instead of Wednesday", "2026-11-26"),
    ("either Thursday or Friday", "2026-11-26"),
    ("21", "2026-12-21"),
]


@pytest.mark.parametrize(("text", "value"), SAID)
def test_a_date_that_was_asked_for(text, value):
    assert understood(text) == value


@pytest.mark.parametrize("text", [
    "yesterday", "last Friday", "two days ago", "the third of March 2020", "March", "next week", "in December", "soon",
    "what days do you have", "may I ask something", "I don't know", "hello", "whenever", "thus", "four people",
    "a second please",
    "the 45th", "the 31st of February", "99/99", "in 99999999 weeks", "February the 30th", "not Monday",
])
def test_what_is_no_date_to_come(text):
    assert understood(text) == ""


@pytest.mark.parametrize(("text", "value"), [
    ("the second of March 1984", "1984-03-02"),
    ("March 2nd, nineteen eighty-four", "1984-03-02"),
    ("It's the second of March, nineteen, eighty four.", "1984-03-02"),
    ("the second of March eighty-four", "1984-03-02"),
    ("third of the fourth eighty seven", "1987-04-03"),
    ("first of May two thousand and one", "2001-05-01"),
    ("June 5th 2010", "2010-06-05"),
    ("yesterday", "2026-11-23"),
    ("the day before yesterday", "2026-11-22"),
    ("last Friday", "2026-11-20"),
    ("two weeks ago", "2026-11-10"),
    ("on Friday", "2026-11-20"),
    ("the third of November", "2026-11-03"),
    ("the third", "2026-11-03"),
    ("3/2/1984", "1984-03-02"),
    ("3/2/84", "1984-03-02"),
])
def test_a_date_that_may_lie_in_the_past(text, value):
    assert understood(text, past=True) == value


@pytest.mark.parametrize(("text", "value"), [
    ("can I come in on Friday", "2026-11-27"),
    ("I'd like a table for the day after tomorrow", "2026-11-26"),
    ("I need it by the third", "2026-12-03"),
    ("is there anything on December 5th at four", "2026-12-05"),
    ("make it Thursday", "2026-11-26"),
    ("no, on the fifth", "2026-12-05"),
    ("the second one", ""),
    ("the third time I call", ""),
    ("I was here in March", ""),
    ("may I ask you something", ""),
    ("give me a second", ""),
])
def test_a_date_that_nobody_asked_for(text, value):
    assert understood(text, asked=False) == value


@pytest.mark.parametrize(("text", "value"), [
    ("a day later", "2026-12-02"), ("one day earlier please", "2026-11-30"), ("a week later", "2026-12-08"),
    ("the next day", "2026-12-02"), ("Wednesday", "2026-11-25"),
])
def test_a_date_by_the_one_that_is_known(text, value):
    assert understood(text, asked=False, known="2026-12-01") == value


def test_the_order_of_day_and_month_is_the_countrys():
    assert understood("3/4", language="en-US") == "2027-03-04"
    assert understood("3/4", language="en-GB") == "2027-04-03"
    assert understood("25/12") == "2026-12-25"


@pytest.mark.parametrize(("now", "text", "value"), [
    (datetime(2026, 12, 31, 23, 59), "tomorrow", "2027-01-01"),
    (datetime(2026, 12, 31, 23, 59), "the first", "2027-01-01"),
    (datetime(2027, 1, 31), "in a month", "2027-02-28"),
    (datetime(2027, 1, 31), "the 30th", "2027-03-30"),
    (datetime(2026, 11, 29), "next Monday", "2026-11-30"),
    (datetime(2026, 11, 28), "Saturday", "2026-12-05"),
    (datetime(2026, 11, 28), "this Saturday", "2026-11-28"),
    (datetime(9999, 12, 31), "tomorrow", ""),
    (datetime(9999, 12, 31), "next week Friday", ""),
])
def test_at_the_edges_of_months_and_years(now, text, value):
    assert understood(text, now=now) == value


@given(st.integers(0, 3000), st.integers(0, 400))
def test_a_date_said_back_is_understood(base, ahead):
    now = NOW + timedelta(days=base)
    that = now.date() + timedelta(days=ahead)
    assert understood(say_date(that, now.date()), now=now) == that.isoformat()


@given(st.dates(date(1900, 1, 1), date(2026, 11, 23)))
def test_a_past_date_said_back_is_understood(that):
    assert understood(say_date(that, NOW.date()), past=True) == that.isoformat()
