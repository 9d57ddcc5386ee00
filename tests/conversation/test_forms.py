"""Forms in conversation: by speech, by keys, with digressions, repairs and barge-ins."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.conversation.stage import Stage
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec, Limits, Lines, Rule
from voicebridge.conversation.form import Form, Slot, SlotValue, Understood
from voicebridge.conversation.toolspec import ToolSpec

BOOK = Form(
    "booking", "book",
    (
        Slot("day", "date", ask=("Which day?",)),
        Slot("time", "time", ask=("What time?",)),
        Slot("phone", "phone", ask=("Your number?",), least=4, most=6),
    ),
    confirm="{day} at {time}, number {phone}. Right?",
    done=("Booked for {day}, number {id}.",),
)
AGENT = AgentSpec(
    name="desk",
    greeting="Hello.",
    rules=(
        Rule("book", ("i want to book",), action="form", form="booking"),
        Rule("hours", ("when are you open",), ("From nine to five.",)),
        Rule("human", ("a human please",), action="handoff"),
    ),
    forms=(BOOK,),
    toolbox=(ToolSpec("book", "Book.", "{}", consequential=True),),
    tools=("book",),
    targets=("desk",),
    human="desk",
    model_scope="none",
    lines=Lines(("One moment.",), unknown=("No idea.",), anything_else="Anything else?"),
    limits=Limits(call_s=300.0),
)
WORDS = {"tuesday": SlotValue("day", "2026-12-01", "Tuesday"), "thursday": SlotValue("day", "2026-12-03", "Thursday"),
         "three": SlotValue("time", "15:00", "three")}


def parse(wanted: cmd.Parse) -> Understood:
    """As `voicebridge.slots` does, for the few words of these tests."""
    if wanted.keys:
        keyed = SlotValue(wanted.asked, wanted.text, " ".join(wanted.text))
        return Understood((keyed,)) if len(wanted.text) >= 4 else Understood()
    words = f"{wanted.partial} {wanted.text}".lower().replace(",", "").split()
    values = {WORDS[word].slot: WORDS[word] for word in words if word in WORDS}
    digits = "".join(word for word in words if word.isdigit())
    if digits and len(digits) >= 4:
        values["phone"] = SlotValue("phone", digits, " ".join(digits))
    answer = "yes" if "yes" in words else "no" if "no" in words else ""
    partial = digits if digits and len(digits) < 4 else ""
    return Understood(tuple(values.values()), answer, "forget" in words, partial)


def ready(agent: AgentSpec = AGENT, **parts) -> Stage:
    booked = lambda w: [(0.1, ev.ToolDone(w.run, True, data='{"id": 17}'))]  # noqa: E731
    return Stage(agent, parse=parse, **{"tool": booked, **parts}).start().run(2.0)


def talk(stage: Stage, *utterances: str) -> Stage:
    for words in utterances:
        stage.caller(words).run(4)
    return stage


def test_a_booking_by_speech():
    stage = talk(ready(), "i want to book", "tuesday", "three", "55 512", "yes")
    assert stage.spoken() == [
        "Hello.", "Which day?", "What time?", "Your number?", "Tuesday at three, number 5 5 5 1 2. Right?",
        "Booked for Tuesday, number 17.", "Anything else?",
    ]
    (run,) = stage.commands(cmd.RunTool)
    assert json.loads(run.arguments) == {"day": "2026-12-01", "time": "15:00", "phone": "55512"}


def test_nothing_is_booked_before_the_yes():
    stage = talk(ready(), "i want to book", "tuesday", "three", "55 512", "no")
    assert stage.commands(cmd.RunTool) == []
    assert stage.spoken()[-1] == AGENT.lines.what_instead
    talk(stage, "thursday")
    assert stage.spoken()[-1].startswith("Thursday at three")
    talk(stage, "yes")
    assert json.loads(stage.commands(cmd.RunTool)[0].arguments)["day"] == "2026-12-03"


def test_what_came_with_the_first_utterance_is_not_asked_again():
    agent = replace(AGENT, rules=(replace(AGENT.rules[0], examples=("book tuesday at three",)), *AGENT.rules[1:]))
    assert talk(ready(agent), "book tuesday at three").spoken()[-1] == "Your number?"


def test_a_question_of_the_callers_is_answered_and_ours_asked_again():
    stage = talk(ready(), "i want to book", "when are you open")
    assert stage.spoken()[-2:] == ["From nine to five.", "Which day?"]
    assert talk(stage, "tuesday").spoken()[-1] == "What time?"


def test_a_human_can_be_had_in_the_middle_of_a_form():
    stage = talk(ready(), "i want to book", "a human please")
    (end,) = stage.commands(cmd.EndCall)
    assert (end.outcome, end.target) == ("transfer", "desk")


def test_forget_it_leaves_the_form():
    stage = talk(ready(), "i want to book", "tuesday", "forget it")
    assert stage.spoken()[-1] == f"{BOOK.cancelled} Anything else?"
    assert talk(stage, "when are you open").spoken()[-1] == "From nine to five."


def test_not_understood_too_often_leads_to_a_human():
    stage = talk(ready(), "i want to book", "mumble", "mumble mumble", "mumble once more").run(4)
    (end,) = stage.commands(cmd.EndCall)
    assert (end.outcome, end.target, end.reason) == ("transfer", "desk", "form_booking_not_understood")


def test_an_answer_that_was_not_finished_does_not_go_on_twice():
    """He pauses so long that the answer is drafted, and goes on before it is heard: the form is where it was."""
    stage = talk(ready(), "i want to book")
    stage.begins("tuesday").run(0.5).stops().run(0.15)
    stage.begins("tuesday no thursday").run(0.5).stops().run(4)
    assert stage.spoken()[-1] == "What time?"
    talk(stage, "three", "5 5 5 1 2")
    assert stage.spoken()[-1].startswith("Thursday at three")


def test_taken_back_after_the_endpoint_the_form_is_where_it_was():
    stage = talk(ready(tts=replace(Stage().tts, delay=1.0)), "i want to book")
    stage.begins("tuesday").run(0.5).stops().run(0.5)
    assert stage.core._form.asked == "time"
    stage.begins("tuesday no thursday").run(0.1)
    assert stage.core._form.asked == "day"


def test_half_a_number_waits_for_the_rest():
    stage = talk(ready(), "i want to book", "tuesday three", "5 5", "5 1 2")
    assert stage.spoken()[-2:] == [AGENT.lines.go_on, "Tuesday at three, number 5 5 5 1 2. Right?"]


OFFERING = replace(
    AGENT,
    rules=(replace(AGENT.rules[0], offer="Would you like to book?"),
           replace(AGENT.rules[2], offer="Do you want a person?"), AGENT.rules[1]),
)  # fmt: skip


def test_what_was_only_perhaps_meant_is_offered_and_done_after_a_yes():
    stage = talk(ready(OFFERING, sure=False), "i want to book")
    assert stage.spoken()[-1] == "Would you like to book?"
    assert talk(stage, "yes").spoken()[-1] == "Which day?"
    stage = talk(ready(OFFERING, sure=False), "a human please")
    assert stage.commands(cmd.HandOff) == []
    talk(stage, "yes")
    assert stage.commands(cmd.EndCall)[0].target == "desk"


def test_what_was_said_before_the_offer_counts_for_the_form():
    agent = replace(OFFERING, rules=(replace(OFFERING.rules[0], examples=("something on tuesday",)),))
    stage = talk(ready(agent, sure=False), "something on tuesday", "yes")
    assert stage.spoken()[-1] == "What time?"


def test_what_an_offer_was_made_for_is_forgotten_with_the_offer():
    refused = lambda w: [(0.0, ev.HandoffUpdate(w.handoff, "refused", cause="closed"))]  # noqa: E731
    human = replace(OFFERING.rules[1], examples=("somebody on tuesday",))
    stage = talk(ready(replace(OFFERING, rules=(OFFERING.rules[0], human)), sure=False, human=refused))
    talk(stage, "somebody on tuesday", "yes")
    stage.sure = True
    assert talk(stage, "i want to book").spoken()[-1] == "Which day?", "the Tuesday was about something else"


def test_an_offer_that_is_declined_is_left_and_something_new_is_answered():
    stage = talk(ready(OFFERING, sure=False), "i want to book", "no")
    assert stage.spoken()[-1] == "All right. Anything else?"
    stage = talk(ready(OFFERING, sure=False), "i want to book")
    stage.sure = True
    assert talk(stage, "when are you open").spoken()[-1] == "From nine to five."
    assert talk(stage, "yes").spoken()[-1] == "No idea.", "the offer is over"


def test_an_answer_may_lead_to_an_offer():
    rules = (OFFERING.rules[0], replace(OFFERING.rules[2], leads_to="book"))
    stage = talk(ready(replace(OFFERING, rules=rules)), "when are you open")
    assert stage.spoken()[-2:] == ["From nine to five.", "Would you like to book?"]
    assert talk(stage, "yes").spoken()[-1] == "Which day?"
    assert talk(stage, "when are you open").spoken()[-2:] == ["From nine to five.", "Which day?"], "one form at a time"


def test_who_wants_a_human_has_not_told_his_name():
    named = replace(BOOK, slots=(Slot("name", "name", ask=("Your name?",)),), confirm="")
    told = lambda w: Understood((SlotValue("name", "Somebody", "Somebody"),))  # noqa: E731
    stage = talk(ready(replace(AGENT, forms=(named,))), "i want to book")
    stage.parse = told
    talk(stage, "a human please")
    assert stage.commands(cmd.EndCall)[0].target == "desk"


def test_perhaps_a_human_is_offered_in_the_middle_of_a_form_which_goes_on_otherwise():
    stage = talk(ready(OFFERING), "i want to book")
    stage.sure = False
    talk(stage, "a human please")
    assert stage.spoken()[-1] == "Do you want a person?"
    talk(stage, "no")
    assert stage.spoken()[-1] == "All right. Which day?"
    talk(stage, "tuesday")
    assert stage.spoken()[-1] == "What time?"
    talk(stage, "a human please", "yes")
    assert stage.commands(cmd.EndCall)[0].target == "desk"


def test_a_text_is_any_words_but_those_that_surely_ask_something():
    note = Form("note", "book", (Slot("note", "text", ask=("What shall I note?",)),), confirm="{note}?")
    agent = replace(AGENT, forms=(note,), rules=(replace(AGENT.rules[0], form="note"), *AGENT.rules[1:]))
    stage = talk(ready(agent, score=0.9), "i want to book")
    stage.parse = lambda w: Understood((SlotValue("note", w.text, w.text),))
    assert talk(stage, "when are you open").spoken()[-2:] == ["From nine to five.", "What shall I note?"]
    stage.score = 0.7
    assert talk(stage, "when are you open").spoken()[-1] == "when are you open?"


def test_without_an_offer_a_perhaps_is_not_done():
    stage = talk(ready(sure=False), "i want to book")
    assert stage.spoken()[-1] == "No idea."


def test_who_spells_gets_more_time():
    stage = talk(ready(), "i want to book", "tuesday three")
    stage.begins("5 5 5 1").run(1.0).stops().run(0.9)
    assert stage.spoken()[-1] == "Your number?"
    assert stage.run(2).spoken()[-1].startswith("Tuesday")


def test_who_has_said_all_digits_waits_no_longer_than_others():
    stage = talk(ready(), "i want to book", "tuesday three")
    stage.begins("5 5 5 1 2 3").run(1.0).stops().run(0.4)
    assert stage.spoken()[-1].startswith("Tuesday")


def test_silence_asks_the_open_question_again():
    stage = talk(ready(), "i want to book").run(6)
    assert stage.spoken()[-2:] == ["Which day?", "Which day?"]


def keyed(stage: Stage, digits: str) -> Stage:
    for digit in digits:
        stage.tell(ev.Dtmf(digit)).run(0.2)
    return stage.run(0.5)


def at_number() -> Stage:
    return talk(ready(), "i want to book", "tuesday three")


def test_keys_stop_speech_and_fill_the_slot():
    stage = talk(ready(), "i want to book")
    stage.caller("tuesday three").run(0.6)
    keyed(stage, "5551#")
    assert stage.commands(cmd.FlushPlayout) != []
    assert stage.run(3).spoken()[-1] == "Tuesday at three, number 5 5 5 1. Right?"


def test_keys_are_complete_at_the_most_after_a_gap_or_with_the_terminator():
    assert keyed(at_number(), "555123").run(2).spoken()[-1].startswith("Tuesday")
    stage = keyed(at_number(), "5551")
    assert stage.run(1.5).spoken()[-1] == "Your number?"
    assert stage.run(3).spoken()[-1].startswith("Tuesday")


def test_a_zero_within_digits_is_a_digit():
    stage = keyed(at_number(), "5550#").run(3)
    assert stage.commands(cmd.EndCall) == []
    assert stage.spoken()[-1].startswith("Tuesday at three, number 5 5 5 0")


def test_too_few_keys_are_a_miss():
    assert keyed(at_number(), "55#").run(3).spoken()[-1] == "Sorry, I did not get that. Your number?"


def test_one_and_two_confirm_and_refuse():
    stage = keyed(keyed(at_number(), "5551#").run(1), "1").run(3)
    assert stage.spoken()[-2:] == ["Booked for Tuesday, number 17.", "Anything else?"]
    stage = keyed(keyed(at_number(), "5551#").run(1), "2").run(3)
    assert stage.spoken()[-1] == AGENT.lines.what_instead


def test_secrets_are_known_as_such():
    form = Form("pin", "book", (Slot("pin", "digits", ask=("Your PIN?",), least=4, most=4, secret=True),))
    agent = replace(AGENT, forms=(form,), rules=(replace(AGENT.rules[0], form="pin"), *AGENT.rules[1:]))
    stage = ready(agent)
    assert not stage.core.secret
    assert talk(stage, "i want to book").core.secret
    assert not stage.core.holds_secret
    keyed(stage, "4711").run(1)
    assert stage.core.holds_secret
    assert not stage.core.secret


def taken(agent: AgentSpec, *, say: str, times: int = 1) -> Stage:
    """The tool refuses so often, and then books."""
    left = [say] * times

    def tool(wanted: cmd.RunTool) -> list[tuple[float, ev.Event]]:
        if left:
            return [(0.1, ev.ToolDone(wanted.run, False, say=left.pop(), cause="error"))]
        return [(0.1, ev.ToolDone(wanted.run, True, data='{"id": 17}'))]

    return talk(ready(agent, tool=tool), "i want to book", "tuesday", "three", "55 512", "yes")


AGAIN = replace(AGENT, toolbox=(replace(AGENT.toolbox[0], failed="Not booked.", alternative="form booking"),))


def test_what_was_refused_with_a_reason_is_changed_and_tried_again():
    stage = talk(taken(AGAIN, say="That day is full. Which other day?"), "thursday")
    assert stage.spoken()[-2:] == ["That day is full. Which other day?", "Thursday at three, number 5 5 5 1 2. Right?"]
    talk(stage, "yes")
    assert stage.spoken()[-2:] == ["Booked for Thursday, number 17.", "Anything else?"]
    first, second = (json.loads(run.arguments) for run in stage.commands(cmd.RunTool))
    assert second == first | {"day": "2026-12-03"}


def test_what_was_refused_may_be_left():
    stage = talk(taken(AGAIN, say="That day is full."), "forget it")
    assert stage.spoken()[-1] == "All right, I leave it. Anything else?"
    assert stage.core._form is None


def test_what_failed_without_a_reason_is_not_begun_again():
    stage = taken(AGAIN, say="")
    assert stage.spoken()[-2:] == ["Not booked.", "Anything else?"]
    assert stage.core._form is None
