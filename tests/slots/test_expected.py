"""What callers are expected to answer: every expected answer is one that the reader of the slot can read."""

from __future__ import annotations

from datetime import datetime

import pytest

from voicebridge.conversation.form import Choice, Form, Slot
from voicebridge.slots import parse, phrases

NOW = datetime(2026, 11, 24, 9)
SAID = {
    "yes_no": ["yes please", "that's right", "no thank you", "nope"],
    "digits": ["four four oh seven", "double five nine", "triple two", "forty four nine"],
    "phone": ["five five five oh one four two", "plus four nine three oh one two three"],
    "number": ["twenty one", "a couple of people", "just me", "a hundred and four"],
    "date": ["next friday", "the third of december", "in two weeks", "a week on monday", "christmas eve", "tomorrow"],
    "time": ["half past two", "quarter to nine", "three thirty p m", "two in the afternoon", "noon"],
    "spelled": ["s m i t h", "sierra mike", "b as in bravo", "double t"],
}


def built_of(said: str, expected: tuple[str, ...]) -> bool:
    words = said.split()
    return not words or any(
        words[: len(parts)] == parts and built_of(" ".join(words[len(parts) :]), expected)
        for parts in (phrase.split() for phrase in expected)
    )


@pytest.mark.parametrize(("kind", "said"), [(kind, said) for kind in SAID for said in SAID[kind]])
def test_answers_that_the_readers_know_are_expected(kind, said):
    slot = Slot("it", kind)
    expected = phrases(slot, "en-GB")
    assert built_of(said, expected)
    understood = parse(Form("form", "tool", (slot,)), "it", said, now=NOW)
    assert understood.values or understood.answer, "and read"


@pytest.mark.parametrize("kind", list(SAID))
def test_to_any_question_he_may_leave_it_or_put_it_right(kind):
    expected = phrases(Slot("it", kind), "en")
    for said in ("no sorry", "cancel", "repeat that", "hold on", "operator please"):
        assert built_of(said, expected)


@pytest.mark.parametrize("kind", ["name", "text", "email"])
def test_where_anything_may_be_said_nothing_is_expected(kind):
    assert phrases(Slot("it", kind), "en") == ()


def test_a_choice_is_said_in_its_words_or_by_its_place():
    slot = Slot("kind", "choice", choices=(Choice("full_service", ("Everything", "the  lot")), Choice("tyres")))
    expected = phrases(slot, "en")
    for said in ("full service", "everything", "the lot", "tyres", "the second one", "no wait tyres"):
        assert built_of(said, expected)
    assert phrases(slot, "xx") == ("full service", "everything", "the lot", "tyres")


def test_phrases_are_words_in_lower_case_said_once():
    for kind in SAID:
        expected = phrases(Slot("it", kind), "en")
        assert len(set(expected)) == len(expected)
        assert all(phrase == " ".join(phrase.lower().split()) for phrase in expected)
        assert not any(sign.isdigit() for phrase in expected for sign in phrase)


def test_another_language_expects_what_it_has_a_table_for():
    assert phrases(Slot("it", "date"), "xx") == ()
