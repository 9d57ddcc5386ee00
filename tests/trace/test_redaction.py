"""Numbers, cards and addresses are found however they are written or read out, and nothing else is."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from voicebridge.trace.redaction import redact, redact_answer, redact_data, redact_parts

WORDS = {
    "en": "zero one two three four five six seven eight nine",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "it": "zero uno due tre quattro cinque sei sette otto nove",
    "nl": "nul een twee drie vier vijf zes zeven acht negen",
    "pt": "zero um dois três quatro cinco seis sete oito nove",
}
JOINED = st.sampled_from(["", " ", "-", ".", " - ", ", ", " (", ") ", "/", "\n", "  ", "_"])
QUICK = settings(max_examples=150, deadline=None)


def joined(pieces, glue):
    return "".join(f"{piece}{stop}" for piece, stop in zip(pieces, [*glue, ""], strict=True))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("my card is 4111 1111 1111 1111 thanks", "my card is [card] thanks"),
        ("4111-1111-1111-1112", "[number]"),
        (f"four {'one ' * 15}please", "[card] please"),
        ("five five double three treble seven", "[number]"),
        ("call +49 (30) 1234-567 or (030) 555-0142", "call [number] or [number]"),
        ("at 14:30 on 2026-11-24 for $1,250.00", "at 14:30 on 2026-11-24 for $1,250.00"),
        ("12500 euros, € 4.500,00 or 1.250,00 EUR", "12500 euros, € 4.500,00 or 1.250,00 EUR"),
        ("9:15, 9:30, 9:45", "9:15, 9:30, 9:45"),
        ("We have nine fifteen, ten thirty, eleven.", "We have nine fifteen, ten thirty, eleven."),
        ("from nine thirty to eleven forty five", "from nine thirty to eleven forty five"),
        ("$4111 1111 1111 1111", "$[card]"),
        ("order 4711", "order 4711"),
        ("AB12345", "AB[number]"),
        ("four two, um, one then seven to nine", "[number]"),
        ("zéro six, douze, trente-quatre, cinquante-six, quatre-vingt-dix-sept", "[number]"),
        ("null eins siebenundvierzig elf", "[number]"),
        ("novanta due, trentadue, uno", "[number]"),
        ("noventa y uno, veintidós, cero", "[number]"),
        ("It's j.o-hn@example.com.", "It's [email]."),
        ("john dot smith at example dot com please", "[email] please"),
        ("my email is john smith at example dot co dot uk", "my email is [email]"),
        ("j o h n at web punkt de", "[email]"),
        ("my email is john smith at gmail.com, thanks", "my email is [email], thanks"),
        ("It's john.smith-2 at mail.example.co.uk.", "It's [email]."),
        ("max.mueller at web punkt de", "[email]"),
        ("just john at gmail", "[email]"),
        ("ann＠example.com", "[email]"),
        ("We close at 9.30 a.m. and St. Anne's at noon. Bye.", "We close at 9.30 a.m. and St. Anne's at noon. Bye."),
        ("see you at five at the shop", "see you at five at the shop"),
    ],
)  # fmt: skip
def test_what_is_somebodys_goes_and_the_rest_stays(text, left):
    assert redact(text) == left


def test_only_the_kinds_that_are_wanted_go():
    text = "4111 1111 1111 1111, or 5550142, or a@b.de"
    assert redact(text, ()) == text
    assert redact(text.replace(",", " and"), ("card",)) == "[card] and or 5550142 and or a@b.de"
    assert redact("4111 1111 1111 1111", ("number",)) == "[number]"


@QUICK
@given(st.lists(st.sampled_from("0123456789"), min_size=5, max_size=24), st.data())
def test_no_five_digits_in_a_row_survive(digits, data):
    glue = data.draw(st.lists(JOINED, min_size=len(digits) - 1, max_size=len(digits) - 1))
    text = f"it is {joined(digits, glue)} so"
    assume(not re.search(r"\d+[-./]\d+[-./]\d+", text) or len(digits) > 8)  # a date
    found = redact(text)
    assert not re.search(r"(?:\d[\s\-.,()/_]*){5}", found)
    assert found.startswith("it is ")
    assert found.endswith(" so")


@QUICK
@given(st.sampled_from(sorted(WORDS)), st.lists(st.integers(0, 9), min_size=5, max_size=20))
def test_no_five_spoken_digits_survive(language, digits):
    words = WORDS[language].split()
    assert re.fullmatch(r"\[(number|card)\]", redact(" ".join(words[digit] for digit in digits)))


@QUICK
@given(st.text(alphabet=st.characters(exclude_categories=("Nd", "Nl", "No", "L"), exclude_characters="@")))
def test_what_has_no_words_no_digits_and_no_at_stays(text):
    assert redact(text) == text


@QUICK
@given(st.text(alphabet="01459 -.,@:$abo\n+()[]", max_size=40) | st.text(max_size=30))
def test_twice_is_once(text):
    once = redact(text)
    assert redact(once) == once


@QUICK
@given(st.text(alphabet="0145 -ab.@", max_size=30), st.integers(0, 30))
def test_what_was_heard_is_still_how_it_begins(text, cut):
    (whole,) = redact_parts([text])
    cut = min(cut, len(text))
    assert 0 <= whole.at(cut) <= len(whole.text)
    assert whole.at(len(text)) == len(whole.text)
    assert not re.search(r"\d{5}", whole.text[: whole.at(cut)])


def test_a_number_goes_on_in_the_next_part():
    parts = redact_parts(["it is four two one", " seven six two please"])
    assert [part.text for part in parts] == ["it is [number]", " [number] please"]
    pieces = redact_parts(["it is 42", "1", "7 7", "8 ok"], glue="", echo=False)
    assert [piece.text for piece in pieces] == ["it is [number]", "", "", " ok"]


@pytest.mark.parametrize(
    ("text", "asked", "goes_on", "shown"),
    [
        ("it is four two one", "phone", False, "[number]"),
        ("for seven one", "digits", False, "[number]"),
        ("two people", "number", False, "two people"),
        ("nine two", "digits", True, "[number]"),
        ("yes please", "digits", True, "yes please"),
        ("four two one", "text", False, "four two one"),
        ("j o h n", "email", False, "[email]"),
        ("ann at web", "email", False, "[email]"),
        ("what for", "email", False, "what for"),
    ],
)
def test_who_is_asked_for_a_number_may_tell_it_in_groups(text, asked, goes_on, shown):
    assert redact_answer(text, asked=asked, goes_on=goes_on) == shown


def test_data_keep_their_shape():
    data = {"phone": 4930123456, "n": 2, "ok": True, "who": ["a@b.de", None], "day": "2026-11-24"}
    hidden = {"phone": "[number]", "n": 2, "ok": True, "who": ["[email]", None], "day": "2026-11-24"}
    assert redact_data(data, redact) == hidden


@pytest.mark.parametrize("text", ["ab" * 20_000, "a@" * 5_000, "at dot " * 3_000, "1 " * 20_000, "@" * 9_000])
def test_no_text_takes_long(text):
    import time

    began = time.process_time()
    redact(text)
    assert time.process_time() - began < 2.0
