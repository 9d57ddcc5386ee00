"""The core's turn-taking, on a virtual clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conversation.stage import AGENT, RULED, Engine, Stage
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import Rule
from voicebridge.conversation.core import Conversation
from voicebridge.conversation.state import TRANSITIONS, Agent, IllegalMove, Move, moved


def test_greets_listens_answers_from_the_model():
    stage = Stage().start().run(2)
    assert stage.spoken() == ["Hello and welcome."]
    stage.caller("what do you sell").run(5)
    assert "".join(stage.spoken()[1:]).split() == "Sure, we can do that for you. Anything else?".split()
    asked = stage.commands(cmd.Generate)[0]
    assert [(message.role, message.text) for message in asked.messages] == [
        ("system", "Be brief."),
        ("assistant", "Hello and welcome."),
        ("user", "what do you sell"),
    ]
    assert stage.core.state is Agent.IDLE


def test_nothing_is_heard_before_the_endpoint_though_all_is_ready():
    stage = Stage(stt=Engine(0.05), llm=Engine(0.03)).start().run(2).caller("what do you sell")
    stopped = stage.now - 0.05
    stage.run(3)
    begins = next(at for at, kind, _ in stage.said if kind == "answer")
    assert begins == pytest.approx(stopped + AGENT.limits.endpoint_s, abs=0.02)
    ready = next(at for at, event in stage.fed if isinstance(event, ev.SegmentReady) and at > stopped)
    assert ready < begins


def test_a_caller_who_goes_on_throws_the_draft_away_and_is_answered_once_for_all_of_it():
    stage = Stage().start().run(2).caller("i would like").run(0.2)
    assert stage.commands(cmd.Transcribe)[-1].purpose == "speculative"
    stage.caller("i would like a new bicycle", seconds=1.0).run(6)
    said = [message.text for message in stage.commands(cmd.Generate)[-1].messages if message.role == "user"]
    assert said == ["i would like a new bicycle"]
    assert len([command for command in stage.commands(cmd.Listen)]) == 1
    assert [exchange.caller for exchange in stage.core.history.exchanges] == ["", "i would like a new bicycle"]


def test_a_breath_after_the_question_costs_the_draft_nothing():
    stage = Stage().start().run(2).caller("what do you sell").run(0.25)
    stage.begins("what do you sell").run(0.08).stops(0.05).run(5)
    assert len(stage.commands(cmd.Generate)) == 1
    assert len([1 for _, kind, _ in stage.said if kind == "answer"]) >= 1


def test_an_unfinished_sentence_is_given_more_time():
    stage = Stage().start().run(2).caller("i would like to buy a").run(0.5)
    assert not [1 for _, kind, _ in stage.said if kind == "answer"]
    stage.run(2)
    assert [1 for _, kind, _ in stage.said if kind == "answer"]


def test_barge_in_stops_at_once_and_history_holds_the_words_heard():
    stage = Stage(answer=lambda wanted: ["one two three four five six seven eight nine ten eleven twelve."])
    stage.start().run(2).caller("count please").run(0.31 + 4 * 0.25)
    stage.begins("stop that now")
    assert isinstance(stage.log[-1][1], cmd.SetTimer) and stage.commands(cmd.PausePlayout)
    stage.run(0.8).stops().run(6)
    assert stage.commands(cmd.FlushPlayout)
    heard = stage.core.history.exchanges[1].agent().split()
    assert 2 <= len(heard) <= 6 and heard == "one two three four five six seven".split()[: len(heard)]
    assert stage.core.history.exchanges[2].caller == "stop that now"
    prompt = stage.commands(cmd.Generate)[-1].messages
    assert prompt[-2].text.split() == heard and prompt[-1].text == "stop that now"


@pytest.mark.parametrize("noise", ["uh-huh", "", "mm-hmm", "okay"])
def test_a_false_alarm_lets_the_agent_go_on(noise: str):
    stage = Stage(answer=lambda wanted: ["one two three four five six seven eight nine ten."])
    stage.start().run(2).caller("count please").run(1.5)
    stage.caller(noise, seconds=0.3).run(8)
    assert stage.commands(cmd.ResumePlayout) and not stage.commands(cmd.FlushPlayout)
    assert stage.core.history.exchanges[1].agent() == "one two three four five six seven eight nine ten."
    assert stage.core.state is Agent.IDLE


def test_barge_in_during_the_greeting():
    stage = Stage().start().run(0.3).caller("when are you open today", seconds=1.0).run(6)
    assert stage.core.history.exchanges[0].agent() in ("", "Hello", "Hello and")
    assert stage.core.history.exchanges[1].caller == "when are you open today"


def test_noise_that_goes_on_does_not_silence_the_agent():
    stage = Stage(answer=lambda wanted: ["word " * 40 + "."])
    stage.start().run(2).caller("talk to me").run(1.0)
    before = stage.now
    stage.begins("").run(4)  # music: a voice, but no words
    assert stage.silence_since(before) <= 1.5
    assert stage.commands(cmd.ResumePlayout)


def test_no_input_is_asked_twice_then_the_call_ends():
    stage = Stage().start().run(40)
    assert stage.spoken() == ["Hello and welcome.", "Still there?", "Still there?", "Goodbye then."]
    assert stage.commands(cmd.EndCall) == [cmd.EndCall("hangup", "no_input")]
    assert stage.core.state is Agent.ENDED


def test_a_voice_in_the_last_goodbye_keeps_the_call():
    stage = Stage().start()
    while stage.said[-1:] != [] and stage.said[-1][2] != "Goodbye then." or not stage.said:
        stage.run(0.1)
    stage.caller("wait i am here", seconds=0.9).run(5)
    assert not stage.commands(cmd.EndCall)
    assert stage.core.history.exchanges[-1].caller == "wait i am here"


def test_the_longest_call_ends_with_a_word_and_the_fallback():
    agent = replace(AGENT, limits=replace(AGENT.limits, call_s=6.0))
    stage = Stage(agent).start().run(20)
    assert stage.said[-1][1] == "goodbye"
    assert stage.commands(cmd.EndCall) == [cmd.EndCall("fallback", "call_length")]


def test_rules_answer_without_a_model():
    stage = Stage(RULED).start().run(2).caller("when are you open").run(5)
    assert stage.spoken()[-1] == "We are open from nine to five."
    assert not stage.commands(cmd.Generate)


def test_what_no_rule_covers_is_admitted_and_small_talk_goes_to_the_model():
    stage = Stage(RULED).start().run(2).caller("do you sell fish").run(5)
    assert stage.spoken()[-1] == "No idea." and not stage.commands(cmd.Generate)
    stage.caller("hello").run(5)
    assert len(stage.commands(cmd.Generate)) == 1


def test_a_goodbye_rule_hangs_up_after_its_words():
    stage = Stage(RULED).start().run(2).caller("goodbye", seconds=0.6).run(5)
    assert stage.spoken()[-1] == "Goodbye."
    assert stage.commands(cmd.EndCall) == [cmd.EndCall("hangup", "rule_bye")]
    ended = next(at for at, command in stage.log if isinstance(command, cmd.EndCall))
    assert ended >= stage.sound[-1][1]


def test_a_key_stops_speech_and_is_answered():
    stage = Stage(RULED).start().run(0.4).tell(ev.Dtmf("1")).run(3)
    assert stage.spoken()[-1] == "You pressed one."
    assert stage.commands(cmd.FlushPlayout)


def test_a_slow_model_is_covered_and_then_answers():
    stage = Stage(llm=Engine(1.0)).start().run(2).caller("what do you sell")
    stopped = stage.now
    stage.run(4)
    assert "One moment." in stage.spoken()
    assert stage.silence_since(stopped) <= 1.5 + AGENT.limits.endpoint_s
    assert any(kind == "answer" for _, kind, _ in stage.said)


@pytest.mark.parametrize("dead", ["stt", "llm"])
def test_a_dead_engine_leads_to_the_fallback_with_a_word(dead: str):
    stage = Stage().start().run(2)
    setattr(stage, dead, Engine(dead=True))
    stage.caller("what do you sell").run(10)
    assert stage.said[-1][1] == "trouble"
    end = stage.commands(cmd.EndCall)
    assert end == [cmd.EndCall("fallback", "no_answer_in_time")]


def test_a_failing_synthesis_of_the_apology_still_ends_at_the_fallback():
    stage = Stage(tts=Engine(fails="crashed")).start().run(3)
    assert stage.commands(cmd.EndCall)[0].outcome == "fallback"


def test_without_a_model_rules_go_on_and_the_unknown_gets_an_apology_and_the_fallback():
    stage = Stage(replace(RULED, model_scope="open"), llm=Engine(fails="unreachable")).start().run(2)
    stage.caller("when are you open").run(6)
    assert stage.spoken()[-1] == "We are open from nine to five."
    assert stage.commands(cmd.EndCall) == []
    stage.caller("tell me a story").run(8)
    assert stage.said[-1][1:] == ("trouble", stage.agent.lines.trouble)
    (end,) = stage.commands(cmd.EndCall)
    assert (end.outcome, end.reason) == ("fallback", "llm_unreachable")


def test_without_a_voice_what_was_rendered_earlier_is_heard_and_the_rest_leads_to_the_fallback():
    class Fixed(Stage):
        """Fixed lines are on disk, as in call.speech.Mouth."""

        def _answer(self, engine, good, bad):
            made = self._made.get(getattr(bad, "segment", -1))
            fixed = made is not None and made.text in self.agent.fixed_lines()
            super()._answer(Engine(0.02) if fixed else engine, good, bad)

    stage = Fixed(replace(RULED, model_scope="open"), tts=Engine(fails="crashed")).start().run(2)
    stage.caller("when are you open").run(6)
    assert stage.spoken() == ["Hello and welcome.", "We are open from nine to five."]
    stage.caller("tell me a story").run(8)
    assert stage.said[-1][1:] == ("trouble", stage.agent.lines.trouble)
    (end,) = stage.commands(cmd.EndCall)
    assert (end.outcome, end.reason) == ("fallback", "tts_crashed")


def test_a_model_that_dies_in_the_middle_goes_on_behind_its_words():
    stage = Stage()
    stage.start().run(2).caller("tell me a story").run(0.30)
    first = stage.commands(cmd.Generate)[0]
    stage.tell(ev.ModelText(first.generation, "")).tell(ev.ModelFailed(first.generation, "crashed")).run(6)
    again = stage.commands(cmd.Generate)[1]
    so_far = "".join(e.text for _, e in stage.fed if isinstance(e, ev.ModelText) and e.generation == first.generation
                     and _ <= stage.fed[0][0] + 99)
    assert again.messages[-1].role == ("assistant" if so_far.strip() else "user")


def test_stale_results_are_dropped():
    stage = Stage().start().run(2).caller("what do you sell").run(6)
    quiet = len(stage.log)
    for event in (
        ev.TranscriptReady(999, "x"), ev.RuleMatched(999, "x"), ev.ModelText(999, "x"), ev.ModelDone(999),
        ev.ModelFailed(999, "x"), ev.SegmentReady(999, 1.0), ev.SegmentFailed(999, "x"), ev.PlaybackStarted(999),
        ev.PlaybackFinished(999), ev.TranscriptFailed(999, "x"),
    ):
        stage.tell(event)
    assert len(stage.log) == quiet


def test_nothing_happens_after_the_end():
    stage = Stage().start().run(1).tell(ev.CallClosed("hangup"))
    quiet = len(stage.log)
    stage.run(60).caller("hello hello").run(5)
    assert len(stage.log) == quiet and stage.core.ended_by == "hangup"


def test_the_table_covers_every_state_and_refuses_the_rest():
    assert set(TRANSITIONS) == set(Agent)
    for state in Agent:
        for move in Move:
            if move in TRANSITIONS[state]:
                assert isinstance(moved(state, move), Agent)
            else:
                with pytest.raises(IllegalMove):
                    moved(state, move)


_acts = st.one_of(
    st.tuples(st.just("run"), st.floats(0.01, 4.0)),
    st.tuples(
        st.just("say"), st.sampled_from(["", "uh-huh", "when are you open", "stop it please", "goodbye", "hello"])
    ),
    st.tuples(st.just("begin"), st.sampled_from(["", "and then i", "yes"])),
    st.tuples(st.just("stop"), st.floats(0.0, 2.0)),
    st.tuples(st.just("key"), st.sampled_from("19*")),
    st.tuples(st.just("stt"), st.sampled_from([Engine(0.1), Engine(2.0), Engine(fails="x"), Engine(dead=True)])),
    st.tuples(st.just("llm"), st.sampled_from([Engine(0.1), Engine(1.5), Engine(fails="x"), Engine(dead=True)])),
    st.tuples(st.just("tts"), st.sampled_from([Engine(0.02), Engine(1.5), Engine(fails="x")])),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([AGENT, RULED]), st.lists(_acts, max_size=25))
def test_whatever_happens_no_illegal_move_and_the_agent_is_never_silent_on_its_turn(agent, acts):
    stage = Stage(agent).start()
    for act, value in acts:
        match act:
            case "run":
                stage.run(value)
            case "say":
                stage.caller(value, seconds=0.5)
            case "begin":
                stage.begins(value)
            case "stop":
                stage.stops(value)
            case "key":
                stage.tell(ev.Dtmf(value))
            case _:
                setattr(stage, act, value)
    stage.stt, stage.llm, stage.tts = Engine(0.1), Engine(0.1), Engine(0.02)
    stage.stops().run(90)
    assert stage.core.state is Agent.ENDED, "a silent caller's call must end"
    for message in (m for command in stage.commands(cmd.Generate) for m in command.messages):
        assert message.text.strip()


@settings(max_examples=60, deadline=None)
@given(st.lists(_acts, max_size=15))
def test_a_replay_decides_the_same(acts):
    stage = Stage().start()
    for act, value in acts:
        if act == "run":
            stage.run(value)
        elif act == "say":
            stage.caller(value, seconds=0.5)
    again = Conversation(stage.agent)
    replayed = [command for at, event in stage.fed for command in again.handle(event, at)]
    assert replayed == [command for _, command in stage.log] or sorted(map(repr, replayed)) == sorted(
        repr(command) for _, command in stage.log
    )


def test_noises_whose_transcript_is_slow_leave_the_turn_to_the_caller():
    stage = Stage().start().caller("", seconds=0.5)
    stage.stt = Engine(2.0)
    stage.run(1.5).caller("", seconds=0.5).run(10)
    assert stage.core.state is not Agent.THINKING
    assert "Still there?" in stage.spoken()


UNSURE = replace(RULED, lines=replace(RULED.lines, perhaps="Perhaps this helps."))


def test_what_is_only_perhaps_a_rule_gets_its_words_with_a_perhaps():
    stage = Stage(UNSURE, sure=False).start().run(2).caller("when are you open").run(5)
    assert stage.spoken()[1:] == ["Perhaps this helps.", "We are open from nine to five."]


@pytest.mark.parametrize("said", ["goodbye", "hello"])
def test_nobody_is_hung_up_on_and_no_model_is_let_loose_on_a_perhaps(said):
    stage = Stage(UNSURE, sure=False).start().run(2).caller(said, seconds=0.6).run(5)
    assert stage.spoken()[1:2] == ["No idea."]
    assert not stage.commands(cmd.EndCall) and not stage.commands(cmd.Generate)


def test_an_agent_without_a_perhaps_says_that_it_does_not_know():
    agent = replace(UNSURE, lines=replace(RULED.lines, perhaps=""))
    stage = Stage(agent, sure=False).start().run(2).caller("when are you open").run(5)
    assert stage.spoken()[1] == "No idea."


def test_a_rule_can_stand_for_what_nobody_knows():
    agent = replace(RULED, rules=(*RULED.rules, Rule("not_covered", ("do you sell fish",), action="unknown")))
    stage = Stage(agent).start().run(2).caller("do you sell fish").run(5)
    assert stage.spoken()[1] == "No idea."


def test_a_caller_who_is_only_half_understood_gets_more_time_before_we_say_so():
    def answered(sure: bool) -> float:
        stage = Stage(RULED, sure=sure).start().run(2).caller("when are you open")
        stopped = stage.now - 0.05
        stage.run(3)
        return stage.said[1][0] - stopped

    assert answered(True) == pytest.approx(RULED.limits.endpoint_s, abs=0.02)
    assert answered(False) == pytest.approx(RULED.limits.endpoint_unsure_s, abs=0.02)


def test_a_caller_who_goes_on_as_soon_as_we_answer_had_not_finished():
    stage = Stage(RULED).start().run(2).caller("i have a flat").run(1.0)
    assert stage.spoken()[1:] == ["No idea."], "answered too soon"
    stage.caller("when are you open", seconds=1.0).run(3)
    asked = [command.text for command in stage.commands(cmd.Match)]
    assert asked == ["i have a flat", "i have a flat when are you open"]
    assert [exchange.caller for exchange in stage.core.history.exchanges][1:3] == ["i have a flat", "when are you open"]


def test_a_caller_who_interrupts_later_has_begun_something_new():
    long = replace(RULED, rules=(Rule("hours", ("when are you open",), ("We are open " + "word " * 20 + ".",)),))
    stage = Stage(long).start().run(2).caller("when are you open").run(3.0)
    stage.caller("do you sell fish", seconds=1.0).run(3)
    assert [command.text for command in stage.commands(cmd.Match)][-1] == "do you sell fish"


def test_a_sentence_that_the_model_had_no_tokens_left_for_is_not_begun():
    stage = Stage(answer=lambda wanted: ["We do sell those here today. ", "And I can also"])
    stage.start().run(2).caller("what do you sell").run(5)
    assert stage.spoken()[1:2] == ["We do sell those here today."] and "And I can also" not in " ".join(stage.spoken())
    alone = Stage(answer=lambda wanted: ["And I can also"]).start().run(2).caller("what do you sell").run(5)
    assert "And I can also" in alone.spoken(), "a fragment is better than nothing"
