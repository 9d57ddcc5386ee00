"""Where a turn's time went: on the core's own stage, the timeline must add up."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conversation.test_acting import DOER, done_after
from tests.trace.stage import AGENT, RULED, VOICE_AFTER_S, Engine, Watched
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.trace.spans import COVERED
from voicebridge.trace.timeline import STAGES, Timeline, TurnTrace


def assert_adds_up(turn: TurnTrace) -> None:
    """The spans are contiguous from the last voiced sample to the first audible one and sum to the gap."""
    spans = turn.spans()
    assert spans[0].begin == turn.last_voice
    assert all(before.end == after.begin for before, after in zip(spans, spans[1:], strict=False))
    assert all(span.begin <= span.end for span in spans)
    assert spans[-1].name == "audible" and spans[-1].end == turn.marks["audible"]
    assert sum(span.end - span.begin for span in spans) == pytest.approx(turn.gap)
    assert {span.name for span in spans} <= {*STAGES, COVERED}


def test_a_turn_of_the_model_has_every_stage_in_order():
    stage = Watched(stt=Engine(0.10), llm=Engine(0.04), tts=Engine(0.02)).start().run(2)
    stopped = stage.now + 1.0 - 0.05
    stage.caller("what do you sell").run(6)
    turn = stage.turn("what do you sell")
    assert (turn.source, turn.rule, turn.cut_off, turn.troubles) == ("model", "", False, [])
    assert turn.last_voice == pytest.approx(stopped)
    order = ["detected", "transcript", "first_token", "first_clause", "speech_ready", "sent", "audible"]
    assert sorted(order, key=lambda name: turn.marks[name]) == order
    assert turn.marks["audible"] == pytest.approx(turn.marks["sent"] + VOICE_AFTER_S)
    assert [(said.text.strip(), said.complete) for said in turn.said] == [
        ("Sure, we can do that for you.", True), ("Anything else?", True),
    ]
    assert_adds_up(turn)


def test_a_turn_of_a_rule_says_which():
    stage = Watched(agent=RULED).start().run(2).caller("when are you open").run(4)
    turn = stage.turn("when are you open")
    assert (turn.source, turn.rule) == ("rule", "hours")
    assert turn.marks["transcript"] <= turn.marks["rule"] <= turn.marks["first_clause"]
    assert "first_token" not in turn.marks
    assert_adds_up(turn)


def test_the_greeting_answers_nobody_and_has_no_gap():
    stage = Watched().start().run(3)
    (turn,) = stage.timeline.turns
    assert (turn.turn, turn.gap, turn.spans(), turn.source) == (0, None, [], "line")
    assert [said.kind for said in turn.said] == ["greeting"]
    assert stage.timeline.gaps() == []


def test_a_filler_does_not_end_the_gap():
    stage = Watched(llm=Engine(1.2)).start().run(2).caller("what do you sell").run(9)
    turn = stage.turn("what do you sell")
    filler = next(said for said in turn.said if said.kind == "filler")
    answer = next(said for said in turn.said if said.kind == "answer")
    assert filler.at < answer.at == turn.marks["audible"]
    assert turn.gap > 1.2
    assert not turn.cut_off
    assert_adds_up(turn)


def test_an_interrupted_turn_holds_the_words_that_were_heard():
    stage = Watched().start().run(2).caller("what do you sell").run(1.5).caller("stop that now").run(6)
    turn = stage.turn("what do you sell")
    assert turn.cut_off
    heard = turn.said[0].heard
    assert heard and turn.said[0].text.startswith(heard) and not turn.said[0].complete
    assert turn.said[-1].heard == ""
    assert not stage.turn("stop that now").cut_off


def test_a_caller_who_goes_on_is_measured_from_his_last_word():
    stage = Watched().start().run(2).caller("i would like").run(0.2)
    stage.caller("i would like a bicycle", seconds=1.0).run(6)
    turn = stage.turn("i would like a bicycle")
    assert turn.gap < 1.0
    assert_adds_up(turn)
    assert [said.kind for said in turn.said].count("answer") == 2, "the draft that was thrown away is not in it"


def test_a_transcript_asked_for_anew_counts_from_its_own_answer():
    timeline = Timeline()
    timeline.watch(1.0, ev.SpeechStarted(), [cmd.Listen(1)])
    timeline.watch(2.0, ev.SpeechStopped(0.1, 0.9), [cmd.Transcribe(1, 1, "speculative", 2.3, 7.0)])
    timeline.watch(2.1, ev.TranscriptReady(1, "one"), [])
    timeline.watch(2.3, ev.TimerFired("endpoint"), [cmd.Transcribe(2, 1, "final", 2.3, 7.0)])
    timeline.watch(2.5, ev.TranscriptReady(2, "one two"), [cmd.Transcribe(3, 1, "partial", 9.0, 9.0)])
    turn = timeline.turns[-1]
    assert (turn.caller, turn.marks["transcript"], turn.marks["endpoint"]) == ("one two", 2.5, 2.3)


def test_troubles_are_kept_with_the_turn():
    stage = Watched(llm=Engine(0.1, fails="crashed")).start().run(2).caller("what do you sell").run(8)
    turn = stage.turn("what do you sell")
    assert "ModelFailed: crashed" in turn.troubles
    stage = Watched(tts=Engine(0.02, fails="timeout")).start().run(1)
    assert "SegmentFailed: timeout" in stage.timeline.turns[0].troubles


def test_a_segment_nobody_knows_is_ignored():
    timeline = Timeline()
    timeline.audible(7, 1.0)
    timeline.watch(1.0, ev.PlaybackStarted(7), [])
    timeline.watch(1.0, ev.PlayoutCut((ev.HeardSegment(7, "x", False),)), [cmd.DropSegments((8,))])
    assert [turn.said for turn in timeline.turns] == [[]]


def test_the_record_is_json_in_seconds_since_the_call_began():
    stage = Watched().start().run(2).caller("what do you sell").run(6)
    made = stage.turn("what do you sell").as_dict(100.0)
    assert json.loads(json.dumps(made)) == made
    assert made["gap_s"] == pytest.approx(made["marks"]["audible"] - made["last_voice"], abs=2e-4)
    assert 2.0 < made["last_voice"] < 3.1
    assert set(made["marks"]) <= set(STAGES)
    assert made["said"][0]["heard"] == made["said"][0]["text"]


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.floats(0.01, 3.0)),
        st.tuples(st.just("say"), st.sampled_from(["", "uh-huh", "when are you open", "stop it please", "hello"])),
        st.tuples(st.just("begin"), st.sampled_from(["", "and then i"])),
        st.tuples(st.just("stop"), st.floats(0.0, 1.0)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ACTS, st.sampled_from([AGENT, RULED]), st.sampled_from([0.05, 0.4, 1.5]), st.sampled_from(["", "crashed"]))
def test_whatever_happens_every_answered_turn_adds_up(acts, agent, delay, fails):
    stage = Watched(agent=agent, llm=Engine(delay, fails=fails)).start()
    for name, value in acts:
        match name:
            case "run":
                stage.run(value)
            case "say":
                stage.caller(value)
            case "begin":
                stage.begins(value)
            case "stop":
                stage.stops(value)
    stage.run(12)
    for turn in stage.timeline.turns:
        json.dumps(turn.as_dict(100.0))
        assert all(said.text.startswith(said.heard.strip()) or said.heard.split() == said.text.split()[: len(
            said.heard.split())] for said in turn.said)
        if turn.gap is not None:
            assert turn.gap > 0
            assert_adds_up(turn)


def test_tools_forms_and_handoffs_leave_their_marks():
    stage = Watched(agent=DOER, tool=done_after(0.4, say="Found.")).start().run(2).caller("where is my order").run(3)
    turn = stage.timeline.turns[-1].as_dict(100.0)
    (tool,) = turn["tools"]
    assert (tool["tool"], tool["ok"], tool["cause"]) == ("lookup", True, "")
    assert 390 <= tool["ms"] <= 410
    assert turn["marks"]["endpoint"] <= turn["marks"]["tool"] < turn["marks"]["tool_done"] <= turn["marks"]["audible"]
    stage.caller("a human please").run(4)
    (step,) = stage.timeline.turns[-1].as_dict(100.0)["handoffs"]
    assert (step["state"], step["target"], step["cause"]) == ("go", "desk", "")
    failing = Watched(agent=DOER, tool=done_after(0.1, ok=False, cause="timeout"))
    failing.start().run(2).caller("where is my order").run(3)
    (tool,) = failing.timeline.turns[-1].as_dict(100.0)["tools"]
    assert (tool["ok"], tool["cause"]) == (False, "timeout")


def test_secrets_are_masked_in_the_timeline():
    stage = Watched(agent=RULED).start().run(2)
    stage.timeline.watch(stage.now, ev.TranscriptReady(1, "my pin is 1234"), (), secret=True)
    assert stage.timeline.turns[-1].caller == "***"


def test_a_move_to_another_engine_stands_in_its_turn():
    stage = Watched(agent=RULED).start().run(2).caller("when are you open").run(1)
    stage.timeline.moved(stage.now, "stt", "vosk", "moonshine", "timeout")
    turn = stage.timeline.turns[-1].as_dict(100.0)
    assert turn["moves"] == [
        {"kind": "stt", "from": "vosk", "to": "moonshine", "cause": "timeout", "at": round(stage.now - 100.0, 4)}
    ]


def test_who_served_a_turn_stands_in_it():
    stage = Watched(agent=RULED).start().run(2)
    turn = stage.timeline.turns[-1].turn
    assert stage.timeline.turns[-1].as_dict(100.0)["engines"] == {"stt": "", "llm": "", "tts": ""}
    for name in ("disk", "espeak", "disk"):  # a line from disk beside words that were made says nothing
        stage.timeline.served(turn, "tts", name)
    stage.timeline.served(turn, "stt", "vosk")
    assert stage.timeline.turns[-1].as_dict(100.0)["engines"] == {"stt": "vosk", "llm": "", "tts": "espeak"}


def test_who_served_a_draft_that_was_thrown_away_does_not_count():
    stage = Watched(agent=RULED).start()
    stage.timeline.watch(1.0, ev.Drained(), [cmd.Synthesize(77, 9, "answer", "A draft.", 0.0, 9.0)])
    for kind, name in (("stt", "vosk"), ("llm", "llama"), ("tts", "espeak")):
        stage.timeline.served(9, kind, name)
    stage.timeline.watch(1.1, ev.Drained(), [cmd.DropSegments((77,))])
    assert stage.timeline.turns[-1].engines == {"stt": "vosk", "llm": "", "tts": ""}
