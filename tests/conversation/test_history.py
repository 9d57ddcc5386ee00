"""The conversation as heard, and prompts that keep the model's cache."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.commands import ChatMessage
from voicebridge.conversation.history import History, estimate_tokens


def history(context_tokens: int = 2048, system: str = "Be brief.") -> History:
    return History(system, context_tokens=context_tokens, answer_tokens=60)


def told(made: History, turns: int, first: int = 0) -> History:
    for turn in range(first, first + turns):
        exchange = made.exchange(turn)
        exchange.caller = f"question number {turn} about bicycles"
        exchange.heard.append(f"answer number {turn}, which is somewhat longer.")
    return made


def shown(messages: tuple[ChatMessage, ...]) -> list[tuple[str, str]]:
    return [(message.role, message.text) for message in messages]


def test_the_prompt_is_the_instructions_what_was_said_and_what_to_answer():
    made = told(history(), 1)
    assert shown(made.messages("and tomorrow?", "Tomorrow we")) == [
        ("system", "Be brief."),
        ("user", "question number 0 about bicycles"),
        ("assistant", "answer number 0, which is somewhat longer."),
        ("user", "and tomorrow?"),
        ("assistant", "Tomorrow we"),
    ]


def test_only_what_was_heard_stands_in_it():
    made = history(system="")
    made.exchange(0).heard += ["Hello and ", " welcome", "  ", ""]
    made.exchange(1).caller = "hi"
    assert made.exchange(0).agent() == "Hello and welcome"
    assert shown(made.messages()) == [("assistant", "Hello and welcome"), ("user", "hi")]
    made.exchange(1).heard.append("We are open from")  # cut off here
    assert shown(made.messages("stop"))[-2:] == [("assistant", "We are open from"), ("user", "stop")]


def test_a_turn_is_one_exchange_and_a_dropped_one_leaves_nothing():
    made = told(history(), 3)
    assert made.exchange(1) is made.exchange(1)
    made.drop(1)
    assert [exchange.turn for exchange in made.exchanges] == [0, 2]
    made.drop(7)
    assert len(made.exchanges) == 2


def test_without_instructions_there_is_no_system_message():
    assert history(system="").system() == ()
    assert history(system="").messages() == ()


def test_a_short_call_is_never_trimmed_and_only_ever_grows_at_its_end():
    made = history()
    before: tuple[ChatMessage, ...] = ()
    for turn in range(10):
        told(made, 1, turn)
        now = made.messages()
        assert now[: len(before)] == before
        before = now


def test_trimming_drops_half_at_once_so_that_the_front_stays_cached_for_many_turns():
    made = history(context_tokens=500)
    fronts = []
    for turn in range(60):
        told(made, 1, turn)
        messages = made.messages("and now?")
        assert estimate_tokens(messages) <= 500 - 60 - 32
        assert messages[0] == ChatMessage("system", "Be brief.")
        assert messages[-1] == ChatMessage("user", "and now?")
        fronts.append(messages[1])
    changes = sum(a != b for a, b in zip(fronts, fronts[1:], strict=False))
    assert 1 <= changes <= 60 // 4


def test_after_trimming_the_newest_turns_are_still_there():
    made = told(history(context_tokens=500), 40)
    assert ("user", "question number 39 about bicycles") in shown(made.messages("x"))
    assert ("user", "question number 0 about bicycles") not in shown(made.messages("x"))


def test_a_prompt_asked_for_twice_is_the_same():
    made = told(history(context_tokens=500), 40)
    assert made.messages("x") == made.messages("x")


def test_one_exchange_larger_than_the_context_is_kept():
    made = history(context_tokens=200)
    made.exchange(0).caller = "word " * 500
    assert len(made.messages("x")) == 3


def test_dropping_a_turn_after_trimming_leaves_a_prompt():
    made = told(history(context_tokens=500), 40)
    made.messages("x")
    for turn in range(39):
        made.drop(turn)
    assert ("user", "question number 39 about bicycles") in shown(made.messages("x"))


@given(st.lists(st.tuples(st.text(max_size=300), st.lists(st.text(max_size=80), max_size=4)), max_size=30),
       st.integers(150, 3000))
def test_the_prompt_fits_or_holds_a_single_exchange(turns, context):
    made = history(context_tokens=context)
    for turn, (caller, heard) in enumerate(turns):
        made.exchange(turn).caller = caller
        made.exchange(turn).heard += heard
    messages = made.messages("now")
    assert estimate_tokens(messages) <= context - 92 or len(messages) <= 4
    assert all(message.text for message in messages)
    assert messages[-1].text == "now"
