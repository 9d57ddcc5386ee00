"""Times of day as callers say them."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.form import Form, Slot, SlotValue
from voicebridge.slots import parse
from voicebridge.slots.saying import say_time

NOW = datetime(2026, 11, 24, 12, 3)


def understood(text, *, asked=True, opens="", closes="", known=None):
    form = Form("book", "book", (Slot("hour", "time", opens=opens, closes=closes),))
    held = {"hour": SlotValue("hour", known, "")} if known else None
    values = parse(form, "hour" if asked else "", text, now=NOW, known=held).values
    return values[0].value if values else ""


@pytest.mark.parametrize(("text", "value"), [
    ("three", "15:00"), ("Three.", "15:00"), ("at three", "15:00"), ("3", "15:00"), ("three o'clock", "15:00"),
    ("at 3 o'clock please", "15:00"), ("ten", "10:00"), ("eleven", "11:00"), ("twelve", "12:00"), ("nine", "09:00"),
    ("half past two", "14:30"), ("Half-past two.", "14:30"), ("half two", "14:30"), ("half past nine", "09:30"),
    ("quarter to nine", "08:45"), ("a quarter past ten", "10:15"), ("quarter of five", "16:45"),
    ("quarter after four", "16:15"), ("ten to four", "15:50"), ("twenty past three", "15:20"), ("5 to 11", "10:55"),
    ("five past eight", "08:05"), ("twenty five to five", "16:35"), ("three minutes past one", "13:03"),
    ("three thirty", "15:30"), ("three thirty p.m.", "15:30"), ("Three thirty p. m..", "15:30"), ("3:30 PM", "15:30"),
    ("3.30 pm", "15:30"), ("3pm", "15:00"), ("3 p.m.", "15:00"), ("seven a.m.", "07:00"), ("Seven a.m..", "07:00"),
    ("8 pm", "20:00"), ("eight in the evening", "20:00"), ("eight in the morning", "08:00"), ("10:15", "10:15"),
    ("1015", "10:15"), ("530", "17:30"), ("ten fifteen", "10:15"), ("three oh five", "15:05"), ("noon", "12:00"),
    ("at noon please", "12:00"), ("midday", "12:00"), ("midnight", "00:00"), ("12 pm", "12:00"), ("12 a.m.", "00:00"),
    ("at 15:00", "15:00"), ("15:45", "15:45"), ("fifteen hundred", "15:00"), ("at fifteen hundred hours", "15:00"),
    ("fifteen thirty", "15:30"), ("twenty one thirty", "21:30"), ("two o'clock in the afternoon", "14:00"),
    ("To a clock in the afternoon.", "14:00"), ("around four", "16:00"), ("fourish", "16:00"),
    ("about four ish", "16:00"),
    ("tomorrow morning at half past nine", "09:30"), ("in the afternoon at four", "16:00"),
    ("let's say eleven", "11:00"),
    ("can you do half past ten", "10:30"), ("five would be perfect", "17:00"), ("for", "16:00"), ("To.", "14:00"),
    ("in half an hour", "12:33"), ("in two hours", "14:03"), ("in an hour and a half", "13:33"),
    ("three, no, four", "16:00"), ("not three, four o'clock", "16:00"), ("tonight at seven", "19:00"),
    ("seven at night", "19:00"), ("half past seven in the evening", "19:30"), ("He has passed two", "14:30"),
    ("at 9", "09:00"), ("8:30", "08:30"), ("08:30", "08:30"), ("twelve thirty", "12:30"), ("ten a clock", "10:00"),
])
def test_a_time_that_was_asked_for(text, value):
    assert understood(text) == value


@pytest.mark.parametrize("text", [
    "in the morning", "afternoon", "whenever", "good evening", "later", "25:70", "what times do you have", "hello",
    "I don't know", "as soon as possible", "ninety nine", "not at four",
])
def test_what_is_no_time(text):
    assert understood(text) == ""


@pytest.mark.parametrize(("text", "opens", "closes", "value"), [
    ("three", "09:00", "18:00", "15:00"),
    ("eight", "09:00", "21:00", "20:00"),
    ("seven", "17:00", "23:00", "19:00"),
    ("seven", "06:00", "12:00", "07:00"),
    ("seven thirty", "17:00", "23:00", "19:30"),
    ("one", "18:00", "02:00", "01:00"),
    ("half past six", "18:00", "02:00", "18:30"),
    ("six", "05:00", "20:00", "18:00"),
    ("six in the morning", "05:00", "20:00", "06:00"),
    ("six p.m.", "09:00", "18:00", "18:00"),
    ("seven p.m.", "09:00", "18:00", ""),
    ("five a.m.", "09:00", "18:00", ""),
    ("12", "09:00", "18:00", "12:00"),
    ("eight", "09:00", "18:00", ""),
])
def test_the_opening_hours_tell_which_three_is_meant(text, opens, closes, value):
    assert understood(text, opens=opens, closes=closes) == value


@pytest.mark.parametrize(("text", "value"), [
    ("can I come at three", "15:00"), ("tomorrow at three, my name is Anna", "15:00"),
    ("on Friday at half past two please", "14:30"),
    ("make it four o'clock", "16:00"),
    ("no, four thirty pm", "16:30"), ("tomorrow at ten", "10:00"), ("around three if possible", "15:00"),
    ("in the morning at nine", "09:00"), ("it should be at 15:30", "15:30"), ("make it four", "16:00"),
    ("three people", ""), ("I have four bikes", ""), ("at 14 Harbour Street", ""), ("number five", ""),
    ("room 1015", ""), ("for two people", ""), ("the three of us", ""), ("about three bikes", ""),
    ("from two to four people", ""),
])
def test_a_time_that_nobody_asked_for(text, value):
    assert understood(text, asked=False) == value


@pytest.mark.parametrize(("text", "value"), [
    ("an hour later", "17:00"), ("half an hour earlier", "15:30"), ("two hours earlier please", "14:00"),
    ("15 minutes later", "16:15"),
])
def test_a_time_by_the_one_that_is_known(text, value):
    assert understood(text, asked=False, known="16:00") == value


def test_the_half_of_the_day_alone_corrects_the_known_hour():
    assert understood("no, in the morning", known="16:00") == "04:00"
    assert understood("in the evening", known="08:00") == "20:00"


@given(st.times())
def test_a_time_said_back_is_understood(that):
    that = that.replace(second=0, microsecond=0)
    assert understood(say_time(that)) == that.strftime("%H:%M")
    assert understood(f"make it {say_time(that)}", asked=False) == that.strftime("%H:%M")


@pytest.mark.parametrize(
    "said",
    ["This is too complicated.", "Let me talk to somebody.", "I want to speak to a person", "What for, I wonder?"],
)
def test_a_word_that_only_sounds_like_an_hour_is_none_in_a_sentence(said):
    form = Form("visit", "visit", (Slot("time", "time", opens="09:00", closes="18:00"),))
    assert parse(form, "time", said, now=datetime(2026, 12, 2, 10)).values == ()
