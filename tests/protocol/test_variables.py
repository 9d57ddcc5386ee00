"""Text for the PBX: one line, short, and nothing in it that the dialplan would take for its own."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.protocol.variables import DEFAULT_LIMIT, FORBIDDEN, capped, clean

ANYTHING = st.text(st.characters(codec=None) | st.sampled_from('"\\${}[],;\r\n\0\t\x1b'), max_size=400)


@given(ANYTHING, st.integers(0, 300))
def test_whatever_comes_in_what_goes_out_is_one_short_harmless_line(text: str, limit: int):
    made = clean(text, limit)
    assert len(made.encode()) <= limit
    assert not FORBIDDEN & set(made)
    assert not any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in made)
    assert made == made.strip() and "  " not in made
    assert clean(made, limit) == made


@given(st.text(st.characters(categories=("L", "N"), codec="utf-8"), max_size=60))
def test_plain_words_stay_as_they_are(text: str):
    assert clean(text, 1_000) == text


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ('x"\nEXEC Dial PJSIP/0900', "x EXEC Dial PJSIP/0900"),
        ("${SHELL(rm -rf /)} $[1+1]", "SHELL(rm -rf /) 1+1"),
        ("a,b;c\\d", "abcd"),
        ("  two\r\n lines\u2028and\ttabs\x85 ", "two lines and tabs"),
        ("Zo\u00eb says \u4f60\u597d \U0001f600", "Zo\u00eb says \u4f60\u597d \U0001f600"),
        ("right\u202eto left\u200b", "rightto left"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("\ud800lone", "lone"),
    ],
)
def test_examples(text: str, made: str):
    assert clean(text) == made


def test_no_character_is_cut_in_two():
    assert clean("\u20ac" * 10, 8) == "\u20ac\u20ac"
    assert capped("ab\u00e9", 3) == "ab"
    assert clean("word " * 100) == ("word " * 50).strip()
    assert DEFAULT_LIMIT == 250
