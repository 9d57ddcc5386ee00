"""Where words begin among the phonemes of a sentence."""

from __future__ import annotations

import pytest

from voicebridge.engines.word_times import estimated_ends, word_beginnings


def begins(spoken: str, *alone: str) -> list[str]:
    """What is spoken from each word's beginning on."""
    return [spoken[at:] for at in word_beginnings(list(spoken), [list(word) for word in alone])]


def test_spaces_tell_where_words_begin():
    assert begins("hˈaʊ ɑː juː, tədˈeɪ?", "hˈaʊ", "ɑː", "jˈuː", "tədˈeɪ") == [
        "hˈaʊ ɑː juː, tədˈeɪ?", "ɑː juː, tədˈeɪ?", "juː, tədˈeɪ?", "tədˈeɪ?",
    ]  # fmt: skip


def test_words_that_melt_are_told_apart():
    """espeak-ng joins "in the"; the stress stands before the vowel."""
    assert begins("ɪnðɪʲ ˈɛnd", "ɪn", "ðə", "ˈɛnd") == ["ɪnðɪʲ ˈɛnd", "ðɪʲ ˈɛnd", "ɛnd"]


def test_a_number_of_several_words_is_one():
    found = begins("ɪt kˈɔsts tˈɛn dˈɑːlɚz nˈaʊ", "ɪt", "kˈɔsts", "tˈɛn dˈɑːlɚz", "nˈaʊ")
    assert [text.split()[0] for text in found] == ["ɪt", "kˈɔsts", "tˈɛn", "nˈaʊ"]


def test_a_word_without_a_sound_begins_with_the_next_one_or_at_the_end():
    assert word_beginnings(list("ab cd"), [[], ["a", "b"], [], ["c", "d"], []]) == [0, 0, 3, 3, 5]


@pytest.mark.parametrize(
    ("spoken", "alone"), [("", []), ("", ["ab"]), ("...", ["", ""]), ("ab", []), ("xy", ["ab", "cd"])]
)
def test_what_has_nothing_in_common_has_ascending_marks_all_the_same(spoken, alone):
    found = word_beginnings(list(spoken), [list(word) for word in alone])
    assert len(found) == len(alone)
    assert found == sorted(found)
    assert all(0 <= at <= len(spoken) for at in found)


def test_a_comma_takes_longer_than_a_sound_and_a_stress_no_time():
    ends = estimated_ends(list("aˈb, c"))
    assert ends[-1] == 1.0
    lengths = [end - begin for begin, end in zip([0.0, *ends], ends, strict=False)]
    assert lengths[1] == 0.0
    assert lengths[3] > 2 * lengths[0] == 2 * lengths[2]


def test_nothing_follows_the_last_sound():
    assert estimated_ends(list("ab...")) == [0.5, 1.0, 1.0, 1.0, 1.0]
    assert estimated_ends(list("...")) == [0.0, 0.0, 0.0]
