"""Written text as it is spoken, and the way back from the spoken word to the written one."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voicebridge.conversation.spoken import MAX_CHARS, Span, Spoken, number, speak


def said(text: str, language: str = "en") -> str:
    return speak(text, language).text


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("We have 12 bikes.", "We have twelve bikes."),
        ("1,000,000 people", "one million people"),
        ("0.5", "zero point five"),
        ("In 1999 and 2024, yes", "In nineteen ninety nine and twenty twenty four, yes"),
        ("the 1st, 22nd and 101st", "the first, twenty second and one hundred and first"),
        ("a 12-month plan", "a twelve month plan"),
        ("-5 outside, 20 °C inside.", "minus five outside, twenty degrees inside."),
        ("No. 12", "number twelve"),
        ("from 5-10 and 100–200", "from five to ten and one hundred to two hundred"),
        ("3.5%, 20 % or 10-20%", "three point five percent, twenty percent or ten to twenty percent"),
        ("15 km, 10 kg.", "fifteen kilometres, ten kilograms."),
        ("order A42 or B2B", "order A four two or B two B"),
        ("12345678901234567890", " ".join("12345678901234567890")),
    ],
)
def test_numbers(written, spoken):
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("at 9 am", "at nine A M"),
        ("at 9:05 a.m.", "at nine oh five A M"),
        ("9:30 or 17:45", "nine thirty or five forty five P M"),
        ("12:00", "twelve o'clock"),
        ("9am-5:30 p.m.", "nine A M to five thirty P M"),
        ("9:00–17:00", "nine o'clock to five P M"),
        ("Mon-Fri", "Monday to Friday"),
        ("Mon.–Sat. 9-6", "Monday to Saturday nine to six"),
        ("Sat. and Sun. closed", "Saturday and Sunday closed"),
        ("2026-11-24", "November twenty fourth, twenty twenty six"),
        ("2026-13-40", "two zero two six one three four zero"),
    ],
)
def test_times_and_dates(written, spoken):
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("$1,400", "one thousand four hundred dollars"),
        ("$3.50.", "three dollars and fifty cents."),
        ("$1.00", "one dollar"),
        ("£1.01", "one pound and one penny"),
        ("£0.50", "fifty pence"),
        ("$0.00", "zero dollars"),
        ("€12, 20 € or 5€", "twelve euros, twenty euros or five euros"),
        ("$1.5 million", "one point five million dollars"),
        ("$5-$10", "five to ten dollars"),
        ("£5–7.50", "five to seven pounds and fifty pence"),
    ],
)
def test_money(written, spoken):
    assert said(written) == spoken


@pytest.mark.parametrize(
    ("written", "groups"),
    [
        ("555-1234", ["555", "1234"]),
        ("020 7946 0958", ["020", "7946", "0958"]),
        ("(020) 7946 0958", ["020", "7946", "0958"]),
        ("+44 20 7946 0958", ["plus 44", "20", "7946", "0958"]),
        ("+1 (555) 010-9999", ["plus 1", "555", "010", "9999"]),
        ("1-800-555-0199", ["1", "800", "555", "0199"]),
        ("0123456789", ["0123456789"]),
        ("+4930123456", ["plus 4930123456"]),
    ],
)
def test_telephone_numbers_are_said_digit_by_digit_in_their_groups(written, groups):
    names = dict(zip("0123456789", "zero one two three four five six seven eight nine".split(), strict=True))
    wanted = ", ".join(" ".join(names.get(char, "") for char in re.sub(r"\D", "", group)) for group in groups)
    assert said(f"call {written} now") == f"call {'plus ' if 'plus' in groups[0] else ''}{wanted} now"


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Mr. Smith & Dr. No, e.g. here", "mister Smith and doctor No, for example here"),
        ("pads and/or discs, etc.", "pads and or discs, et cetera"),
        ("info@shop-one.co.uk", "info at shop dash one dot co dot uk"),
        ("see https://www.example.org/a.", "see example dot org slash a."),
        ("the USB port", "the U S B port"),
        ("**Bold** and `code`", "Bold and code"),
        ("- first\n- second", "first second"),
        ("Hello 😀 there", "Hello there"),
        ("it's John’s", "it's John’s"),
        ("red/blue in /tmp", "red or blue in /tmp"),
        ("", ""),
        ("  \n ", ""),
        ("***", ""),
    ],
)
def test_words_that_are_not_read_as_written(written, spoken):
    assert said(written) == spoken


def test_other_languages_get_numbers_and_nothing_english():
    assert said("3 Äpfel, Mon. 9 am", "de") == "drei Äpfel, Mon. neun am"
    assert said("7", "de-AT") == "sieben"
    assert said("rot/blau", "de") == "rot/blau"
    assert said("7", "xx") == "7"


def test_text_without_end_is_cut_off():
    assert len(said("word " * 5_000)) <= MAX_CHARS


def test_digits_that_are_too_many_are_no_quantity():
    assert number("1" * 16) == " ".join("1" * 16)
    assert number("1,000") == "one thousand"
    assert number("7", "xx") == "7"


def word_at(text: str, spoken_word: str, language: str = "en") -> str:
    made = speak(text, language)
    start, end = made.original_position(made.text.index(spoken_word))
    return text[start:end]


def test_every_spoken_word_leads_back_to_the_written_one():
    text = "It costs $1,400, Dr. Smith: call 555-1234 at 9 am or mail a@b.org."
    for spoken, written in (
        ("costs", "costs"), ("thousand", "$1,400,"), ("dollars", "$1,400,"), ("doctor", "Dr."), ("Smith", "Smith:"),
        ("four", "$1,400,"), ("two", "555-1234"), ("nine", "9 am"), ("A M", "9 am"), ("dot", "a@b.org."),
    ):
        assert word_at(text, spoken) == written


def test_positions_outside_lead_to_the_nearest_word():
    made = speak("one 2")
    assert made.original_position(-1) == (0, 3)
    assert made.original_position(3) == (4, 5)
    assert made.original_position(999) == (4, 5)
    assert Spoken("", ()).original_position(0) == (0, 0)


WRITTEN = st.lists(
    st.sampled_from(
        "we cost $1,400 £0.50 5€ 9 am 17:45 9-5 Mon–Fri 1st 3.5% 555-1234 +44 20 7946 2026-01-31 A4 USB e.g. No. 7 "
        "a@b.org www.x.org and/or -5 5° C ... — 😀 **x** 10-20% ſec mın 12kg $5-$10 ²".split(" ")
    ),
    max_size=25,
).map(" ".join)


@given(st.text(max_size=150) | WRITTEN | st.from_regex(r"[$€£+\-]?\d[\d ,.:%€/-]{0,12}[a-zſı]{0,3}\.?", fullmatch=True),
       st.sampled_from(["en", "en-GB", "de", "fr", "xx", ""]))
@example("5 ſec ſun. frı", "en")
@example("٣ apples, ٣٣٣-٣٣٣٣", "en")
@example("0000-00-00 0000-01-01", "en")
@example("$" + "9" * 400, "en")
def test_it_never_raises_and_the_spans_tell_where_every_piece_came_from(text, language):
    made = speak(text, language)
    assert "\n" not in made.text
    assert made.text == " ".join(made.text[span.start : span.end] for span in made.spans)
    before = Span(0, 0, 0, 0)
    for span in made.spans:
        assert before.orig_end <= span.orig_start < span.orig_end <= len(text)
        assert before.end <= span.start < span.end
        assert made.original_position(span.start) == (span.orig_start, span.orig_end)
        before = span


@given(WRITTEN)
def test_what_has_been_spoken_needs_no_second_reading(text):
    once = said(text)
    assert not re.search(r"[\d$€£%@]", once)
