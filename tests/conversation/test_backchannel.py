"""What a caller says while we speak: go on, stop, or no words at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.backchannel import SHORT_S, is_backchannel, is_noise, words


def test_words_are_lower_case_without_punctuation():
    assert words("Uh-huh, I'll see… it’s FINE!") == ("uh-huh", "i'll", "see", "it's", "fine")
    assert words("— !? _ ") == ()
    assert words("Größe 42") == ("größe", "42")


@pytest.mark.parametrize(
    "text", ["Uh-huh.", "mm-hmm", "Okay", "Yeah, yeah.", "I see.", "Right, right", "Got it.", "Oh, okay.", "All right",
             "of course", "That's great!", "yes I see", "Oh wow, cool"]
)
def test_these_mean_go_on(text):
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text", ["", "No.", "Wait.", "Stop", "Hold on", "Yes but when?", "what", "That", "I", "got", "it all",
             "I see a car", "yeah yeah yeah yeah yeah", "okay so how much is it", "Uh, excuse me"]
)
def test_these_do_not(text):
    assert not is_backchannel(text)


@pytest.mark.parametrize("text", ["Yes.", "yeah", "Okay", "Sure.", "that's right", "Of course"])
def test_a_yes_to_a_question_is_an_answer(text):
    assert is_backchannel(text)
    assert not is_backchannel(text, after_question=True)


@pytest.mark.parametrize("text", ["Uh-huh", "mm", "Oh", "Hmm.", "wow"])
def test_a_hum_at_a_question_is_none(text):
    assert is_backchannel(text, after_question=True)


def test_a_language_without_a_list_uses_the_english_one():
    assert is_backchannel("okay", language="xx")
    assert is_backchannel("okay", language="en-GB")


def test_no_words_are_noise_however_long():
    assert is_noise("", voiced_s=5.0)
    assert is_noise(" ... ", voiced_s=5.0)


@pytest.mark.parametrize("text", ["You", "Thank you.", "the", "Bye.", "Oh"])
def test_what_recognisers_hear_in_a_click_is_noise_only_while_it_is_short(text):
    assert is_noise(text, voiced_s=SHORT_S - 0.01)
    assert not is_noise(text, voiced_s=SHORT_S)


def test_a_real_word_is_no_noise_even_where_it_is_short():
    assert not is_noise("No.", voiced_s=0.15)
    assert not is_noise("Stop", voiced_s=0.2)


@given(st.text(max_size=60), st.floats(0, 5))
def test_anything_can_be_judged(text, voiced):
    assert is_backchannel(text, after_question=True) <= is_backchannel(text)
    assert is_noise(text, voiced_s=voiced) >= (not words(text))
