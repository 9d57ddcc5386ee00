"""Who listens to what happens: all of it, or a part, and one observer's mistake."""

from __future__ import annotations

import pytest

from voicebridge.trace.bus import Bus

ENDED = {"event": "call_ended", "call_id": "c", "at": 1.0}
TURN = {"event": "turn", "call_id": "c", "at": 1.0}


def test_who_names_events_hears_these_only_and_the_others_are_not_wanted():
    bus, told = Bus(), []
    assert not bus.wanted and not bus.wants("turn")
    end = bus.subscribe(told.append, events=("call_ended",))
    assert bus.wanted and bus.wants("call_ended") and not bus.wants("turn")
    bus.publish(TURN)
    bus.publish(ENDED)
    assert told == [ENDED]
    end()
    end()  # twice is no mistake
    bus.publish(ENDED)
    assert told == [ENDED] and not bus.wanted


def test_who_names_none_hears_all():
    bus, told = Bus(), []
    bus.subscribe(told.append)
    assert bus.wants("turn") and bus.wants("call_ended")
    bus.publish(TURN)
    assert told == [TURN]


def test_an_observer_that_fails_is_logged_and_the_others_hear_all_the_same(caplog):
    bus, told = Bus(), []
    bus.subscribe(lambda happening: told[7])
    bus.subscribe(told.append)
    bus.publish(TURN)
    assert told == [TURN]
    assert "call=c turn: an observer failed" in caplog.text


@pytest.mark.parametrize("first", [0, 1])
def test_one_of_two_may_leave(first):
    bus, told = Bus(), ([], [])
    ends = [bus.subscribe(told[0].append), bus.subscribe(told[1].append)]
    ends[first]()
    bus.publish(TURN)
    assert [len(each) for each in told] == [first, 1 - first]
