"""What the core makes of a judge who tells from the sound whether the caller has finished."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conversation.stage import AGENT, RULED, Engine, Stage
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec, Rule
from voicebridge.conversation.form import Form, Slot, SlotValue, Understood

LIMITS = AGENT.limits
ASKED = "When are you open?"
WHOLE = "What are your opening hours?"
RULES = replace(RULED, rules=(*RULED.rules, Rule("asked", (WHOLE.lower().strip("?"),), ("From nine to five.",))))


def answered_after(text: str = ASKED, agent: AgentSpec = RULES, **stage: object) -> float:
    """From the last voice to the answer."""
    played = Stage(agent, **stage).start().run(2).caller(text, seconds=1.0)
    stopped = played.now - 0.05
    played.run(3)
    return played.said[1][0] - stopped


def test_who_sounds_unfinished_is_given_time_whatever_his_words() -> None:
    for text, otherwise in ((ASKED.strip("?"), LIMITS.endpoint_s), (WHOLE, LIMITS.endpoint_complete_s)):
        assert answered_after(text) == pytest.approx(otherwise, abs=0.02)
        assert answered_after(text, finished=0.1) == pytest.approx(LIMITS.endpoint_open_s, abs=0.02)
        late_but_in_time = Engine(0.13)  # behind the words, before the endpoint that they made sooner
        assert answered_after(text, finished=0.1, judge=late_but_in_time, stt=Engine(0.05)) == pytest.approx(
            LIMITS.endpoint_open_s, abs=0.02
        )


@pytest.mark.parametrize("finished", [0.3, 0.6, 1.0])
def test_who_may_have_finished_is_answered_as_without_a_judge(finished: float) -> None:
    for text in (ASKED.strip("?"), WHOLE, "I would like a"):
        assert answered_after(text, finished=finished) == pytest.approx(answered_after(text), abs=0.001)


def test_what_is_low_is_the_agents_to_say() -> None:
    careful = replace(RULES, limits=replace(LIMITS, turn_open_below=0.7))
    never = replace(RULES, limits=replace(LIMITS, turn_open_below=0.0))
    assert answered_after(WHOLE, careful, finished=0.6) == pytest.approx(LIMITS.endpoint_open_s, abs=0.02)
    assert answered_after(WHOLE, never, finished=0.0) == pytest.approx(LIMITS.endpoint_complete_s, abs=0.02)


@pytest.mark.parametrize(
    "judge", [Engine(0.5), Engine(dead=True), Engine(fails="timeout")], ids=["late", "dead", "fails"]
)
def test_a_judge_who_is_late_or_fails_changes_nothing(judge: Engine) -> None:
    assert answered_after(WHOLE, finished=0.0, judge=judge) == pytest.approx(answered_after(WHOLE), abs=0.001)


def test_he_is_asked_once_a_pause_with_the_endpoint_as_his_deadline() -> None:
    stage = Stage(RULES, finished=1.0).start().run(2).caller("when are", seconds=0.5)
    first = stage.now - 0.05
    stage.run(0.2).caller("you open", seconds=0.5)
    second = stage.now - 0.05
    stage.run(2)
    asked = stage.commands(cmd.JudgeTurn)
    assert [one.utterance for one in asked] == [1, 1]
    assert [one.deadline for one in asked] == pytest.approx([first + LIMITS.endpoint_s, second + LIMITS.endpoint_s])
    assert asked[0].request != asked[1].request
    assert Stage(RULES).start().run(2).caller(ASKED).run(2).commands(cmd.JudgeTurn) == []


def test_a_judgement_of_an_earlier_pause_is_dropped() -> None:
    stage = Stage(RULES, finished=1.0, judge=Engine(dead=True)).start().run(2).caller("when are", seconds=0.5).run(0.2)
    stage.caller(WHOLE, seconds=1.0)
    stopped = stage.now - 0.05
    stage.run(0.08)
    old, new = stage.commands(cmd.JudgeTurn)
    stage.tell(ev.TurnJudged(old.request, 0.0)).run(3)
    assert stage.said[1][0] - stopped == pytest.approx(LIMITS.endpoint_complete_s, abs=0.02)
    said = len(stage.said)
    stage.tell(ev.TurnJudged(new.request, 0.0)).run(1)  # the answer has been given
    assert len(stage.said) == said


def test_who_goes_on_after_all_is_understood_as_one() -> None:
    stage = Stage(AGENT, finished=0.05).start().run(2).caller("I would like to come", seconds=1.0).run(0.7)
    assert len(stage.said) == 1
    stage.caller("I would like to come on friday", seconds=1.0).run(4)
    assert [turn.caller for turn in stage.core.history.exchanges[1:]] == ["I would like to come on friday"]


def test_who_spells_is_not_judged_and_all_his_digits_are_taken_at_once() -> None:
    visit = Rule("visit", ("visit",), action="form", form="visit")
    form = Form("visit", "book", (Slot("code", "digits", ("Which code?",), least=4, most=4),), "{code}, right?")
    agent = replace(AGENT, rules=(visit,), forms=(form,), model_scope="none")
    code = Understood(values=(SlotValue("code", "1234", "1 2 3 4"),))
    heard = [Understood()]
    stage = Stage(agent, finished=0.0, parse=lambda _: heard[0]).start().run(2).caller("visit", seconds=0.6).run(3)
    judged, said, heard[0] = len(stage.commands(cmd.JudgeTurn)), len(stage.said), code
    stage.caller("1 2 3 4", seconds=1.0)
    stopped = stage.now - 0.05
    stage.run(3)
    assert judged == 1 and len(stage.commands(cmd.JudgeTurn)) == 1
    assert stage.said[said][0] - stopped == pytest.approx(LIMITS.endpoint_complete_s, abs=0.02)


def test_over_our_speech_the_words_decide_whose_turn_it_is() -> None:
    stage = Stage(AGENT, finished=0.0).start().run(0.2).caller("uh-huh", seconds=0.4).run(3)
    assert stage.core.turn == 1 and stage.said == stage.said[:1]  # the greeting went on, nobody was kept waiting
