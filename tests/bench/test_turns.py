"""The comparison of a run with deadlines and one without: the same questions, in turns, and what is made of them."""

from __future__ import annotations

import contextlib

import pytest
from click.testing import CliRunner

from bench import turns
from bench.calls import Round
from voicebridge.phone import Heard, Line, Spoken

PCM = bytes(1_600)


def heard(*gaps: float) -> Round:
    """A call whose lines were answered after so many seconds."""
    spoken = [
        Spoken(Line(f"q{number}", PCM), begins=3.0 * number, last_voice=1.0, first_voice=0.0, answer=1.0 + gap)
        for number, gap in enumerate(gaps)
    ]
    return Round(Heard("id", 8_000, spoken), None)


def test_both_are_asked_the_same_in_turns_and_first_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[list[str]]]] = []

    @contextlib.contextmanager
    def daemon(address, options, config):
        yield options[-1]

    monkeypatch.setattr(turns, "daemon", daemon)
    monkeypatch.setattr(
        turns, "rounds_on",
        lambda there, plan, tick: asked.append((there, [[line.label for line in said] for said in plan])) or [],
    )
    made = turns.in_turns([Line(f"q{n}", PCM) for n in range(6)], 2, 8, None, ["--agent", "open"], None)
    assert made == {turns.ON: [], turns.OFF: []}
    assert [there for there, _ in asked] == [
        "--deadlines", "--no-deadlines", "--no-deadlines", "--deadlines",
        "--deadlines", "--no-deadlines", "--no-deadlines", "--deadlines",
    ]
    for first, second in zip(asked[::2], asked[1::2], strict=True):
        assert first[1] == second[1] and [len(said) for said in first[1]] == [2, 2]
    assert asked[0][1] != asked[2][1]


def test_the_ratio_is_told_for_each_share() -> None:
    made = turns.compared({turns.ON: [heard(0.5, 0.5)], turns.OFF: [heard(1.0, 1.5)]})
    assert made[turns.ON]["gap_s"]["p50"] == 0.5
    assert made["without_to_with"]["p50"] == 2.5
    assert set(made["without_to_with"]) == {"p50", "p95", "p99"}


def test_nothing_heard_has_no_ratio() -> None:
    assert turns.compared({turns.ON: [], turns.OFF: []})["without_to_with"] == {}


def test_a_daemon_that_runs_already_cannot_be_compared() -> None:
    result = CliRunner().invoke(turns.main, ["--compare-deadlines", "--to", "127.0.0.1:9092"])
    assert result.exit_code == 2 and "starts its own daemons" in result.output
