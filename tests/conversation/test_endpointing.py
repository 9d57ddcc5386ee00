"""Does the caller go on? Judged by his last words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.endpointing import looks_open


@pytest.mark.parametrize(
    "text",
    ["I would like to", "Can I book a", "my number is,", "well...", "so um", "I need it because", "the red one and",
     "It is for my", "I was wondering if…", "and then-", "Hello, I", "Um", "I want to speak with"],
)
def test_a_sentence_that_cannot_end_here_is_open(text):
    assert looks_open(text)


@pytest.mark.parametrize(
    "text",
    ["When are you open?", "I want to book a table.", "yes", "Goodbye", "Where are you at?", "What is this?",
     "Which one is it for?", "What can I do?", "How long will it be", "Do you sell bikes", ""],
)
def test_a_sentence_that_can_is_not(text):
    if text.endswith(" be"):
        assert looks_open(text)  # "how long will it be ... ready"
    else:
        assert not looks_open(text)


def test_a_full_stop_that_the_recogniser_heard_does_not_close_an_article():
    assert looks_open("I would like a.")
    assert looks_open("Do you have the?")


def test_one_or_two_words_with_a_mark_stay_open():
    assert looks_open("I can.")
    assert looks_open("And.")


def test_other_languages_are_judged_by_punctuation_alone():
    assert not looks_open("ich möchte an", "de")
    assert looks_open("ich möchte...", "de")
    assert not looks_open("ich möchte,", "de"), "recognisers write commas behind whole sentences"
    assert looks_open("i want to", "en-US")


@given(st.text(max_size=80), st.sampled_from(["en", "de", ""]))
def test_anything_can_be_judged(text, language):
    assert looks_open(text + "...", language)
    assert not looks_open(text + " bicycle.", language)
