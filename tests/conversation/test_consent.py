"""The opening: the caller is told who speaks, and is recorded only where he was told, or said yes."""

from __future__ import annotations

import dataclasses

import pytest

from tests.conversation.stage import RULED, Stage
from voicebridge.conversation import events as ev
from voicebridge.conversation.core import Conversation
from voicebridge.conversation.form import Understood

MACHINE = "You are speaking with an automated assistant."
ASKING = dataclasses.replace(RULED, disclosure=MACHINE, recording_consent="ask")
ASKED_S = 5.0
"""By then the question has been heard, and nobody is missed yet."""
ASK = ASKING.lines.record_ask


@dataclasses.dataclass
class Recorded(Stage):
    def __post_init__(self) -> None:
        super().__post_init__()
        self.core = Conversation(self.agent, recorded=True)


def opened(agent, answer="", **more):
    return Recorded(agent, parse=lambda _: Understood(answer=answer), **more).start()


def texts(stage):
    return [text.strip() for text in stage.spoken()]


def test_nothing_is_asked_where_nothing_is_recorded():
    stage = Stage(ASKING).start().run(15)
    assert texts(stage)[:2] == [MACHINE, RULED.greeting]
    assert not stage.core.may_record


def test_it_is_announced_and_recorded_from_the_beginning():
    stage = opened(dataclasses.replace(ASKING, recording_consent="announce"))
    assert stage.core.may_record
    stage.run(15)
    assert texts(stage)[:3] == [MACHINE, ASKING.lines.record_announce, RULED.greeting]


@pytest.mark.parametrize(("answer", "given"), [("yes", True), ("no", False)])
def test_an_answer_is_what_counts(answer, given):
    stage = opened(ASKING, answer).run(ASKED_S)
    assert texts(stage)[:2] == [MACHINE, ASK]
    assert not stage.core.may_record
    assert stage.core.question == "consent"
    stage.caller(answer)
    stage.run(6)
    assert (stage.core.consent.given, stage.core.may_record) == (given, given)
    assert texts(stage)[2] == RULED.greeting
    assert stage.core.question == ""


def test_silence_is_no_consent():
    stage = opened(ASKING).run(40)
    assert stage.core.consent == dataclasses.replace(stage.core.consent, asked=True, given=False)
    assert RULED.greeting in texts(stage)


def test_who_says_what_he_wants_is_answered_and_not_recorded():
    stage = opened(ASKING).run(ASKED_S)
    stage.caller("when are you open")
    stage.run(8)
    assert stage.core.consent.given is False
    assert RULED.greeting not in texts(stage)
    assert len(texts(stage)) > 2


def test_a_yes_before_the_question_was_heard_is_none():
    stage = opened(ASKING, "yes").run(0.5)
    stage.caller("yes hello are you there")
    stage.run(4)
    assert stage.core.consent.given is None
    assert ASK in texts(stage)[-1]


@pytest.mark.parametrize(("key", "given"), [("1", True), ("2", False), ("0", False)])
def test_keys_answer_too(key, given):
    stage = opened(ASKING).run(ASKED_S)
    stage.tell(ev.Dtmf(key))
    stage.run(4)
    assert stage.core.consent.given is given
