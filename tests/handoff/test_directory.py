"""The directory: closed, next, unknown, warm with and without ARI; and the gate: nothing but what is configured."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.handoff.directory import Directory
from voicebridge.targets import Target

DAY = datetime(2026, 12, 1, 11, 0, tzinfo=UTC)  # a Tuesday
NIGHT = datetime(2026, 12, 1, 22, 0, tzinfo=UTC)
OFFICE = {"hours": "mon-fri 09:00-17:00", "timezone": "UTC"}

TARGETS = {
    "sales": Target(queue="sales", next="reception", **OFFICE),
    "reception": Target(
        endpoint="PJSIP/1001", strategy="warm", next="voicemail", hours="daily 07:00-20:00", timezone="UTC"
    ),
    "voicemail": Target(extension="*98", context="internal", strategy="blind"),
    "boss": Target(queue="boss", label="the managing director", **OFFICE),
    "abroad": Target(sip="sip:desk@abroad.example", next="boss"),
}
DIRECTORY = Directory(TARGETS)


def way(name: object, now: datetime = DAY, *, can_warm: bool = True, **more: object):
    return DIRECTORY.resolve(name, now, can_warm=can_warm, **more)  # type: ignore[arg-type]


def test_an_open_target_is_where_the_caller_goes():
    found = way("sales")
    assert found.destination is not None
    assert (found.destination.name, found.destination.target.dest) == ("sales", "sales")
    assert (found.warm, found.cause, found.passed) == (False, None, ())


def test_a_closed_one_is_followed_by_its_next_and_so_on():
    late = way("sales", NIGHT)
    assert late.destination is not None
    assert late.destination.name == "voicemail"
    assert late.passed == ("sales", "reception")
    assert late.opens == datetime(2026, 12, 2, 7, 0, tzinfo=UTC)


def test_closed_without_a_next_is_refused_and_says_when_it_opens():
    found = way("boss", NIGHT)
    assert (found.destination, found.cause, found.passed) == (None, "closed", ("boss",))
    assert found.opens == datetime(2026, 12, 2, 9, 0, tzinfo=UTC)


def test_warm_needs_ari_and_is_announced_without():
    assert way("reception").warm
    cold = way("reception", can_warm=False)
    assert cold.destination is not None
    assert (cold.destination.name, cold.warm) == ("reception", False)


def test_sip_needs_ari_and_is_passed_over_without():
    assert way("abroad").destination.target.kind == "sip"
    found = way("abroad", can_warm=False)
    assert (found.destination.name, found.passed) == ("boss", ("abroad",))
    alone = Directory({"abroad": Target(sip="sip:a@b.example")}).resolve("abroad", DAY, can_warm=False)
    assert (alone.destination, alone.cause) == (None, "failed")


def test_those_that_were_tried_are_not_offered_again():
    assert way("reception", tried=["reception"]).destination is None
    after = way("voicemail", tried=["sales", "reception"])
    assert after.destination.name == "voicemail"


def test_a_circle_ends_even_where_the_configuration_was_not_checked():
    round_ = Directory({
        "a": Target(queue="a", next="b", hours="closed"), "b": Target(queue="b", next="a", hours="closed"),
    })
    found = round_.resolve("a", DAY, can_warm=False)
    assert (found.destination, found.cause, found.passed) == (None, "closed", ("a", "b"))
    assert found.opens is None


@pytest.mark.parametrize(
    "name",
    ["", "SALES", "Sales", " sales", "sales ", "sales\n", "sales\x00", "ｓａｌｅｓ", "0088123", "sales,s,1", "${EXTEN}",
     "*98", "PJSIP/1001", "../sales", None, 7, b"sales", ["sales"], {"target": "sales"}, ("sales",)],
    ids=repr,
)
def test_what_is_not_exactly_a_name_is_no_destination(name):
    assert DIRECTORY.destination(name) is None
    found = way(name)
    assert (found.destination, found.cause, found.passed) == (None, "unknown_target", ())


@given(st.text() | st.sampled_from(sorted(TARGETS)) | st.binary() | st.integers() | st.lists(st.text()))
def test_whatever_is_asked_for_only_configured_targets_come_out(name):
    for can_warm in (True, False):
        found = way(name, NIGHT, can_warm=can_warm)
        assert found.destination is None or TARGETS[found.destination.name] is found.destination.target
        assert (name in TARGETS if isinstance(name, str) else False) or found.cause == "unknown_target"


def test_an_agent_reaches_what_it_names_and_what_follows_that_by_next():
    agent = AgentSpec("desk", "Hello.", targets=("sales",), rules=(Rule("abroad", target="abroad"),))
    mine = DIRECTORY.for_agent(agent)
    assert set(mine.names) == {"sales", "reception", "voicemail", "abroad", "boss"}
    narrow = DIRECTORY.for_agent(AgentSpec("desk", "Hello.", human="reception"))
    assert set(narrow.names) == {"reception", "voicemail"}
    assert narrow.destination("boss") is None
    assert narrow.resolve("boss", DAY, can_warm=True).cause == "unknown_target"
    assert DIRECTORY.for_agent(AgentSpec("desk", "Hello.")).names == ()


def test_a_target_is_spoken_of_by_its_label():
    assert DIRECTORY.destination("boss").label == "the managing director"
    assert Directory({"first_aid-desk": Target(queue="q")}).destination("first_aid-desk").label == "first aid desk"
