"""Digits and telephone numbers, spoken and as recognisers write them; the keys of the telephone."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.form import Choice, Form, Slot, SlotValue
from voicebridge.slots import keys, parse
from voicebridge.slots.saying import grouped, say_digits

NOW = datetime(2026, 11, 24, 12, 3)


def read(text, kind="digits", *, asked=True, least=None, most=None, name="order_number", ask=()):
    form = Form("f", "t", (Slot(name, kind, ask, least=least, most=most),))
    return parse(form, name if asked else "", text, now=NOW)


def value(*args, **more):
    values = read(*args, **more).values
    return values[0].value if values else ""


@pytest.mark.parametrize(("text", "digits"), [
    ("four four oh seven", "4407"), ("four, four, zero, seven", "4407"), ("Four four o seven.", "4407"),
    ("4407", "4407"), ("44 07", "4407"), ("forty-four oh seven", "4407"), ("forty four zero seven", "4407"),
    ("double four oh seven", "4407"), ("Double five, one, two.", "5512"), ("triple two nine", "2229"),
    ("treble two nine", "2229"), ("double oh seven", "007"), ("two double three two", "2332"), ("5 double 1", "511"),
    ("nineteen eighty-four", "1984"), ("one nine eight four", "1984"), ("My can is one line eight for.", "1984"),
    ("my pin is one two three four", "1234"), ("it's one two three four", "1234"), ("twenty twelve", "2012"),
    ("seven hundred", "700"), ("seven hundred and four", "704"), ("two thousand", "2000"),
    ("four thousand and seven", "4007"),
    ("for for oh seven", "4407"), ("for to ate won", "4281"), ("eight ate two to", "8822"), ("88210", "88210"),
    ("8-2-1", "821"), ("The order number is 88210.", "88210"), ("88 two 10", "88210"), ("1,234", "1234"),
    ("12:34", "1234"), ("three fives", "555"), ("six zeros", "000000"), ("um, four, uh, four, oh, seven", "4407"),
    ("four four oh seven, sorry, four four oh eight", "4408"), ("4407 no 4408", "4408"), ("a hundred", ""),
    ("o7700900461", "07700900461"), ("oh one", "01"), ("nil nil one", "001"), ("one two dash three four", "1234"),
    ("one one two two, then three three", "112233"), ("eleven twelve thirteen", "111213"), ("ninety nine", "99"),
])
def test_digits_that_were_asked_for(text, digits):
    assert value(text) == digits


@pytest.mark.parametrize(("text", "least", "most", "digits"), [
    ("forty four oh seven", 5, 5, "40407"), ("forty four oh seven", 4, 4, "4407"),
    ("nine hundred four", 3, 3, "904"), ("nine hundred four", 4, 4, "9004"),
    ("4407 4407", 4, 4, "4407"), ("four four oh seven four four oh seven", 4, 4, "4407"),
    ("for 4407", 4, 4, "4407"), ("it is for four oh seven", 4, 4, "4407"), ("to 88210", 5, 5, "88210"),
    ("four four oh seven, sorry, eight", 4, 4, "4408"), ("twenty one", 2, 2, "21"), ("twenty one", 3, 3, "201"),
    ("1 2 3 4 5", 4, 4, ""),
])
def test_the_length_tells_which_reading_is_meant(text, least, most, digits):
    assert value(text, least=least, most=most) == digits


@pytest.mark.parametrize("text", [
    "hello", "I don't know", "to be honest", "for the", "no", "what for", "double", "plus",
])
def test_what_are_no_digits(text):
    said = read(text)
    assert said.values == () and said.partial == ""


@pytest.mark.parametrize(("text", "kind", "so_far"), [
    ("four four", "digits", "44"), ("44", "digits", "44"), ("five five five", "phone", "555"),
    ("S M", "spelled", "SM"),
    ("S", "spelled", "S"),
])
def test_too_few_are_kept_for_what_follows(text, kind, so_far):
    said = read(text, kind, least=4)
    assert (said.values, said.partial, said.cancel) == ((), so_far, False)


@pytest.mark.parametrize(("first", "second", "kind", "whole"), [
    ("four four", "oh seven", "digits", "4407"), ("five five five", "oh one four two", "phone", "5550142"),
    ("plus forty nine", "thirty, one two three", "phone", "+4930123"), ("S M", "I T H", "spelled", "SMITH"),
])
def test_what_follows_is_read_together_with_it(first, second, kind, whole):
    so_far = read(first, kind, least=4).partial
    assert value(f"{so_far} {second}", kind, least=4) == whole


@pytest.mark.parametrize(("text", "number"), [
    ("five five five oh one four two", "5550142"), ("555-0142", "5550142"), ("5550142", "5550142"),
    ("It's 555-0142.", "5550142"), ("(555) 123-4567", "5551234567"), ("555.123.4567", "5551234567"),
    ("plus forty-nine thirty one two three four five six seven", "+49301234567"),
    ("Plus 49:30, 123, 4567.", "+49301234567"),
    ("+49 30 1234567", "+49301234567"),
    ("plus one, five five five, one two three, four five six seven", "+15551234567"),
    ("oh seven seven double oh nine hundred four six one", "07700900461"),
    ("My number is 07700900461.", "07700900461"),
    ("zero one seven one, five five five, double eight, nine two", "01715558892"),
    ("zero zero four nine one seven one five five five", "0049171555"), ("my number is 555 0142, thanks", "5550142"),
    ("you can reach me on oh one two one, four nine six, oh oh oh", "0121496000"),
    ("the area code is 555 and the number is 123 4567", "5551234567"),
    ("eight hundred five five five one two one two", "8005551212"),
    ("five five five, oh one four two, sorry, four three", "5550143"),
    ("area code two one two, then 555 0199", "2125550199"),
])
def test_a_telephone_number_that_was_asked_for(text, number):
    assert value(text, "phone", name="number") == number


@pytest.mark.parametrize(("text", "kind", "name", "found"), [
    ("my order number is 88210", "digits", "order_number", "88210"),
    ("the order is eight eight two one oh", "digits", "order_number", "88210"),
    ("you can call me on 555 0142", "phone", "callback", "5550142"),
    ("plus forty nine thirty, one two three four", "phone", "callback", "+49301234"),
    ("I'd like two on the third", "digits", "order_number", ""),
    ("a table for four at seven", "phone", "callback", ""),
    ("my order number is 8821033", "phone", "callback", ""),
    ("at half past two", "digits", "pin", ""),
])
def test_digits_that_nobody_asked_for(text, kind, name, found):
    assert value(text, kind, asked=False, name=name) == found


@pytest.mark.parametrize(("slot", "pressed", "heard"), [
    (Slot("pin", "digits", least=4, most=4), "1234", "1234"), (Slot("pin", "digits", least=4, most=4), "123", None),
    (Slot("pin", "digits", least=4, most=4), "12345", None), (Slot("pin", "digits"), "", None),
    (Slot("pin", "digits"), "12a", None), (Slot("pin", "digits"), "1*", None), (Slot("pin", "digits"), "٣", None),
    (Slot("tel", "phone"), "5550142", "5550142"), (Slot("tel", "phone"), "55", None),
    (Slot("n", "number", least=1, most=8), "4", "4"), (Slot("n", "number", least=1, most=8), "9", None),
    (Slot("n", "number"), "007", "7"), (Slot("n", "number"), "9" * 40, None),
    (Slot("c", "choice", choices=(Choice("red"), Choice("blue"))), "2", "blue"),
    (Slot("c", "choice", choices=(Choice("red"), Choice("blue"))), "3", None),
    (Slot("c", "choice", choices=(Choice("red"), Choice("blue"))), "0", None),
    (Slot("y", "yes_no"), "1", "yes"), (Slot("y", "yes_no"), "2", "no"), (Slot("y", "yes_no"), "3", None),
    (Slot("d", "date"), "1", None), (Slot("t", "text"), "1", None), (Slot("s", "spelled"), "22", None),
])
def test_keys_that_were_pressed(slot, pressed, heard):
    made = keys(slot, pressed)
    assert (made.value if made else None) == heard
    assert made is None or made.slot == slot.name


@pytest.mark.parametrize(("digits", "said"), [
    ("4407", "4 4 0 7"), ("5550142", "5 5 5, 0 1 4 2"), ("88210", "8 8 2, 1 0"), ("+4930", "plus 4 9 3 0"),
    ("5551234567", "5 5 5, 1 2 3, 4 5 6 7"), ("1", "1"),
])
def test_digits_are_said_in_groups(digits, said):
    assert say_digits(digits) == said


@given(st.text("0123456789", min_size=1, max_size=20))
def test_the_groups_are_the_digits(digits):
    assert "".join(grouped(digits)) == digits
    assert all(1 <= len(group) <= 4 for group in grouped(digits))


@given(st.text("0123456789", min_size=1, max_size=12))
def test_digits_said_back_are_understood(digits):
    assert value(say_digits(digits)) == digits


@given(st.text("0123456789", min_size=6, max_size=15), st.booleans())
def test_a_telephone_number_said_back_is_understood(digits, plus):
    number = ("+" if plus else "") + digits
    assert value(say_digits(number), "phone", name="number") == number


@given(st.text("0123456789*#", max_size=30), st.sampled_from(["digits", "phone", "number", "choice", "yes_no", "time"]))
def test_no_keys_raise(pressed, kind):
    made = keys(Slot("s", kind, choices=(Choice("a"),)), pressed)
    assert made is None or isinstance(made, SlotValue)
