"""Text in pieces that are said in one go, and silence cut off from speech."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.engines.base import WordMark
from voicebridge.engines.spoken import MAX_CHARS, SENTENCE_END, Spoken, pieces, trimmed


def said(text: str) -> list[str]:
    return [text[start:end] for start, end in pieces(text)]


def test_each_sentence_is_a_piece():
    assert said("Hello. How are you?  Mr. Smith is here, at 3.50 p.m. on Monday! ") == [
        "Hello. ", "How are you?  ", "Mr. Smith is here, at 3.50 p.m. on Monday! ",
    ]  # fmt: skip


def test_sentences_without_spaces_end_too():
    assert said("今日は。元気ですか？はい") == ["今日は。", "元気ですか？", "はい"]


def test_a_long_sentence_is_cut_at_a_comma_and_else_between_words():
    text = "and so it goes on, " * 40
    assert len(said(text)) > 4
    assert all(piece.endswith(", ") and len(piece) <= MAX_CHARS for piece in said(text))
    assert all(piece.endswith("word ") for piece in said("word " * 400))


@given(st.text("a.b ,。?", max_size=900) | st.text(max_size=900))
def test_the_pieces_are_the_whole_text_and_none_is_long(text):
    found = pieces(text)
    assert "".join(text[start:end] for start, end in found) == text
    assert all(len(text[start:end].strip()) <= MAX_CHARS for start, end in found)


def test_a_word_of_thousands_of_letters_is_cut():
    assert max(map(len, said("x" * 5000))) <= MAX_CHARS


@pytest.mark.parametrize(
    ("text", "ends"), [("So. ", True), ("So,", False), ("So?”", True), ("はい。", True), ("", False)]
)
def test_the_end_of_a_sentence_is_seen(text, ends):
    assert (SENTENCE_END.search(text) is not None) is ends


def test_trimming_keeps_what_it_does_not_change():
    loud = np.full(100, 5000, "<i2").tobytes()
    made = trimmed(Spoken(loud, 1000, (WordMark(0, 1, 3),), estimated=True), sentence_ends=False)
    assert made.estimated
    assert made.marks == (WordMark(0, 1, 3),)
