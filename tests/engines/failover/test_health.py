"""Who is trusted: by order, by what its supervisor says, and by what it did lately."""

from __future__ import annotations

import logging

import pytest

from voicebridge.engines.failover import health
from voicebridge.engines.failover.health import AVOID_S, FLAPS, FLAPS_WITHIN_S, REST_S, Roster


class Engine:
    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = True

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(health, "time", made)
    return made


@pytest.fixture
def roster(clock: Clock) -> Roster[Engine]:
    return Roster("stt", [Engine("a"), Engine("b")])


def order(roster: Roster[Engine], stays: int | None = None) -> str:
    return "".join(member.name for member in roster.ranked(None if stays is None else roster.members[stays]))


def test_the_order_is_the_configured_one(roster: Roster[Engine]) -> None:
    assert order(roster) == "ab" and roster.ready


def test_who_is_not_ready_comes_last_and_back_by_itself(roster: Roster[Engine]) -> None:
    roster.members[0].engine.ready = False
    assert order(roster) == "ba"
    roster.members[0].engine.ready = True
    assert order(roster) == "ab"
    roster.members[0].engine.ready = roster.members[1].engine.ready = False
    assert order(roster) == "ab" and not roster.ready


def test_who_failed_rests_a_little_and_is_in_doubt_until_it_answers(roster: Roster[Engine], clock: Clock) -> None:
    first = roster.members[0]
    roster.failed(first, "timeout")
    assert order(roster) == "ba" and first.in_doubt and first.trouble == "timeout"
    clock.now += REST_S + 0.1
    assert order(roster) == "ab" and first.in_doubt
    roster.answered(first)
    assert not first.in_doubt


def test_a_call_stays_with_who_serves_it_unless_that_is_gone(roster: Roster[Engine]) -> None:
    assert order(roster, stays=1) == "ba"
    roster.failed(roster.members[1], "timeout")
    assert order(roster, stays=1) == "ba", "it failed another call, not this one"
    roster.members[1].engine.ready = False
    assert order(roster, stays=1) == "ab"


def test_who_flaps_is_avoided_for_longer(roster: Roster[Engine], clock: Clock) -> None:
    for _ in range(FLAPS):
        assert order(roster) == "ab"
        roster.failed(roster.members[0], "crashed")
        roster.answered(roster.members[0])
        clock.now += REST_S + 0.1
    assert order(roster) == "ba"
    clock.now += AVOID_S
    assert order(roster) == "ab"


def test_failures_far_apart_are_no_flapping(roster: Roster[Engine], clock: Clock) -> None:
    for _ in range(2 * FLAPS):
        roster.failed(roster.members[0], "crashed")
        clock.now += FLAPS_WITHIN_S
        assert order(roster) == "ab"


def test_calls_that_fail_together_are_one_failure_and_one_line(
    roster: Roster[Engine], clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="voicebridge"):  # the CLI quietens it in the same process
        for _ in range(8):
            roster.failed(roster.members[0], "crashed")
        clock.now += REST_S + 0.1
        roster.answered(roster.members[0])
        roster.answered(roster.members[0])
    assert [record.getMessage() for record in caplog.records] == [
        "stt: a failed (crashed); new calls begin with b for 5 s",
        "stt: a answers again; new calls begin with a",
    ]
    assert order(roster) == "ab"
