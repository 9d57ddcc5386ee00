"""A form from the first question to the tool's arguments."""

from __future__ import annotations

import json

from voicebridge.conversation.agent import Lines
from voicebridge.conversation.filling import Ask, Filling, GiveUp, Leave, Run, again, begin, go_on
from voicebridge.conversation.form import Form, Slot, SlotValue, Understood

LINES = Lines()
DAY, TIME = Slot("day", "date", ask=("Which day?", "What day?")), Slot("time", "time", ask=("What time?",))
FORM = Form("book", "book", (DAY, TIME, Slot("note", optional=True)), fixed=(("shop", "north"),))
CONFIRM = "A booking on {day} at {time}. Right?"
TUESDAY, THREE = SlotValue("day", "2026-12-01", "Tuesday"), SlotValue("time", "15:00", "three")


def start(*values: SlotValue, confirm: str = CONFIRM):
    return begin(FORM, Understood(values), lines=LINES, confirm=confirm)


def say(step, *values: SlotValue, text: str = "", confirm: str = CONFIRM, **said):
    return go_on(step.filling, Understood(values, **said), text, lines=LINES, confirm=confirm)


def test_each_missing_slot_is_asked_for_then_all_is_confirmed():
    step = start()
    assert (step.text, step.filling.asked) == ("Which day?", "day")
    step = say(step, TUESDAY)
    assert (step.text, step.filling.asked) == ("What time?", "time")
    step = say(step, THREE)
    assert step.text == "A booking on Tuesday at three. Right?"
    step = say(step, answer="yes")
    assert isinstance(step, Run)
    assert json.loads(step.filling.arguments()) == {"shop": "north", "day": "2026-12-01", "time": "15:00"}


def test_what_is_said_at_once_is_not_asked_for():
    assert start(TUESDAY).text == "What time?"
    assert start(THREE, TUESDAY).text == "A booking on Tuesday at three. Right?"
    assert isinstance(start(THREE, TUESDAY, confirm=""), Run)


def test_no_with_a_value_repairs_and_is_confirmed_again():
    step = say(start(TUESDAY, THREE), SlotValue("day", "2026-12-03", "Thursday"), answer="no")
    assert step.text == "A booking on Thursday at three. Right?"
    assert json.loads(say(step, answer="yes").filling.arguments())["day"] == "2026-12-03"


def test_no_alone_asks_what_to_change_and_takes_a_slots_name_or_a_value():
    step = say(start(TUESDAY, THREE), answer="no")
    assert step.text == LINES.what_instead
    assert say(step, text="the time please").text == "What time?"
    assert say(step, SlotValue("time", "16:00", "four")).text == "A booking on Tuesday at four. Right?"
    assert say(start(TUESDAY, THREE), answer="no", text="no, the time is wrong").filling.asked == "time"


def test_yes_wins_nothing_where_a_question_is_open():
    step = say(start(), answer="yes")
    assert isinstance(step, Ask)
    assert not step.understood
    assert step.filling.asked == "day"


def test_misses_are_counted_for_a_slot_and_lead_to_a_human():
    step = start()
    step = say(step)
    assert step.text == "Sorry, I did not get that. What day?"
    step = say(step)
    assert isinstance(step, Ask)
    assert isinstance(say(step), GiveUp)
    assert say(say(start(TUESDAY)), THREE).filling.misses == 0


def test_misses_at_the_confirmation_lead_to_a_human_too():
    step = say(start(TUESDAY, THREE))
    assert step.text == LINES.yes_or_no
    assert isinstance(say(say(step)), GiveUp)


def test_the_caller_may_leave_it_anywhere():
    for step in (start(), start(TUESDAY, THREE), say(start(TUESDAY, THREE), answer="no")):
        left = say(step, cancel=True)
        assert isinstance(left, Leave)
        assert left.text == FORM.cancelled


def test_half_a_number_is_waited_for_and_put_together():
    form = Form("call", "call", (Slot("number", "digits", ask=("Which number?",)),))
    step = begin(form, Understood(), lines=LINES, confirm="")
    step = go_on(step.filling, Understood(partial="555"), "five five five", lines=LINES, confirm="")
    assert (step.text, step.filling.partial, step.filling.misses) == (LINES.go_on, "555", 0)
    done = go_on(
        step.filling, Understood((SlotValue("number", "5550142", "5 5 5"),)), "0142", lines=LINES, confirm=""
    )
    assert isinstance(done, Run)


def test_what_is_no_digit_after_half_a_number_is_a_miss_and_all_of_it_is_asked_for_again():
    form = Form("call", "call", (Slot("number", "digits", ask=("Which number?",)),))
    step = begin(form, Understood(), lines=LINES, confirm="")
    step = go_on(step.filling, Understood(partial="555"), "five five five", lines=LINES, confirm="")
    step = go_on(step.filling, Understood(), "what number", lines=LINES, confirm="")
    assert (step.filling.partial, step.filling.misses) == ("", 1)


def test_a_form_without_slots_only_asks_for_a_yes():
    form = Form("confirm x", "x", confirm="Shall I?")
    asking = Filling(form, stage="confirming", raw='{"a": 1}')
    assert again(asking, confirm="Shall I?", lines=LINES) == "Shall I?"
    assert isinstance(go_on(asking, Understood(answer="no"), "no", lines=LINES, confirm="Shall I?"), Leave)
    done = go_on(asking, Understood(answer="yes"), "yes", lines=LINES, confirm="Shall I?")
    assert done.filling.arguments() == '{"a": 1}'


def test_values_for_slots_that_the_form_has_not_are_dropped():
    assert start(SlotValue("colour", "red", "red")).filling.values == ()


def test_the_open_question_can_be_asked_once_more():
    assert again(start().filling, confirm=CONFIRM, lines=LINES) == "Which day?"
    assert again(start(TUESDAY, THREE).filling, confirm=CONFIRM, lines=LINES) == "A booking on Tuesday at three. Right?"
    assert again(say(start(TUESDAY, THREE), answer="no").filling, confirm=CONFIRM, lines=LINES) == LINES.what_instead
