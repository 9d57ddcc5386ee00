"""The closed loop's sentences, what it counts, and three of them straight through the real engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.loop import compared, report, sentences, spoken, straight

WORDS = Path(__file__).parents[1] / "models/vosk-tiny-en/graph/words.txt"


def test_the_sentences_are_the_same_each_time_and_of_words_that_the_model_knows():
    known = {line.split()[0] for line in WORDS.read_text().splitlines()}
    made = sentences(60)
    assert made == sentences(60)
    assert len(set(made)) == 60
    assert {word for text in made for word in text.split()} <= known


def test_wrong_words_are_counted_before_and_behind_the_pbx():
    rows = compared(["one two three", "yes please"], ["one three", "yes please"], ["one two three", "[unk] please"])
    made = report(rows, at_once=1)
    assert (made["words"], made["wer_straight"], made["wer_pbx"]) == (5, 0.2, 0.2)
    assert report(compared(["yes"], ["no"], None), at_once=1)["wer_pbx"] is None


async def test_straight_through_the_engines_nearly_all_is_understood():
    pytest.importorskip("piper")
    pytest.importorskip("vosk")
    texts = sentences(5)
    rows = compared(texts, await straight(await spoken(texts)), None)
    assert report(rows, at_once=1)["wer_straight"] <= 0.15
