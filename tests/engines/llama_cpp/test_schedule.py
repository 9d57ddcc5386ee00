"""What a batch holds: pure, no model, no clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.engines.llama_cpp.schedule import (
    BAND_S,
    LEAST_TOKENS,
    MOST_TOKENS,
    SLACK_S,
    STEP_S,
    Pace,
    Share,
    Want,
    plan,
)

NOW = 100.0
LIMIT = 16


def speaks(key: int, deadline: float) -> Want:
    return Want(key, deadline, key, 0)


def reads(key: int, deadline: float, prompt: int = 100) -> Want:
    return Want(key, deadline, key, prompt)


def test_nobody_wants_anything() -> None:
    assert plan([], NOW, LIMIT) == ()


def test_every_answer_that_is_as_urgent_gets_a_token_and_the_rest_goes_to_the_prompt() -> None:
    wants = [speaks(1, NOW + 0.3), reads(2, NOW + 0.1), speaks(3, NOW)]
    assert plan(wants, NOW, LIMIT) == (Share(3, 1), Share(1, 1), Share(2, 14))


def test_a_call_with_seconds_of_speech_waits_for_one_with_none() -> None:
    assert plan([speaks(1, NOW + 3), reads(2, NOW + 0.2)], NOW, LIMIT) == (Share(2, 16),)
    assert plan([speaks(1, NOW + 3), speaks(2, NOW + 0.2)], NOW, LIMIT) == (Share(2, 1),)


def test_and_goes_on_as_soon_as_it_is_the_most_urgent() -> None:
    assert plan([speaks(1, NOW + 3), reads(2, NOW + 5)], NOW, LIMIT) == (Share(1, 1),)


def test_who_is_late_is_no_more_urgent_than_the_band() -> None:
    """However late one is, the others who are due are served beside him."""
    assert plan([speaks(1, NOW - 60), speaks(2, NOW + BAND_S / 2)], NOW, LIMIT) == (Share(1, 1), Share(2, 1))


def test_the_most_urgent_prompt_is_done_first_and_the_next_one_fills_the_batch() -> None:
    wants = [reads(1, NOW + 0.4), reads(2, NOW + 0.1, prompt=10)]
    assert plan(wants, NOW, LIMIT) == (Share(2, 10), Share(1, 6))


def test_speculative_work_only_when_nobody_needs_the_machine_and_one_at_a_time() -> None:
    idle = [reads(1, math.inf), reads(2, math.inf)]
    assert plan([*idle, speaks(3, NOW + SLACK_S)], NOW, LIMIT) == (Share(3, 1),)
    assert plan(idle, NOW, LIMIT) == (Share(1, 16),)


def test_who_has_speech_to_play_lets_another_caller_be_read_along_with() -> None:
    """On a busy machine an answer takes as long as a caller speaks: he would end before he was read along with."""
    idle = [reads(1, math.inf), reads(2, math.inf)]
    assert plan([*idle, speaks(3, NOW + SLACK_S + 0.1)], NOW, LIMIT) == (Share(3, 1), Share(1, 15))
    assert plan([*idle, speaks(3, NOW + 60), speaks(4, NOW)], NOW, LIMIT) == (Share(4, 1),)


def test_without_deadlines_it_is_first_come_first_served() -> None:
    wants = [reads(2, NOW, prompt=30), reads(1, math.inf, prompt=10), speaks(3, NOW + 60)]
    assert plan(wants, NOW, LIMIT, deadlines=False) == (Share(3, 1), Share(1, 10), Share(2, 5))


wants_strategy = st.lists(
    st.tuples(st.one_of(st.just(math.inf), st.floats(NOW - 10, NOW + 10)), st.integers(0, 200)), max_size=12
)


@given(wants_strategy, st.integers(1, MOST_TOKENS), st.booleans())
def test_a_batch_is_bounded_and_never_empty_while_somebody_wants_something(
    wanted: list[tuple[float, int]], limit: int, deadlines: bool
) -> None:
    wants = [Want(key, deadline, key, prompt) for key, (deadline, prompt) in enumerate(wanted)]
    shares = plan(wants, NOW, limit, deadlines=deadlines)
    assert bool(shares) == bool(wants)
    assert sum(share.tokens for share in shares) <= limit
    assert len({share.key for share in shares}) == len(shares)
    for share in shares:
        assert 1 <= share.tokens <= max(1, wants[share.key].prompt)


@pytest.mark.parametrize("token_s", [0.0001, 0.003, 0.2])
def test_the_pace_keeps_a_batch_as_short_as_it_can(token_s: float) -> None:
    pace = Pace()
    for _ in range(40):
        pace.took(pace.limit, pace.limit * token_s)
    assert LEAST_TOKENS <= pace.limit <= MOST_TOKENS
    wanted = max(LEAST_TOKENS, min(MOST_TOKENS, STEP_S / token_s))
    assert pace.limit == pytest.approx(wanted, abs=1)


def test_single_tokens_say_nothing_about_the_cost_of_many() -> None:
    pace = Pace()
    before = pace.limit
    for _ in range(40):
        pace.took(1, 0.5)
    assert pace.limit == before
