"""What a call's page tells of a record."""

from __future__ import annotations

import pytest

from bench.pretence import recording, the_call
from voicebridge.web import view

RECORD = the_call(1_800_000_000.0)
TURNS = [view.turn_view(turn, RECORD["engines"]) for turn in RECORD["turns"]]


def test_what_was_not_heard_is_apart_from_what_was():
    caller, agent = TURNS[2].lines
    assert (caller.who, caller.heard) == ("caller", "What does a basic service cost?")
    assert agent.heard == "A basic service is $45 and"
    assert agent.rest == "takes two working days. A full service is $95 and takes four working days."
    assert TURNS[1].lines[1].rest == ""


def test_what_happened_beside_the_words_is_noted():
    slow = [note.text for note in TURNS[3].notes]
    assert any("llama_server failed (timeout after 1.2 s), openai went on" in text for text in slow)
    assert any(text.startswith("The caller interrupted; we were silent 160 ms") for text in slow)
    assert "served by llm openai, not the first choice" in slow
    (tool,) = TURNS[4].notes
    assert tool.text.startswith("tool book_repair:") and tool.text.endswith("ok") and not tool.bad
    assert [part.partition(":")[0] for part in tool.parts] == ["attempt 1", "attempt 2"]
    assert [note.text for note in TURNS[6].notes][0] == "handoff: calling workshop"


def test_the_gap_and_its_cause_are_told_and_the_table_adds_up():
    assert TURNS[3].slow.startswith("the language model openai took")
    assert TURNS[1].slow == "" and TURNS[1].by == "by the language model: smalltalk?"
    for turn in TURNS[1:]:
        assert sum(row.ms for row in turn.rows) == pytest.approx(turn.gap_ms, abs=1)


def test_a_secret_stays_one():
    assert TURNS[5].secret and TURNS[5].lines[0].heard == "***"


def test_what_is_not_known_of_a_call_is_left_out():
    assert view.facts({}) == []
    facts = dict(view.facts(RECORD))
    assert facts["Told it is a machine"] == "yes, at 0.0 s"
    assert facts["Consent to record"] == "not asked; recorded"
    assert "late" in facts["Our frames"]
    asked = dict(
        view.facts({"consent": {"asked": True, "given": False, "recorded": False}, "disclosure": {"said": False}})
    )
    assert asked == {"Told it is a machine": "no", "Consent to record": "asked, refused; not recorded"}


def test_records_of_before_are_shown():
    old = {
        "turn": 1, "caller": "hello", "source": "rule", "rule": "hi", "gap_s": 0.5, "last_voice": 1.0,
        "marks": {"audible": 1.5}, "cut_off": False, "troubles": ["ModelFailed: x"], "tools": [], "moves": [],
        "said": [{"kind": "answer", "text": "Hi.", "heard": "Hi.", "complete": True, "at": 1.5}],
        "handoffs": ["refused workshop busy"],
    }  # fmt: skip
    made = view.turn_view(old, {})
    assert [line.heard for line in made.lines] == ["hello", "Hi."]
    assert [note.text for note in made.notes] == ["handoff: refused workshop busy", "ModelFailed: x"]


def test_the_turns_lie_on_the_recording_where_they_were_spoken(tmp_path):
    recording(RECORD, tmp_path / "a.wav")
    sound = view.sound(tmp_path / "a.wav", TURNS, RECORD)
    assert sound is not None and sound.seconds == pytest.approx(RECORD["seconds"], abs=0.01)
    assert [band.number for band in sound.bands] == list(range(7))
    cut = sound.bands[2]
    assert cut.cut_x == pytest.approx(1000 * RECORD["turns"][2]["cut_at"] / sound.seconds, abs=0.5)
    assert cut.x < cut.cut_x
    (tmp_path / "a.wav").write_bytes(b"")
    assert view.sound(tmp_path / "a.wav", TURNS, RECORD) is None


def test_code_is_marked_and_the_rest_escaped():
    assert view.code("raise `deadline_s` <now>") == "raise <code>deadline_s</code> &lt;now&gt;"
    assert view.code("`<b>`") == "<code>&lt;b&gt;</code>"


@pytest.mark.parametrize(("seconds", "text"), [(5.94, "0:05.9"), (723.4, "12:03.4"), (None, ""), (-1, "0:00.0")])
def test_the_clock_counts_minutes(seconds, text):
    assert view.clock(seconds) == text
