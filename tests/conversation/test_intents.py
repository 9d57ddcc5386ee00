"""Which rule did the caller mean? By words alone, and with embeddings that the test gives."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.intents import (
    MARGIN,
    MAX_PARTS,
    MEANING,
    NOTHING,
    PERHAPS,
    PERHAPS_BY_WORDS,
    SURE,
    IntentMatcher,
    normalised,
)

INTENTS = {
    "hours": ("when are you open", "what are your opening hours", "what time do you close"),
    "price": ("how much is a puncture repair", "what does a new tyre cost"),
    "address": ("where are you", "what is your address"),
    "bye": ("goodbye", "that is all, thank you"),
}


@pytest.fixture(scope="module")
def by_words() -> IntentMatcher:
    return IntentMatcher(INTENTS, None)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("What's your address?", "what is your address"),
        ("Hi, um, could you tell me when you're open, please?", "when you are open"),
        ("Good morning! I was just wondering if you sell locks.", "you sell locks"),
        ("I'd like to know how much it is", "how much it is"),
        ("It’s fine", "it is fine"),
        ("Goodbye.", "goodbye"),
    ],
)
def test_politeness_and_contractions_do_not_count(text, plain):
    kept = normalised(text)
    for mark in ",!?":
        kept = kept.replace(mark, " ")
    assert " ".join(kept.split()) == plain


def test_pure_politeness_keeps_its_words():
    assert normalised("Thank you!") == "thank you"
    assert normalised("Hello?") == "hello"


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("When are you open?", "hours"),
        ("Hi there, could you please tell me when you are open on Saturdays?", "hours"),
        ("what time do you close today", "hours"),
        ("How much does a tyre cost?", "price"),
        ("what is a puncture repair going to cost me", "price"),
        ("What's the address?", "address"),
        ("goodbye", "bye"),
        ("Thanks, that is all.", "bye"),
    ],
)
def test_the_intent_is_found_by_its_words(by_words, text, intent):
    found = by_words.match(text, None)
    assert found.name == intent
    assert found.score >= PERHAPS_BY_WORDS and found.margin >= MARGIN
    assert found.runner_up != intent


@pytest.mark.parametrize("text", ["my cat has three legs", "purple", "?!", "do you", "tell me a joke about a parrot"])
def test_what_is_near_nothing_matches_nothing(by_words, text):
    assert by_words.match(text, None).name is None


def test_the_last_of_several_sentences_can_decide(by_words):
    found = by_words.match(
        "I came by yesterday with my old blue bicycle and nobody was there at all. When are you open?", None
    )
    assert found.name == "hours"


def test_between_two_that_are_as_near_it_is_not_sure():
    matcher = IntentMatcher({"a": ("book a table for dinner",), "b": ("book a table for dinner",)}, None)
    found = matcher.match("book a table for dinner", None)
    assert (found.sure, found.margin) == (False, 0.0)
    assert found.score > SURE


def test_an_agent_without_rules_matches_nothing():
    assert IntentMatcher({}, None).match("hello", None) == NOTHING
    assert IntentMatcher({}, {}).example_texts() == []


def test_one_rule_alone_has_no_runner_up():
    found = IntentMatcher({"bye": ("goodbye",)}, None).match("goodbye", None)
    assert (found.name, found.runner_up) == ("bye", None)


def unit(degrees: float) -> tuple[float, float]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def test_with_embeddings_the_meaning_decides_where_no_word_is_shared():
    vectors = {"alpha": unit(0), "beta": unit(90)}
    matcher = IntentMatcher({"a": ("alpha",), "b": ("beta",)}, vectors)
    assert sorted(matcher.example_texts()) == ["alpha", "beta"]
    near = matcher.match("gamma", {"gamma": unit(5)})
    assert near.name == "a"
    assert near.score == pytest.approx(MEANING * math.cos(math.radians(5)), abs=1e-4)
    assert near.sure
    between = matcher.match("gamma", {"gamma": unit(-55)})
    assert between.name == "a" and not between.sure and PERHAPS <= between.score < SURE
    far = matcher.match("gamma", {"gamma": unit(-65)})
    assert far.name is None and far.score < PERHAPS and far.best == "a"
    assert matcher.match("alpha", None).name == "a", "without the utterance's vector the words decide"


def test_a_margin_between_two_meanings_is_needed():
    vectors = {"alpha": unit(0), "beta": unit(10)}
    matcher = IntentMatcher({"a": ("alpha",), "b": ("beta",)}, vectors)
    assert not matcher.match("gamma", {"gamma": unit(5)}).sure
    found = matcher.match("gamma", {"gamma": unit(-12)})
    assert found.name == "a" and found.sure


def test_a_second_example_that_is_near_too_makes_an_intent_surer():
    vectors = {"alpha": unit(0), "again": unit(10), "beta": unit(0), "other": unit(90)}
    matcher = IntentMatcher({"a": ("alpha", "again"), "b": ("beta", "other")}, vectors)
    assert matcher.match("gamma", {"gamma": unit(0)}).name == "a"


def test_what_is_to_be_embedded_is_the_whole_and_its_last_sentences(by_words):
    text = "One two three. Four five six. Seven eight nine. Ten eleven twelve. When are you open?"
    parts = by_words.query_texts(text)
    assert len(parts) == MAX_PARTS == len(set(parts))
    assert parts[0] == text and parts[-1] == "When are you open?"
    assert by_words.query_texts("When are you open?") == ["When are you open?"]
    assert by_words.query_texts("") == []


@given(st.text(max_size=120).filter(str.strip))
def test_anything_can_be_matched_and_scores_stay_between_0_and_1(text):
    matcher = IntentMatcher(INTENTS, None)
    found = matcher.match(text, None)
    assert -1e-6 <= found.score <= 1 + 1e-6
    assert found.name is None or found.name in INTENTS
    parts = matcher.query_texts(text)
    vectors = {example: unit(0) for example in matcher.example_texts()}
    again = IntentMatcher(INTENTS, vectors).match(text, {part: unit(90) for part in parts})
    assert again.name is None
