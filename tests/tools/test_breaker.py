"""The circuit breaker on a clock of the test's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.tools.breaker import Breaker, BreakerLimits

LIMITS = BreakerLimits(failures=3, window_s=10, open_s=5)


def broken(at: float = 0.0) -> Breaker:
    breaker = Breaker(LIMITS)
    for _ in range(3):
        assert breaker.admit(at)
        breaker.failed(at)
    return breaker


def test_it_opens_after_so_many_failures_and_admits_nothing():
    breaker = Breaker(LIMITS)
    for _ in range(2):
        breaker.failed(0)
        assert breaker.state(0) == "closed"
    breaker.failed(1)
    assert breaker.state(1) == "open"
    assert not breaker.admit(5.9)


def test_failures_that_are_long_past_do_not_count():
    breaker = Breaker(LIMITS)
    for at in (0, 1, 11.5):
        breaker.failed(at)
    assert breaker.state(11.5) == "closed"


def test_a_few_failures_among_many_runs_do_not_open_it():
    breaker = Breaker(LIMITS)
    for at in range(40):
        (breaker.failed if at % 8 == 0 else breaker.succeeded)(at / 10)
        assert breaker.state(at / 10) == "closed"


def test_a_run_that_was_under_way_when_it_opened_and_succeeds_closes_it():
    breaker = broken()
    breaker.succeeded(1)
    assert breaker.state(1) == "closed"


def test_one_probe_is_let_through_and_closes_it_when_it_succeeds():
    breaker = broken()
    assert breaker.state(5) == "half_open"
    assert breaker.admit(5)
    assert not breaker.admit(5)
    breaker.succeeded(5.5)
    assert breaker.state(5.5) == "closed"
    breaker.failed(5.6)
    assert breaker.state(5.6) == "closed", "what was before does not count any more"


def test_a_probe_that_fails_opens_it_for_as_long_again():
    breaker = broken()
    assert breaker.admit(6)
    breaker.failed(6)
    assert breaker.state(10.9) == "open"
    assert breaker.admit(11)


def test_a_probe_that_was_cancelled_makes_room_for_another():
    breaker = broken()
    assert breaker.admit(6)
    breaker.withdrawn()
    assert breaker.admit(6)


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["ok", "failed", "withdrawn"])), max_size=60))
def test_it_never_stays_shut_for_ever(steps):
    breaker, now = Breaker(LIMITS), 0.0
    for pause, end in steps:
        now += pause
        if breaker.admit(now):
            if end == "ok":
                breaker.succeeded(now)
            elif end == "failed":
                breaker.failed(now)
            else:
                breaker.withdrawn()
    assert breaker.admit(now + LIMITS.open_s)


@pytest.mark.parametrize("limits", [BreakerLimits(), BreakerLimits(failures=1)])
def test_the_first_run_is_always_admitted(limits):
    assert Breaker(limits).admit(0)
