"""From a call's events and commands to what a scenario judges."""

from __future__ import annotations

from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.scenario.observation import Mark, Observation, conversation, observe
from voicebridge.trace.eventlog import Step


def synthesize(segment: int, text: str, kind: str = "answer") -> cmd.Synthesize:
    return cmd.Synthesize(segment, 1, kind, text, 0.0, 0.0)


def test_what_was_played_is_known_by_what_was_heard():
    seen = observe([
        Step(1.0, ev.CallStarted(), (synthesize(1, "One two."), synthesize(2, "Three four."), synthesize(3, "Never."))),
        Step(1.1, ev.PlaybackStarted(1), ()),
        Step(2.0, ev.PlaybackFinished(1), ()),
        Step(2.0, ev.PlaybackStarted(2), ()),
        Step(2.5, ev.SpeechStarted(), (cmd.PausePlayout(),)),
        Step(3.0, ev.TimerFired("confirm"), (cmd.ResumePlayout(),)),
        Step(3.4, ev.SpeechStarted(), (cmd.PausePlayout(),)),
        Step(3.6, ev.PlayoutCut((ev.HeardSegment(2, "Three", False), ev.HeardSegment(3, "", False))), ()),
        Step(9.0, ev.CallClosed("hangup"), ()),
    ])  # fmt: skip
    assert [(said.text, said.heard, said.begins, said.cut) for said in seen.said] == [
        ("One two.", "One two.", 1.1, False), ("Three four.", "Three", 2.0, True),
    ]  # fmt: skip
    assert seen.sounds == [(1.1, 2.5), (3.0, 3.4)]
    assert seen.closed == (9.0, "hangup")
    assert (seen.zero, seen.until) == (1.0, 9.0)
    assert seen.silence(1.1, 9.0) == 0.5
    assert seen.audible_from(2.7) == 3.0
    assert seen.audible_from(2.0) == 2.0
    assert seen.audible_from(5.0) == 5.0


def test_what_is_cut_by_the_end_of_the_call_is_marked():
    seen = observe([
        Step(1.0, ev.CallStarted(), (synthesize(1, "One two three."),)),
        Step(1.1, ev.PlaybackStarted(1), ()),
        Step(1.5, ev.CallClosed("hangup"), ()),
    ])  # fmt: skip
    assert seen.said[0].cut
    assert seen.sounds == [(1.1, 1.5)]


def test_tools_handoffs_music_and_the_end_are_known():
    seen = observe([
        Step(1.0, ev.CallStarted(), (cmd.RunTool(1, 1, "book", '{"a": 1}'), cmd.RunTool(2, 1, "odd", "no json"))),
        Step(2.0, ev.ToolDone(1, True), (cmd.HandOff(3, "sales", "rule"),)),
        Step(2.5, ev.ToolDone(2, False, cause="timeout"), ()),
        Step(3.0, ev.HandoffUpdate(3, "calling", "sales"), (cmd.Hold(True),)),
        Step(9.0, ev.HandoffUpdate(3, "refused", "sales", cause="busy"), (cmd.Hold(False),)),
        Step(9.5, ev.HandoffUpdate(3, "go", "desk"), (cmd.EndCall("transfer", "rule", "desk"),)),
    ])  # fmt: skip
    assert [(run.tool, run.arguments, run.outcome) for run in seen.tools] == [
        ("book", {"a": 1}, "ok"), ("odd", "no json", "timeout"),
    ]  # fmt: skip
    assert [gone.target for gone in seen.handed] == ["desk"]
    assert seen.sounds == [(3.0, 9.0)]
    assert (seen.ended.outcome, seen.ended.reason, seen.ended.target) == ("transfer", "rule", "desk")


def test_silence_counts_up_to_the_last_sound_or_to_the_end_without_one():
    seen = Observation(sounds=[(4.0, 5.0), (1.0, 3.0)])
    assert seen.silence(0.0, 10.0) == 1.0
    assert seen.silence(2.0, 10.0) == 1.0
    assert seen.silence(5.0, 9.0) == 4.0
    assert seen.silence(0.5, 3.5) == 0.5
    assert Observation().silence(1.0, 3.0) == 2.0


def test_a_step_is_in_force_until_the_next_one_begins():
    seen = Observation(marks=[Mark(-1, 0, 0), Mark(1, 5, 6), Mark(4, 9, 9)], until=20)
    assert [seen.window(step)[0].step for step in range(6)] == [-1, 1, 1, 1, 4, 4]
    assert [seen.window(step)[1] for step in (0, 3, 5)] == [5, 9, 20]


def test_the_conversation_is_told_in_order_with_what_was_misheard():
    seen = observe([
        Step(10.0, ev.CallStarted(), (synthesize(1, "Hello."), synthesize(2, "One moment.", "filler"))),
        Step(10.1, ev.PlaybackStarted(1), ()),
        Step(11.0, ev.PlaybackFinished(1), ()),
        Step(13.0, ev.TranscriptReady(1, "book a sir vice"), (cmd.RunTool(1, 1, "book", "{}"),)),
        Step(13.5, ev.PlaybackStarted(2), ()),
        Step(14.0, ev.PlayoutCut((ev.HeardSegment(2, "One", False),)), (cmd.EndCall("fallback", "x"),)),
    ])  # fmt: skip
    seen.marks.append(Mark(0, 12.0, 12.9))
    told = conversation(seen, {0: "book a service"})
    assert [(round(line.at, 1), line.who, line.text, line.note) for line in told] == [
        (0.1, "agent", "Hello.", ""),
        (2.0, "caller", "book a service", "heard as: book a sir vice"),
        (3.0, "tool", "book", "not waited for"),
        (3.5, "filler", "One", "cut; not heard: moment."),
        (4.0, "end", "fallback (x)", ""),
    ]
