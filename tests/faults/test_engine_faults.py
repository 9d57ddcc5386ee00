"""Vosk, llama.cpp and Piper are killed, frozen, babble or are full in mid-call: a second engine goes on, no word lost.

A call each: the recogniser is struck in the middle of the first line, the model in that of the second, the voice in
that of the third. The bounds are generous (several things share the machine); the strict ones are the bench's.
"""

from __future__ import annotations

import importlib.util

import pytest

from bench import desk
from bench.engine_faults import Faulty, judged, wires_to_spoil, workers_to_strike
from bench.faults import ANSWER_LIMIT_S, SOUND_LIMIT_S
from tests.faults.processes import wait_until

for package in ("vosk", "piper", "llama_cpp"):
    if importlib.util.find_spec(package) is None:  # not imported: its ggml and the voice detector's have one name
        pytest.skip(f"{package} is not installed: make test installs it", allow_module_level=True)
pytestmark = pytest.mark.models

SLACK_S = 1.5
READY_S = 20.0
BEFORE_S = -0.4
SAID = (desk.ASK_HOURS, desk.ASK_MODEL, desk.ASK_MODEL_MORE)
VICTIMS = ("vosk", "llama_cpp", "piper")


@pytest.fixture(scope="module")
def lines():
    return desk.lines(SAID)


@pytest.fixture(scope="module")
def striking(tmp_path_factory):
    with workers_to_strike(tmp_path_factory.mktemp("striking")) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def spoiling(tmp_path_factory):
    with wires_to_spoil(tmp_path_factory.mktemp("spoiling")) as daemon:
        yield daemon


def struck(daemon: Faulty, fault: str, lines):
    """What came of a call in which each of the engines is struck while he speaks."""
    strikes = {number: (BEFORE_S, daemon.strike(engine, fault)) for number, engine in enumerate(VICTIMS)}
    made = daemon.call(lines, strikes, linger_s=0.5)
    outcomes = [judged(engine, fault, "while he speaks", made, number) for number, engine in enumerate(VICTIMS)]
    for one in outcomes:
        assert one.sound_s is not None and one.sound_s <= SOUND_LIMIT_S + SLACK_S, one
        assert one.answer_s is not None and one.answer_s <= ANSWER_LIMIT_S + SLACK_S, one
        assert one.lost == 0, one
        assert one.outcome == "hangup", one
    return outcomes


def replaced(daemon: Faulty, before) -> bool:
    return wait_until(lambda: all(daemon.pid(one) not in (None, before[one]) for one in VICTIMS), READY_S)


# In this order: what failed in one call rests for some seconds, in which the next one strikes the other daemon's.


def test_workers_that_are_killed_cost_a_moment_and_no_words(striking, lines):
    before = {engine: striking.pid(engine) for engine in VICTIMS}
    struck(striking, "kill", lines)
    assert all(before.values()) and replaced(striking, before)


def test_workers_that_are_full_leave_a_call_to_the_second(spoiling, lines):
    for one in struck(spoiling, "full", lines):
        assert spoiling.hits(one.engine) > 0 and one.moves, one
    spoiling.heal()


def test_workers_that_freeze_are_left_and_replaced(striking, lines):
    before = {engine: striking.pid(engine) for engine in VICTIMS}
    for one in struck(striking, "stop", lines):
        assert one.moves, one
    assert all(before.values()) and replaced(striking, before)


def test_workers_that_babble_are_not_believed(spoiling, lines):
    before = sum(map(spoiling.hits, VICTIMS))
    for one in struck(spoiling, "garbage", lines):
        assert one.moves, one
    assert sum(map(spoiling.hits, VICTIMS)) > before  # who failed last time is asked beside the second, and may lose
    spoiling.heal()
