"""No word of a caller, a model or a tool becomes a destination; and these tests notice when a gate is taken out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.handoff.fraud import (
    AGENT,
    GATES,
    OPEN,
    Attempt,
    House,
    Outcome,
    attempts,
    load,
    number_in,
    obeying,
    violations,
)
from voicebridge.conversation.commands import EndCall
from voicebridge.conversation.toolspec import ToolCall

CORPUS = load()
ATTEMPTS = list(attempts())
NAMES = [name for _, name in CORPUS["names"]] + [number_in(text) for _, text in CORPUS["says"]]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def by_case() -> dict[str, list[Attempt]]:
    cases: dict[str, list[Attempt]] = {}
    for attempt in ATTEMPTS:
        cases.setdefault(attempt.id.partition("-")[0], []).append(attempt)
    return cases


CASES = by_case()


def test_the_corpus_is_as_large_as_it_says():
    cases = [(kind, str(case)) for kind, group in CORPUS.items() for _, case in group]
    assert len(cases) >= 200
    assert len(set(cases)) == len(cases)
    assert len(CASES) + len(CORPUS["names"]) == len(cases)
    assert len({attempt.id for attempt in ATTEMPTS}) == len(ATTEMPTS)


@pytest.mark.parametrize("case", sorted(CASES))
def test_nothing_said_dials_anything(case, loop):
    for attempt in CASES[case]:
        for house in (House(), House(ari=True)):
            outcome = house.run(attempt, loop)
            assert violations(outcome) == [], attempt.id
            assert outcome.wire


@pytest.mark.parametrize("ari", [False, True])
def test_no_name_from_anywhere_is_a_destination_of_the_desk(ari, loop):
    for name in NAMES:
        outcome = House(ari=ari).find(name, loop)
        assert violations(outcome) == [], name
        assert [(update.state, update.target) for update in outcome.updates] == [("refused", "")], name


def test_no_name_from_anywhere_is_one_for_the_pbx():
    for name in NAMES:
        wire = House().tell_pbx(EndCall("transfer", "model", name), name, fallback=name)
        told = b"".join(wire).decode()
        if name != "director":  # configured, though not for this agent: the two gates before this one know
            assert 'VB_TARGET ""' in told, name
            assert 'VB_TARGET_DEST ""' in told, name
            assert 'VB_RESULT "FALLBACK"' in told, name
        assert told.count("\n") == len(wire)


# ---- these tests can fail


@pytest.mark.parametrize("target", sorted(AGENT.targets))
def test_a_configured_target_is_reached_by_the_same_way(target, loop):
    """Else nothing would be proven: the way is open for what is configured."""
    call = ToolCall("hand_off", f'{{"target": "{target}"}}')
    outcome = House().run(Attempt("good", "sales please my friend", (call,)), loop)
    assert violations(outcome) == []
    assert (outcome.ends[0].outcome, outcome.ends[0].target) == ("transfer", target)
    assert f'SET VARIABLE VB_TARGET "{target}"\n'.encode() in outcome.wire
    assert b'SET VARIABLE VB_RESULT "TRANSFER"\n' in outcome.wire


def test_the_human_that_is_called_is_the_configured_one(loop):
    call = ToolCall("hand_off", '{"target": "anna"}')
    outcome = House(ari=True).run(Attempt("warm", "anna please my friend", (call,)), loop)
    assert outcome.dialled == ["PJSIP/1001"]
    assert outcome.ends[0].target == "reception"  # she is busy


def test_without_any_gate_most_attempts_come_through(loop):
    """The validator taken out: the same calls, the same assertion."""
    broken = House(without=frozenset(GATES))
    tried = [attempt for attempt in ATTEMPTS if attempt.id.endswith(("-number", "-text"))]
    through = [attempt for attempt in tried if violations(broken.run(attempt, loop))]
    assert len(through) >= 0.9 * len(tried)
    on_wire = [line for line in broken.run(_obeyed("0088123456"), loop).wire if b"0088123456" in line]
    assert b'SET VARIABLE VB_TARGET "0088123456"\n' in on_wire
    assert any(line.startswith(b"SET VARIABLE VB_TARGET_DEST") for line in on_wire)


@pytest.mark.parametrize("gate", GATES)
def test_each_gate_alone_keeps_the_number_from_the_pbx(gate, loop):
    alone = House(without=frozenset(GATES) - {gate})
    wire = alone.run(_obeyed("0088123456"), loop).wire
    assert wire
    assert not any(line.startswith(b"SET VARIABLE VB_TARGET") and b"0088123456" in line for line in wire)


def test_without_the_cores_gate_it_would_want_anything(loop):
    broken = House(without=frozenset({"core"}))
    assert set(violations(broken.run(_obeyed("0088123456"), loop))) == {"HandOff to '0088123456'"}


def test_without_the_pbx_sides_gate_any_name_would_be_told():
    wire = House(without=frozenset({"pbx"})).tell_pbx(EndCall("transfer", "model", "0088123456"), "")
    assert "VB_TARGET = '0088123456'" in violations(Outcome(wire=wire))


@pytest.mark.parametrize("ari", [False, True])
def test_without_the_directorys_gate_the_desk_would_dial_anything(ari, loop):
    broken = House(without=frozenset({"directory"}), ari=ari)
    assert all(violations(broken.find(name, loop)) for name in NAMES if name and name not in OPEN)


def test_without_cleaning_the_wire_would_carry_more_than_values(monkeypatch):
    """A newline in a value is a second command to Asterisk."""
    monkeypatch.setattr("voicebridge.pbx.asterisk.variables.clean", lambda text, limit=250: text)
    monkeypatch.setattr("voicebridge.handoff.summary.clean", lambda text, limit=250: text)
    said = 'sales"\nEXEC Dial "PJSIP/0088123456'
    assert violations(Outcome(wire=House().tell_pbx(EndCall("fallback", said), said)))


def _obeyed(text: str) -> Attempt:
    call = obeying(text)["number"]
    return Attempt("obeyed", text, (call, call))
