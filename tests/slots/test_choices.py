"""Choices by their words, nearly so, and by their place."""

from __future__ import annotations

from datetime import datetime

import pytest

from voicebridge.conversation.form import Choice, Form, Slot
from voicebridge.slots import parse

NOW = datetime(2026, 11, 24, 12, 3)
SERVICE = (
    Choice("full service", ("complete service", "full check")), Choice("basic service", ("small service",
    "quick check")),
    Choice("puncture repair", ("flat tyre", "flat tire", "puncture")),
)
BIKES = (Choice("city_bike"), Choice("mountain_bike", ("mtb",)), Choice("e_bike", ("electric bike", "electric")))
SIDES = (Choice("left"), Choice("right"))
SIZES = (Choice("S", ("small",)), Choice("M", ("medium",)), Choice("XL", ("extra large",)), Choice("L",
    ("large", "big")))


def value(text, choices, *, asked=True):
    form = Form("f", "t", (Slot("what", "choice", choices=choices),))
    values = parse(form, "what" if asked else "", text, now=NOW).values
    return values[0].value if values else ""


@pytest.mark.parametrize(("text", "choices", "chosen"), [
    ("full service", SERVICE, "full service"), ("The full service, please.", SERVICE, "full service"),
    ("a complete service", SERVICE, "full service"), ("I'd like the basic service", SERVICE, "basic service"),
    ("the basic one", SERVICE, "basic service"), ("basic", SERVICE, "basic service"),
    ("the full one", SERVICE, "full service"),
    ("I have a flat tire", SERVICE, "puncture repair"), ("flat tyres", SERVICE, "puncture repair"),
    ("the puncture", SERVICE, "puncture repair"), ("punctured", SERVICE, "puncture repair"),
    ("repair", SERVICE, "puncture repair"),
    ("A full surface, please.", SERVICE, "full service"), ("full servis", SERVICE, "full service"),
    ("the bassic service", SERVICE, "basic service"), ("puncher repair", SERVICE, "puncture repair"),
    ("a fool service", SERVICE, "full service"), ("With a full service, please.", SERVICE, "full service"),
    ("the second one", SERVICE, "basic service"), ("the first", SERVICE, "full service"),
    ("The third one.", SERVICE, "puncture repair"),
    ("option two", SERVICE, "basic service"), ("number three", SERVICE, "puncture repair"),
    ("two", SERVICE, "basic service"),
    ("2", SERVICE, "basic service"), ("To.", SERVICE, "basic service"), ("the last one", SERVICE, "puncture repair"),
    ("the middle one", SERVICE, "basic service"), ("the second option please", SERVICE, "basic service"),
    ("not the basic, the full service", SERVICE, "full service"),
    ("the full, no, the basic service", SERVICE, "basic service"),
    ("the small service I think", SERVICE, "basic service"), ("hm, quick check", SERVICE, "basic service"),
    ("a mountain bike", BIKES, "mountain_bike"), ("mountain bikes", BIKES, "mountain_bike"),
    ("mountain", BIKES, "mountain_bike"),
    ("an electric one", BIKES, "e_bike"), ("an e-bike", BIKES, "e_bike"), ("city bike", BIKES, "city_bike"),
    ("the city one", BIKES, "city_bike"), ("a mounting bike", BIKES, "mountain_bike"), ("the latter", SIDES, "right"),
    ("left", SIDES, "left"), ("on the right", SIDES, "right"), ("the right side", SIDES, "right"),
    ("extra large", SIZES, "XL"),
    ("large", SIZES, "L"), ("medium please", SIZES, "M"), ("the small", SIZES, "S"), ("M", SIZES, "M"),
    ("the fourth one", SERVICE, ""), ("option nine", SERVICE, ""), ("service", SERVICE, ""), ("a bike", BIKES, ""),
    ("I don't know", SERVICE, ""), ("hello", SERVICE, ""), ("whatever", SERVICE, ""),
    ("what are the options", SERVICE, ""),
    ("no", SERVICE, ""), ("yes", SERVICE, ""), ("", SERVICE, ""), ("a banana", SERVICE, ""),
    ("not the full service", SERVICE, ""),
])
def test_a_choice_that_was_asked_for(text, choices, chosen):
    assert value(text, choices) == chosen


@pytest.mark.parametrize(("text", "choices", "chosen"), [
    ("I'd like a full service on Friday", SERVICE, "full service"),
    ("my bike has a flat tyre", SERVICE, "puncture repair"),
    ("can I rent a mountain bike", BIKES, "mountain_bike"), ("the second one", SERVICE, ""),
    ("two on Friday", SERVICE, ""),
    ("that's all", SERVICE, ""), ("I need something basic", SERVICE, ""),
])
def test_a_choice_that_nobody_asked_for_needs_its_words(text, choices, chosen):
    assert value(text, choices, asked=False) == chosen


@pytest.mark.parametrize(("choice", "spoken"), [
    (Choice("mountain_bike"), "mountain bike"), (Choice("svc2", ("big service",)), "big service"),
    (Choice("red"), "red"),
])
def test_how_a_choice_is_said_back(choice, spoken):
    form = Form("f", "t", (Slot("what", "choice", choices=(choice, Choice("other"))),))
    (value,) = parse(form, "what", spoken, now=NOW).values
    assert (value.value, value.spoken) == (choice.value, spoken)
