"""A turn made slow on purpose is explained by who made it slow."""

from __future__ import annotations

import pytest

from tests.conversation.test_acting import DOER, done_after
from tests.trace.stage import AGENT, RULED, Engine, Watched
from voicebridge.trace.blame import BUDGET_S, slow


def turn_of(stage: Watched, words: str) -> dict:
    return stage.turn(words).as_dict(0.0)


@pytest.mark.parametrize(
    ("actor", "engines", "named"),
    [
        ("stt", {"stt": Engine(1.6)}, "the recogniser"),
        ("llm", {"llm": Engine(1.6)}, "the language model"),
        ("tts", {"tts": Engine(1.6)}, "the voice"),
    ],
    ids=["stt", "llm", "tts"],
)
def test_a_slow_engine_is_blamed(actor, engines, named):
    stage = Watched(agent=AGENT, **engines).start().run(4).caller("what do you sell").run(12)
    found = turn_of(stage, "what do you sell")["slow"]
    assert found["actor"] == actor
    assert found["text"].startswith(named)
    assert 1400 <= found["ms"] <= 3500  # this model takes its time for the first token and for each word group
    assert found["over_ms"] > 1000


def test_a_slow_tool_is_blamed_by_name():
    stage = Watched(agent=DOER, tool=done_after(2.5, say="Found.")).start().run(2).caller("where is my order").run(6)
    found = turn_of(stage, "where is my order")["slow"]
    assert found["actor"] == "tool"
    assert found["text"].startswith("the tool lookup took 2.5")


def test_a_quick_turn_is_nobodys_fault():
    stage = Watched(agent=RULED).start().run(2).caller("when are you open").run(4)
    turn = turn_of(stage, "when are you open")
    assert turn["gap_s"] < BUDGET_S
    assert turn["slow"] is None


def test_what_failed_on_the_way_is_told():
    spans = [{"name": "transcript", "actor": "stt", "from": 0.0, "to": 2.0}]
    turn = {"gap_s": 2.0, "spans": spans, "engines": {"stt": "moonshine"}, "tools": [], "troubles": []}
    moved = {**turn, "moves": [{"kind": "stt", "from": "vosk", "to": "moonshine", "cause": "timeout"}]}
    told = slow(moved)["text"]
    assert told == "the recogniser moonshine took 2.00 of 2.00 s: vosk failed (timeout), moonshine went on"
    assert slow({**turn, "moves": [], "troubles": ["TranscriptFailed: timeout"]})["text"].endswith(
        "(TranscriptFailed: timeout)"
    )


def test_a_long_wait_for_the_end_is_called_that():
    spans = [{"name": "endpoint", "actor": "endpoint", "from": 0.1, "to": 1.0}]
    found = slow({"gap_s": 1.0, "spans": spans, "tools": [], "moves": []})
    assert found["actor"] == "endpoint"
    assert "did not sound complete" in found["text"]


def test_a_filler_is_not_to_blame_but_who_made_it_necessary():
    spans = [
        {"name": "speech_ready", "actor": "tts", "from": 0.1, "to": 1.2},
        {"name": "covered", "actor": "cover", "from": 1.2, "to": 2.8},
    ]
    assert slow({"gap_s": 2.8, "spans": spans, "tools": [], "moves": []})["actor"] == "tts"


def test_a_tool_that_was_tried_again_and_failed_says_so():
    spans = [{"name": "tool_done", "actor": "tool", "from": 0.1, "to": 3.0}]
    tool = {"tool": "book", "ms": 2900, "ok": False, "cause": "timeout", "attempts": 3}
    found = slow({"gap_s": 3.1, "spans": spans, "tools": [tool], "moves": []})
    assert found["text"] == "the tool book took 2.90 of 3.10 s, 3 attempts, and failed: timeout"
