"""Which sequence holds what: pure, no model."""

from __future__ import annotations

from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from voicebridge.engines.llama_cpp.sequences import Copy, Cut, Place, Sequences, common

PROMPT = list(range(100, 140))
tokens = st.lists(st.integers(0, 2), max_size=60)


def taken(place: Place | None) -> Place:
    assert place is not None
    return place


def computed(table: Sequences, place: Place, prompt: list[int]) -> None:
    """As the thread that computes does it."""
    table.held[place.seq].extend(prompt[place.reused :])
    table.free(place.seq)


@given(tokens, tokens)
def test_common_is_what_both_begin_with(one: list[int], other: list[int]) -> None:
    assert common(one, other) == len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
    assert common(one, tuple(other)) == common(one, other)


def test_a_call_goes_on_where_it_was() -> None:
    table = Sequences(2, 1)
    place = taken(table.call("a", PROMPT))
    assert (place.reused, place.operations) == (0, ())
    computed(table, place, PROMPT)
    again = taken(table.call("a", [*PROMPT, 1, 2, 3]))
    assert (again.seq, again.reused, again.operations) == (place.seq, 40, ())


def test_what_was_said_otherwise_is_cut_off() -> None:
    table = Sequences(2, 1)
    place = taken(table.call("a", PROMPT))
    computed(table, place, PROMPT)
    again = taken(table.call("a", [*PROMPT[:30], 1, 2, 3]))
    assert (again.reused, again.operations) == (30, (Cut(place.seq, 30),))
    assert table.held[place.seq] == PROMPT[:30]


def test_the_last_token_is_computed_again_for_an_answer_but_not_for_a_prompt_alone() -> None:
    table = Sequences(1, 1)
    computed(table, taken(table.call("a", PROMPT)), PROMPT)
    assert taken(table.call("a", PROMPT)).reused == 39
    table.free(0)
    computed(table, Place(0, 39, ()), PROMPT)
    assert taken(table.call("a", PROMPT, all_of_it=True)).reused == 40


def test_a_new_call_takes_over_the_prompt_of_its_agent() -> None:
    table = Sequences(2, 1)
    computed(table, taken(table.agent("bakery", PROMPT)), PROMPT)
    place = taken(table.call("a", [*PROMPT, 1, 2]))
    assert (place.reused, place.operations) == (40, (Cut(place.seq, 0), Copy(2, place.seq, 40)))
    assert table.agent_length("bakery", (*PROMPT, 9)) == 40
    assert table.agent_length("florist", PROMPT) == 0


def test_an_agents_prompt_that_is_still_being_computed_is_not_there() -> None:
    table = Sequences(1, 1)
    taken(table.agent("bakery", PROMPT))
    table.held[1].extend(PROMPT)
    assert table.agent_length("bakery", PROMPT) == 0


def test_all_sequences_in_use() -> None:
    table = Sequences(1, 1)
    taken(table.call("a", PROMPT))
    assert table.call("b", PROMPT) is None
    assert table.owns("a")
    assert not table.owns("b")
    taken(table.agent("x", PROMPT))
    assert table.agent("y", PROMPT) is None


def test_the_place_of_whoever_was_silent_for_longest_is_taken() -> None:
    table = Sequences(2, 1)
    computed(table, taken(table.call("a", [1, 2, 3])), [1, 2, 3])
    computed(table, taken(table.call("b", [4, 5, 6])), [4, 5, 6])
    again = taken(table.call("a", [1, 2, 3, 4]))
    computed(table, again, [1, 2, 3, 4])
    third = taken(table.call("c", [7, 8, 9]))
    assert third.seq != again.seq
    assert third.operations == (Cut(third.seq, 0),)


def test_a_call_that_is_over_is_forgotten() -> None:
    table = Sequences(2, 1)
    place = taken(table.call("a", PROMPT))
    computed(table, place, PROMPT)
    assert table.release("b") == ()
    assert table.release("") == ()
    assert table.release("a") == (Cut(place.seq, 0),)
    assert table.held[place.seq] == []


def test_what_is_in_use_is_never_forgotten_for_want_of_room() -> None:
    table = Sequences(2, 1)
    computed(table, taken(table.agent("bakery", PROMPT)), PROMPT)
    busy = taken(table.call("a", PROMPT))
    computed(table, taken(table.call("b", [1, 2, 3])), [1, 2, 3])
    assert table.evict() == Cut(2, 0)  # unused for longest
    assert table.evict() == Cut(1, 0)
    assert table.evict() is None
    assert table.held[busy.seq]


def test_a_memory_that_cannot_be_cut_is_used_whole_or_not_at_all() -> None:
    table = Sequences(2, 1, whole=True)
    computed(table, taken(table.call("a", PROMPT)), PROMPT)
    further = taken(table.call("a", [*PROMPT, 1]))
    assert further.reused == 40
    computed(table, further, [*PROMPT, 1])
    other = taken(table.call("a", [*PROMPT, 2]))
    assert (other.reused, other.operations) == (0, (Cut(other.seq, 0),))
