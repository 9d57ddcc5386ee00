"""Cutting an answer into clauses: nothing is lost, the first is short, and full stops are not always ends."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voicebridge.conversation.clauses import FIRST_MAX_WORDS, HURRY_MAX_WORDS, LATER_MAX_WORDS, Clause, ClauseSplitter

LONG = (
    "We are open from nine in the morning until six in the evening on weekdays, and on Saturdays we close "
    "at two in the afternoon. You can bring your bicycle in at any time. Would you like an appointment?"
)


def cut(*deltas: str) -> list[Clause]:
    splitter = ClauseSplitter()
    return [clause for delta in deltas for clause in splitter.feed(delta)] + splitter.finish()


def texts(*deltas: str) -> list[str]:
    return [clause.text.strip() for clause in cut(*deltas)]


def in_pieces(text: str, sizes: list[int]) -> list[str]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


PLAIN = st.text(st.characters(blacklist_characters="<|>:"), max_size=200)
WORDS = st.lists(
    st.sampled_from("we are open from nine, to five. and Dr. on Mon. 9 a.m. $3.50 well! (so?) the café … – ".split()),
    max_size=60,
).map(" ".join)


@given(PLAIN | WORDS, st.lists(st.integers(1, 7), max_size=40))
@example("A.", [1])
@example("Sure. \n\n", [2])
def test_the_pieces_joined_are_the_whole_text_however_it_came(text, sizes):
    made = cut(*in_pieces(text, sizes))
    assert "".join(clause.text for clause in made).rstrip() == text.rstrip()
    assert all(clause.text.strip() for clause in made)


@given(WORDS, st.lists(st.integers(1, 7), max_size=40))
def test_where_it_is_cut_does_not_depend_on_how_it_came(text, sizes):
    assert cut(*in_pieces(text, sizes)) == cut(text)


@given(st.lists(st.sampled_from("tree house and with small it, goes end.".split()), min_size=1, max_size=80))
def test_no_clause_is_longer_than_its_limit(words):
    made = cut(" ".join(words))
    assert len(made[0].text.split()) <= FIRST_MAX_WORDS + words.count("and") + words.count("with")
    for clause in made[1:]:
        assert len(clause.text.split()) <= LATER_MAX_WORDS + words.count("and") + words.count("with")


def test_the_first_clause_is_short_and_the_others_are_longer():
    made = cut(LONG)
    assert made[0] == Clause("We are open from nine in the morning", False)
    assert max(len(clause.text.split()) for clause in made[1:]) > FIRST_MAX_WORDS
    assert [clause.ends_sentence for clause in made[-2:]] == [True, True]


def test_the_first_clause_comes_before_the_answer_is_complete():
    splitter = ClauseSplitter()
    words = iter(LONG.split())
    fed = 0
    while not splitter.feed(next(words) + " "):
        fed += 1
    assert fed <= FIRST_MAX_WORDS


def test_a_clause_is_not_given_before_its_end_is_certain():
    splitter = ClauseSplitter()
    assert splitter.feed("That costs $3.") == []
    assert splitter.feed("50 today") == []
    assert [clause.text.strip() for clause in splitter.feed(". Is that fine with you?")] == ["That costs $3.50 today."]


@pytest.mark.parametrize(
    "text",
    [
        "Please ask for Mr. Smith at noon.",
        "Dr. Jones is here on Mon. mornings.",
        "We have tyres, tubes, etc. in stock.",
        "It is at 12 St. James Street.",
        "We close at 5 p.m. on Sundays.",
        "Bring a lock, e.g. a chain.",
        "J. R. Smith will call.",
        "It has no. 5 on the door.",
    ],
)
def test_a_full_stop_of_an_abbreviation_ends_nothing(text):
    assert not any(clause.ends_sentence for clause in cut(text)[:-1])
    assert cut(text)[-1].ends_sentence


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("We close at 5 p.m. Come early.", ["We close at 5 p.m.", "Come early."]),
        ("Yes! We do. Anything else?", ["Yes!", "We do.", "Anything else?"]),
        ("So do I. Call me.", ["So do I.", "Call me."]),
        ('He said "come in." Then he left.', ['He said "come in."', "Then he left."]),
        ("We opened in 1999. It was cold.", ["We opened in 1999.", "It was cold."]),
        ("It was long… Then it ended.", ["It was long…", "Then it ended."]),
    ],
)
def test_sentences_end_where_they_do(text, sentences):
    made, so_far = [], ""
    for clause in cut(text):
        so_far += clause.text
        if clause.ends_sentence:
            made.append(so_far.strip())
            so_far = ""
    assert made == sentences


def test_a_comma_ends_the_first_clause_after_three_words():
    assert texts("Yes, of course, we can do that for you today.")[0] == "Yes, of course,"


def test_later_a_comma_ends_a_clause_only_after_six_words():
    made = texts("Sure we do. We have bikes, tyres and locks for everybody, and we repair them, too.")
    assert made == ["Sure we do.", "We have bikes, tyres and locks for everybody,", "and we repair them, too."]


def test_a_short_sentence_is_given_as_soon_as_the_next_begins_and_a_single_word_a_word_later():
    splitter = ClauseSplitter()
    assert [clause.text for clause in splitter.feed("Hello there. W")] == ["Hello there."]
    splitter = ClauseSplitter()
    assert splitter.feed("Hello. W") == []
    assert [clause.text for clause in splitter.feed("e a")] == ["Hello."]


def test_a_clause_does_not_end_with_an_article():
    for clause in texts("Our shop stands on the corner near the big old church of the town and the river bank there"):
        assert clause.split()[-1] not in ("the", "a", "of", "our")


@pytest.mark.parametrize(
    "noise",
    ["<|start|>{}", "Assistant: {}", "{}<|im_end|>", "answer:{}", "<|a|>{}<|b|><|c|>", "  AI : {}"],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_what_chat_models_write_around_their_words_is_not_spoken(noise, size):
    text = noise.format("Sure we can do that for you today.")
    assert " ".join(texts(*in_pieces(text, [size] * len(text)))) == "Sure we can do that for you today."


def test_a_label_in_the_middle_is_text():
    assert " ".join(texts("The answer: nine o'clock.")) == "The answer: nine o'clock."


@pytest.mark.parametrize("text", ["", " ", "\n\n", "<|im_end|>", "Assistant:"])
def test_nothing_gives_nothing(text):
    assert texts(text) == []


def test_what_looks_like_the_beginning_of_a_label_is_given_in_the_end():
    assert texts("ass") == ["ass"]
    assert texts("a") == ["a"]


def test_in_a_hurry_the_first_clause_is_shorter():
    text = "We have a lot of nice city bikes that you can hire here for twenty dollars a day with a helmet and a lock. "

    def first(hurry: bool) -> list[str]:
        splitter = ClauseSplitter()
        return [clause.text for word in text.split(" ") for clause in splitter.feed(word + " ", hurry=hurry)]

    calm, hurried = first(False), first(True)
    assert len(hurried[0].split()) <= HURRY_MAX_WORDS < len(calm[0].split()) + 1
    assert len(hurried[0].split()) < len(calm[0].split())
