"""Tickets, bare legs and the ends of calls, on a clock of the test's own."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from voicebridge.call.admission import KEEP_S, REMEMBERED, TICKET_S, Admission, Bare, Turned, spec_for
from voicebridge.conversation.agent import AgentSpec, Limits
from voicebridge.conversation.commands import EndCall
from voicebridge.pbx.attach import NOWHERE, AttachRequest, CallEnd, Destination, Refused, Ticket

FRONT = Destination("front", "queue", "reception")
NIGHT = Destination("night", "extension", "900@internal")


def admission(max_calls: int = 3, *, bare: bool = True) -> Admission:
    return Admission(
        ["desk", "sales"], "desk", max_calls=max_calls, targets={"front": FRONT, "night": NIGHT}, bare=bare
    )


def ticket(house: Admission, now: float = 0.0, **request: object) -> Ticket:
    given = house.attach(AttachRequest(**request), now)
    assert isinstance(given, Ticket)
    return given


def test_a_ticket_is_good_once():
    house = admission()
    given = ticket(house, agent="sales")
    assert (given.agent, house.pending) == ("sales", 1)
    assert house.redeem(given.call_id, 1.0) == given
    assert house.pending == 0
    again = house.redeem(given.call_id, 1.1)
    assert again == Turned("a call of this id is already here")
    house.ended(given.call_id, None, "hangup", 2.0)
    assert house.redeem(given.call_id, 2.1) == Turned("its ticket was used already, or has run out")


def test_a_ticket_runs_out_and_gives_its_place_back():
    house = admission(max_calls=1)
    given = ticket(house)
    assert house.attach(AttachRequest(), TICKET_S - 0.1) == Refused("BUSY")
    assert isinstance(house.redeem(given.call_id, TICKET_S), Turned)
    assert isinstance(house.attach(AttachRequest(), TICKET_S), Ticket)


def test_who_does_not_come_can_withdraw():
    house = admission(max_calls=1)
    given = ticket(house)
    house.withdraw(given.call_id, 1.0)
    assert isinstance(house.redeem(given.call_id, 1.1), Turned)
    assert isinstance(house.attach(AttachRequest(), 1.2), Ticket)


@pytest.mark.parametrize(
    ("request_", "drain", "reason"),
    [
        (AttachRequest(agent="nobody"), False, "UNKNOWN_AGENT"),
        (AttachRequest(agent="Desk"), False, "UNKNOWN_AGENT"),
        (AttachRequest(), True, "DRAINING"),
        (AttachRequest(agent="nobody"), True, "DRAINING"),
    ],
)
def test_refusals(request_: AttachRequest, drain: bool, reason: str):
    house = admission()
    house.draining = drain
    assert house.attach(request_, 0.0) == Refused(reason)
    assert house.pending == 0


def test_expected_and_running_calls_count_against_the_limit():
    house = admission(max_calls=2)
    first, second = ticket(house), ticket(house)
    house.redeem(first.call_id, 0.1)
    assert house.attach(AttachRequest(), 0.2) == Refused("BUSY")
    assert house.redeem(uuid4(), 0.2) == Turned("2 calls of 2")  # the expected one keeps its place
    assert house.redeem(second.call_id, 0.3) == second
    house.ended(first.call_id, None, "hangup", 1.0)
    assert isinstance(house.attach(AttachRequest(), 1.1), Ticket)


def test_an_id_of_the_pbx_is_kept_unless_it_was_used():
    house = admission()
    wanted = uuid4()
    assert ticket(house, call_id=wanted).call_id == wanted
    assert ticket(house, call_id=wanted).call_id != wanted


def test_legs_without_a_ticket_are_served_where_that_is_allowed():
    assert admission().redeem(uuid4(), 0.0) == Bare()
    assert admission(bare=False).redeem(uuid4(), 0.0) == Turned("it has no ticket, and listen.bare is off")
    draining = admission()
    draining.draining = True
    assert draining.redeem(uuid4(), 0.0) == Turned("shutting down")


@pytest.mark.parametrize(
    ("ending", "ended_by", "end"),
    [
        (EndCall("hangup", "rule_bye"), "rule_bye", CallEnd("HANGUP", "rule_bye")),
        (EndCall("transfer", "asked", "front"), "x", CallEnd("TRANSFER", "asked", FRONT)),
        (EndCall("transfer", "asked", "00 88 1234"), "x", CallEnd("FALLBACK", "asked", NIGHT)),
        (EndCall("transfer", "asked", ""), "x", CallEnd("FALLBACK", "asked", NIGHT)),
        (EndCall("fallback", "shutdown"), "shutdown", CallEnd("FALLBACK", "shutdown", NIGHT)),
        (EndCall("fallback", "shutdown", "front"), "shutdown", CallEnd("FALLBACK", "shutdown", NIGHT)),
        (None, "dropped", CallEnd("FALLBACK", "audio_lost", NIGHT)),
        (None, "hangup", CallEnd("FALLBACK", "audio_lost", NIGHT)),
    ],
)
def test_how_a_call_ended(ending: EndCall | None, ended_by: str, end: CallEnd):
    house = admission()
    given = ticket(house, fallback="night")
    assert given.fallback == NIGHT
    house.redeem(given.call_id, 1.0)
    assert house.outcome(given.call_id, 1.5) is None
    assert house.is_running(given.call_id)
    assert house.lost(given.call_id, "still_running") == CallEnd("FALLBACK", "still_running", NIGHT)
    house.ended(given.call_id, ending, ended_by, 2.0, summary="a bill")
    assert not house.is_running(given.call_id)
    assert house.outcome(given.call_id, 2.0 + KEEP_S - 0.1) == replace(end, summary="a bill")
    assert house.outcome(given.call_id, 2.0 + KEEP_S) is None


def test_a_fallback_that_is_not_configured_is_none():
    assert ticket(admission(), fallback="0900").fallback == NOWHERE


def test_memory_is_bounded():
    house = admission()
    ids = [UUID(int=number) for number in range(REMEMBERED + 5)]
    for call_id in ids:
        house.redeem(call_id, 0.0)
        house.ended(call_id, None, "hangup", 0.0)
    assert house.outcome(ids[4], 1.0) is None
    assert house.outcome(ids[5], 1.0) is not None
    assert len(house._spent) == len(house._ends) == REMEMBERED


def test_a_call_of_an_agent_has_its_own_settings():
    agent = AgentSpec("desk", "Hello.", language="en", call_facts=("today is monday",), limits=Limits(answer_s=4.0))
    assert spec_for(agent, AttachRequest()) == agent
    made = spec_for(
        agent,
        AttachRequest(language="de", greeting="Guten Tag.", facts=(("order", "12"),), max_s=60.0, no_input_s=3.0),
    )
    assert (made.name, made.language, made.greeting) == ("desk", "de", "Guten Tag.")
    assert made.call_facts == ("today is monday", "order: 12")
    assert (made.limits.call_s, made.limits.no_input_s, made.limits.answer_s) == (60.0, 3.0, 4.0)
    assert agent.call_facts == ("today is monday",)


class Life(RuleBasedStateMachine):
    """Whatever PBXs do, in any order: no place is given twice and none is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.house = admission(max_calls=3)
        self.now = 0.0
        self.given: dict[UUID, float] = {}
        self.running: set[UUID] = set()
        self.ids: list[UUID] = []

    @rule(seconds=st.sampled_from([0.5, 4.0, 11.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(known=st.booleans())
    def attach(self, known: bool) -> None:
        wanted = self.ids[0] if known and self.ids else None
        answer = self.house.attach(AttachRequest(call_id=wanted), self.now)
        waiting = sum(until > self.now for until in self.given.values())
        assert isinstance(answer, Ticket) == (waiting + len(self.running) < 3)
        if isinstance(answer, Ticket):
            assert answer.call_id not in self.running
            self.given[answer.call_id] = answer.expires_at
            self.ids.append(answer.call_id)

    @rule(pick=st.integers(0, 9))
    def leg(self, pick: int) -> None:
        call_id = self.ids[pick % len(self.ids)] if self.ids else uuid4()
        answer = self.house.redeem(call_id, self.now)
        valid = self.given.pop(call_id, -1.0) > self.now
        if valid:
            assert isinstance(answer, Ticket)
        if not isinstance(answer, Turned):
            assert call_id not in self.running
            self.running.add(call_id)

    @rule()
    def end(self) -> None:
        if self.running:
            call_id = self.running.pop()
            self.house.ended(call_id, None, "hangup", self.now)
            assert self.house.outcome(call_id, self.now) is not None

    @invariant()
    def never_too_many(self) -> None:
        assert len(self.running) <= 3


Life.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLife = Life.TestCase
