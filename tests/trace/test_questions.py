"""Wordings that belong together, and questions of ours that had to be asked again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.trace.questions import EXAMPLES, MOST_GROUPS, Asked, Repeats, grouped


def asked(*texts: str, kind: str = "unknown", rule: str = "") -> list[Asked]:
    return [Asked(f"c{number}", text, kind, rule) for number, text in enumerate(texts)]


@pytest.mark.parametrize(
    "texts",
    [
        ("is there parking", "where can I park", "where can I park my car", "do you have a car park"),
        ("do you sell skateboards", "Do you sell skateboardes?", "I want to buy a skateboard"),
        ("haben Sie Kinderräder", "was kosten die Kinderräder bei Ihnen"),
        ("hello?", "hello?"),
    ],
    ids=["parking", "misheard", "german", "nothing-said"],
)
def test_wordings_of_one_question_are_one(texts):
    (question,) = grouped(asked(*texts))
    assert (question.asked, question.calls) == (len(texts), len(texts))
    assert set(question.examples) == set(texts)


@pytest.mark.parametrize(
    "texts",
    [
        ("is there parking", "do you sell skateboards"),
        ("can I bring my dog", "can I bring my bike back"),
        ("hello", "what"),
    ],
    ids=["topics", "one-word-alike", "little-words"],
)
def test_different_questions_stay_apart(texts):
    assert len(grouped(asked(*texts))) == len(texts)


def test_the_text_is_the_most_frequent_wording_and_callers_count_once():
    same = [Asked("a", "is there parking", "unknown"), Asked("a", "is there parking", "unknown")]
    (question,) = grouped([Asked("b", "where do I park", "unknown"), *same])
    assert question.text == "is there parking"
    assert (question.asked, question.calls, question.call_ids) == (3, 2, ("b", "a"))


def test_what_a_rule_was_near_to_is_apart_from_what_no_rule_knew():
    found = grouped(asked("is there parking") + asked("is there parking", kind="unsure", rule="parking")
                    + asked("is there parking", kind="unsure", rule="access"))  # fmt: skip
    assert sorted((question.kind, question.rules) for question in found) == [
        ("unknown", ()), ("unsure", ("access",)), ("unsure", ("parking",)),
    ]  # fmt: skip


def test_words_that_stand_in_most_questions_join_nothing():
    subjects = ("saddle", "brake", "helmet", "lamp", "pump", "chain", "pedal", "basket", "bell", "lock", "tube",
                "mirror", "glove", "jersey", "trailer", "rack", "spoke", "fork", "wheel", "rim", "grip")  # fmt: skip
    found = grouped(asked(*(f"does the bicycle have {subject}" for subject in subjects)))
    assert len(found) == len(subjects)


def test_the_most_asked_stands_first():
    found = grouped(asked("about dogs", "parking please", "is there parking", "any parking"))
    assert [question.calls for question in found] == [3, 1]


@given(st.lists(st.text(max_size=30), max_size=60))
def test_nothing_is_lost_whatever_is_asked(texts):
    found = grouped(asked(*texts))
    assert sum(question.asked for question in found) == len(texts)
    assert all(1 <= len(question.examples) <= EXAMPLES for question in found)


def test_endlessly_many_questions_are_bounded():
    words = [f"{a}{b}{c}{d}x" * 2 for a in "abcdefg" for b in "klmnopq" for c in "rstu" for d in "vwyz"]
    assert len(grouped(asked(*words))) <= MOST_GROUPS


# ---- asked again


def test_a_question_that_is_asked_again_is_counted_once_for_each_time():
    repeats = Repeats()
    repeats.call("a", [("For how many people?", True), ("Sorry? For how many people?", True), ("At what time?", True)])
    repeats.call("b", [("For how many people?", True), ("At what time?", True)])
    (miss,) = repeats.found()
    assert (miss.question, miss.again, miss.asked, miss.call_ids) == ("For how many people?", 1, 3, ("a",))


def test_who_asked_something_himself_in_between_missed_nothing():
    repeats = Repeats()
    repeats.call("a", [("For how many people?", True), ("For how many people?", False)])
    assert repeats.found() == ()


def test_the_same_question_in_two_calls_is_no_miss():
    repeats = Repeats()
    for call in "abc":
        repeats.call(call, [("For how many people?", True)])
    assert repeats.found() == ()
