"""Engines that die or freeze in the middle of a call: the caller is answered, or given back.

The bounds are generous (several things share the machine); the strict ones are those of `bench.faults`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable

import pytest
import uvloop

from bench.calls import MODEL_QUESTIONS, RATE, Round, lines
from bench.faults import ANSWER_LIMIT_S, SOUND_LIMIT_S, TRAIL_S, WORKERS, judged, written_by_the_model
from tests.faults.processes import alive, mixed_agent, wait_until, workers
from voicebridge.cli.testcall import running_daemon, wait_for_record
from voicebridge.phone import Line, Phone
from voicebridge.trace.store import CallStore

pytestmark = pytest.mark.models

SLACK_S = 1.5
READY_S = 20.0


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    with running_daemon(mixed_agent(tmp_path_factory.mktemp("config")), ["--event-log"]) as (port, store):
        yield port, store


def call(
    daemon, asked: list[Line], at: int, after_s: float, strike: Callable[[], None], *, linger_s: float = 0.5
) -> Round:
    """The call; `strike` comes `after_s` after the last voiced sample of line number `at`."""
    port, store = daemon

    async def talk():
        def on_event(text: str) -> None:
            if text == f"caller: {asked[at].label}":
                asyncio.get_running_loop().call_later(len(asked[at].pcm) / 2 / RATE - TRAIL_S + after_s, strike)

        return await Phone("127.0.0.1", port, on_event=on_event).call(asked, linger_s=linger_s)

    heard = uvloop.run(talk())
    return Round(heard, wait_for_record(CallStore(store, keep_days=1), heard.call_id))


@pytest.fixture
def all_ready(daemon):
    """Every worker is there again when a test begins."""
    assert wait_until(lambda: set(workers()) >= set(WORKERS.values()), READY_S)
    time.sleep(1.0)
    yield
    for pid in workers().values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("worker", "moment", "after_s"),
    [
        ("stt", "while he speaks", -0.4),
        ("llm", "while we think", 0.25),
        ("tts", "as he stops", 0.02),
        ("embed", "as he stops", 0.02),
    ],
)
def test_a_killed_worker_costs_a_moment_and_no_words(daemon, all_ready, worker, moment, after_s):
    before = workers()[WORKERS[worker]]
    made = call(daemon, lines(MODEL_QUESTIONS)[:3], 1, after_s, lambda: os.kill(before, signal.SIGKILL))
    assert not alive(before)
    outcome = judged(worker, moment, made, written_by_the_model(daemon[1], made.heard.call_id))
    assert outcome.sound_s is not None and outcome.sound_s <= SOUND_LIMIT_S + SLACK_S, outcome
    assert outcome.answer_s is not None and outcome.answer_s <= ANSWER_LIMIT_S + SLACK_S, outcome
    assert outcome.said_twice == []
    assert outcome.next_turn_s is not None and outcome.next_turn_s <= ANSWER_LIMIT_S + SLACK_S
    assert outcome.ended_by == "caller"
    assert made.record["outcome"] == "hangup"
    assert wait_until(lambda: workers().get(WORKERS[worker], before) != before, READY_S)


@pytest.mark.parametrize("worker", ["stt", "llm"])
def test_a_frozen_worker_is_covered_and_then_answered_or_given_back(daemon, all_ready, worker):
    frozen = workers()[WORKERS[worker]]
    asked = lines(MODEL_QUESTIONS)[:2]
    made = call(daemon, asked, 1, -0.1, lambda: os.kill(frozen, signal.SIGSTOP), linger_s=12.0)
    line, turns = made.turns()[1]
    said = [piece for turn in turns for piece in turn["said"] if piece["at"] is not None]
    kinds = [piece["kind"] for piece in said]
    assert line.gap is not None and line.gap <= SOUND_LIMIT_S + SLACK_S
    assert kinds[0] == "filler", kinds
    first = next(piece for piece in said if piece["kind"] != "filler")
    assert first["at"] - line.last_voice <= ANSWER_LIMIT_S + SLACK_S
    if first["kind"] == "trouble":
        assert made.record["outcome"] == "fallback"
        assert made.heard.ended_by == "agent"
    else:
        assert (first["kind"], made.record["outcome"]) == ("answer", "hangup")
    assert wait_until(lambda: workers().get(WORKERS[worker], frozen) != frozen, READY_S)  # it was replaced
