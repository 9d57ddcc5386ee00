"""Tools and handoffs: what runs, what the caller hears meanwhile, and what he is told."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.conversation.stage import AGENT, Stage
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec, Limits, Lines, Rule
from voicebridge.conversation.form import Form, Slot
from voicebridge.conversation.state import Agent
from voicebridge.conversation.toolspec import ToolCall, ToolSpec

LOOKUP = ToolSpec("lookup", "Find an order.", "{}", fillers=("Let me look that up.",), failed="No luck.")
DOER = AgentSpec(
    name="doer",
    greeting="Hello.",
    rules=(
        Rule("order", ("where is my order",), action="tool", tool="lookup", arguments={"id": 7},
             done=("It is {state}.",)),
        Rule("slow", ("look twice",), ("I'll look.",), action="tool", tool="lookup"),
        Rule("human", ("a human please",), ("Sure.",), action="handoff", target="desk"),
        Rule("hours", ("when are you open",), ("From nine.",)),
    ),
    toolbox=(LOOKUP, ToolSpec("other", "Other.", "{}")),
    tools=("lookup", "other"),
    targets=("desk", "sales"),
    human="desk",
    model_scope="none",
    lines=Lines(("One moment.",), unknown=("No idea.",)),
    limits=Limits(call_s=300.0),
)


def done_after(seconds: float, **result):
    return lambda wanted: [(seconds, ev.ToolDone(wanted.run, **{"ok": True, **result}))]


def ready(agent: AgentSpec = DOER, **parts) -> Stage:
    return Stage(agent, **parts).start().run(2.0)


def ended(stage: Stage) -> cmd.EndCall:
    (end,) = stage.commands(cmd.EndCall)
    return end


# ---- tools


def test_a_rule_runs_its_tool_at_the_endpoint_and_tells_the_result():
    stage = ready(tool=done_after(0.2, data='{"state": "on its way"}')).caller("where is my order").run(4)
    (run,) = stage.commands(cmd.RunTool)
    assert (run.tool, json.loads(run.arguments)) == ("lookup", {"id": 7})
    assert stage.spoken() == ["Hello.", "It is on its way."]


def test_nothing_runs_while_the_caller_may_still_go_on():
    stage = ready().begins("where is my order").run(1).stops().run(0.2)
    assert stage.commands(cmd.RunTool) == []
    assert stage.run(0.2).commands(cmd.RunTool) != []


def test_the_tools_own_words_go_before_the_template():
    stage = ready(tool=done_after(0.1, say="It is lost.", data='{"state": "x"}')).caller("where is my order").run(3)
    assert stage.spoken()[-1] == "It is lost."


def test_a_quick_tool_needs_no_filler():
    assert ready(tool=done_after(0.5, say="Found.")).caller("where is my order").run(3).spoken() == ["Hello.", "Found."]


def test_ten_seconds_of_tool_are_never_silent():
    stage = ready(tool=done_after(10, say="Found it at last."))
    stage.caller("where is my order")
    asked = stage.now
    stage.run(14)
    said = stage.spoken()
    assert said[1] == "Let me look that up."
    assert said[-1] == "Found it at last."
    assert len(set(said[2:-1])) >= 2, "fillers vary"
    assert stage.silence_since(asked) <= 1.5 + 2, "the end of the run is silent"
    fillers = [begins for begins, kind, _ in stage.said if kind == "filler"]
    assert fillers[0] - asked < 1.5


def test_silence_between_what_is_heard_is_bounded():
    stage = ready(tool=done_after(10, say="Found it at last."))
    stage.caller("where is my order")
    asked = stage.now
    stage.run(14)
    sound = [span for span in stage.sound if span[1] > asked]
    gaps = [after[0] - before[1] for before, after in zip(sound, sound[1:], strict=False)]
    assert max(gaps) <= 1.5


def test_progress_is_told():
    stage = ready(tool=lambda w: [(1.6, ev.ToolProgress(w.run, "I have found two.")), (6.0, ev.ToolDone(w.run, True))])
    stage.caller("where is my order").run(8)
    assert "I have found two." in stage.spoken()


def test_a_failed_tool_is_admitted_and_the_call_goes_on():
    stage = ready(tool=done_after(0.1, ok=False, cause="error")).caller("where is my order").run(4)
    assert stage.spoken() == ["Hello.", "No luck.", DOER.lines.anything_else]
    assert stage.caller("when are you open").run(3).spoken()[-1] == "From nine."


def test_two_failures_in_a_row_lead_to_a_human():
    stage = ready(tool=done_after(0.1, ok=False, cause="error"))
    stage.caller("where is my order").run(5).caller("where is my order").run(6)
    assert (ended(stage).outcome, ended(stage).target) == ("transfer", "desk")


def alternative(way: str) -> AgentSpec:
    message = Form("message", "other", (Slot("text", ask=("What shall I pass on?",)),))
    return replace(DOER, toolbox=(replace(LOOKUP, alternative=way), DOER.toolbox[1]), forms=(message,))


def test_a_failed_tools_alternative_is_offered():
    fails = lambda w: [(0.1, ev.ToolDone(w.run, w.tool == "other", say="" if w.tool != "other" else "By other."))]  # noqa: E731
    stage = ready(alternative("tool other"), tool=fails).caller("where is my order").run(4)
    assert stage.spoken()[1:] == ["No luck.", "By other."]
    stage = ready(alternative("form message"), tool=fails).caller("where is my order").run(4)
    assert stage.spoken()[1:] == ["No luck.", "What shall I pass on?"]
    stage = ready(alternative("handoff sales"), tool=fails).caller("where is my order").run(6)
    assert ended(stage).target == "sales"


def test_a_tool_that_never_ends_is_given_up():
    agent = replace(DOER, limits=replace(DOER.limits, tool_s=6.0))
    stage = ready(agent, tool=lambda w: []).caller("where is my order").run(12)
    assert stage.commands(cmd.CancelTool) != []
    assert "No luck." in stage.spoken()


def test_the_caller_may_speak_while_a_tool_works_and_hears_the_result_after_the_answer():
    stage = ready(tool=done_after(3.0, say="Found."))
    stage.caller("where is my order").run(0.6).caller("when are you open").run(8)
    said = [text for _, kind, text in stage.said if kind != "filler"]
    assert said[-2:] == ["From nine.", "Found."]
    assert stage.commands(cmd.CancelTool) == []


def test_a_noise_while_a_tool_works_leaves_no_silence():
    stage = ready(tool=done_after(6.0, say="Found."))
    stage.caller("where is my order").run(0.5)
    stage.begins("").run(0.2).stops(voiced=0.1)
    since = stage.now
    stage.run(8)
    sound = [span for span in stage.sound if span[1] > since]
    assert sound[0][0] - since <= 1.5
    assert stage.spoken()[-1] == "Found."


def test_a_barge_in_cancels_only_what_may_be_cancelled():
    for cancellable in (True, False):
        toolbox = (replace(LOOKUP, cancellable=cancellable),)
        stage = ready(replace(DOER, toolbox=toolbox), tool=done_after(4.0, say="Found."))
        stage.caller("look twice").run(0.5)
        assert stage.core.state is Agent.SPEAKING
        stage.caller("when are you open").run(9)
        assert (stage.commands(cmd.CancelTool) != []) is cancellable
        assert ("Found." in stage.spoken()) is not cancellable


def test_a_tool_may_end_the_call_or_hand_it_off():
    stage = ready(tool=done_after(0.1, say="Bye.", hang_up=True)).caller("where is my order").run(4)
    assert (ended(stage).outcome, stage.spoken()[-1]) == ("hangup", "Bye.")
    stage = ready(tool=done_after(0.1, say="Moment.", hand_off="sales")).caller("where is my order").run(5)
    assert (ended(stage).outcome, ended(stage).target) == ("transfer", "sales")


def test_a_tool_cannot_hand_off_to_where_the_agent_may_not():
    stage = ready(tool=done_after(0.1, say="Moment.", hand_off="0088123")).caller("where is my order").run(5)
    assert ended(stage).outcome == "fallback"
    assert stage.commands(cmd.HandOff) == []


def test_results_of_tools_that_nobody_waits_for_change_nothing():
    stage = ready()
    before = len(stage.log)
    stage.tell(ev.ToolDone(99, True, say="Late.")).tell(ev.ToolProgress(99, "Late.")).run(1)
    stage.tell(ev.HandoffUpdate(99, "go", "desk")).tell(ev.Parsed(99, stage.parse(None)))
    assert len(stage.log) == before


# ---- handing off


def test_a_caller_who_asks_for_a_human_is_told_and_handed_off():
    stage = ready().caller("a human please").run(4)
    (handoff,) = stage.commands(cmd.HandOff)
    assert (handoff.target, handoff.reason) == ("desk", "rule_human")
    assert stage.spoken() == ["Hello.", "Sure."]
    assert ended(stage) == cmd.EndCall("transfer", "rule_human", "desk")


def test_the_targets_own_announcement_is_spoken():
    go = lambda w: [(0.0, ev.HandoffUpdate(w.handoff, "go", "sales", say="Sales will help."))]  # noqa: E731
    stage = ready(human=go).caller("a human please").run(5)
    assert stage.spoken()[-2:] == ["Sure.", "Sales will help."]
    assert ended(stage).target == "sales", "the one that it came to"


def test_where_nobody_is_there_the_call_goes_on_or_a_form_is_offered():
    refused = lambda w: [(0.0, ev.HandoffUpdate(w.handoff, "refused", cause="closed"))]  # noqa: E731
    stage = ready(human=refused).caller("a human please").run(6)
    assert stage.commands(cmd.EndCall) == []
    assert stage.spoken()[-2:] == [DOER.lines.nobody_there, DOER.lines.anything_else]
    agent = replace(alternative(""), fallback_form="message")
    stage = ready(agent, human=refused).caller("a human please").run(6)
    assert stage.spoken()[-1] == "What shall I pass on?"


def test_key_0_is_a_human_everywhere():
    stage = ready().tell(ev.Dtmf("0")).run(3)
    assert (ended(stage).outcome, ended(stage).target, ended(stage).reason) == ("transfer", "desk", "rule_key_0")
    stage = Stage(AGENT).start().run(0.5).tell(ev.Dtmf("0")).run(3)
    assert ended(stage).outcome == "fallback", "without a target of its own the PBX's fallback is the human"


def test_after_several_misunderstandings_a_human():
    stage = ready()
    for _ in range(2):
        stage.caller("gibberish of some sort").run(4)
    assert stage.commands(cmd.HandOff) == []
    stage.caller("gibberish of some sort").run(6)
    assert ended(stage) == cmd.EndCall("transfer", "not_understood", "desk")


def test_one_good_answer_starts_the_count_again():
    stage = ready()
    for words in ("gibberish", "gibberish", "when are you open", "gibberish", "gibberish"):
        stage.caller(words).run(4)
    assert stage.commands(cmd.HandOff) == []


def warm(*then):
    return lambda w: [(0.1, ev.HandoffUpdate(w.handoff, "calling", w.target)), *((at, make(w)) for at, make in then)]


def test_while_a_human_is_called_the_caller_hears_music_and_lines():
    stage = ready(human=warm((20.0, lambda w: ev.HandoffUpdate(w.handoff, "connected", "desk"))))
    stage.caller("a human please").run(25)
    assert stage.commands(cmd.Hold) == [cmd.Hold(True)]
    assert DOER.lines.hold[0] in stage.spoken()
    assert ended(stage) == cmd.EndCall("transfer", "rule_human", "desk")


def test_a_human_who_declines_gives_the_caller_back():
    stage = ready(human=warm((5.0, lambda w: ev.HandoffUpdate(w.handoff, "refused", "desk", cause="declined"))))
    stage.caller("a human please").run(12)
    assert stage.commands(cmd.Hold) == [cmd.Hold(True), cmd.Hold(False)]
    assert DOER.lines.returned in stage.spoken()
    assert stage.caller("when are you open").run(3).spoken()[-1] == "From nine."


def test_a_human_who_never_answers_is_given_up():
    agent = replace(DOER, limits=replace(DOER.limits, ring_s=15.0))
    stage = ready(agent, human=warm()).caller("a human please").run(40)
    assert DOER.lines.returned in stage.spoken()
    assert [cut.handoff for cut in stage.commands(cmd.CancelHandOff)] == [stage.commands(cmd.HandOff)[0].handoff]


def test_the_caller_may_ask_something_while_a_human_is_called():
    stage = ready(human=warm((12.0, lambda w: ev.HandoffUpdate(w.handoff, "connected", "desk"))))
    stage.caller("a human please").run(4).caller("when are you open").run(3)
    assert stage.spoken()[-1] == "From nine."
    stage.run(12)
    assert ended(stage).outcome == "transfer"


# ---- what the model wants

OPEN = replace(DOER, rules=DOER.rules[2:], model_scope="open", tools=("lookup", "hang_up", "send_dtmf"))


def model(*answers):
    made = iter(answers)
    return lambda wanted: next(made)


def test_the_model_gets_the_agents_tools_and_no_others():
    stage = ready(OPEN).caller("something else").run(3)
    (asked,) = stage.commands(cmd.Generate)
    assert [tool.name for tool in asked.tools] == ["lookup", "other", "hand_off", "hang_up", "send_dtmf"]
    assert ready(AGENT).caller("hello you").run(3).commands(cmd.Generate)[0].tools == ()


def test_the_models_tool_runs_and_the_model_tells_the_result():
    stage = ready(OPEN, answer=model([ToolCall("lookup", '{"id": 3}')], ["It is there."]),
                  tool=done_after(0.3, data='{"state": "there"}'))
    stage.caller("my order number three").run(5)
    assert stage.spoken() == ["Hello.", "It is there."]
    again = stage.commands(cmd.Generate)[1].messages
    assert [message.role for message in again[-3:]] == ["user", "assistant", "tool"]
    assert again[-1].text == '{"state": "there"}'


def test_steps_of_the_model_are_limited():
    stage = ready(OPEN, answer=lambda _: [ToolCall("lookup", "{}")], tool=done_after(0.1)).caller("do it").run(6)
    assert len(stage.commands(cmd.RunTool)) == DOER.limits.tool_steps
    assert stage.spoken()[-1] == "No idea."


def test_the_model_can_hand_off_only_to_the_agents_targets():
    stage = ready(OPEN, answer=model([ToolCall("hand_off", '{"target": "sales"}')])).caller("sales please").run(5)
    assert ended(stage) == cmd.EndCall("transfer", "model", "sales")
    for wanted in ('{"target": "0088123456"}', '{"target": "sales; 0088"}', "[]", "{", '{"target": 5}', "{}"):
        stage = ready(OPEN, answer=model([ToolCall("hand_off", wanted)])).caller("double oh double eight").run(5)
        assert stage.commands(cmd.HandOff) == []
        assert stage.commands(cmd.EndCall) == []


def test_a_tool_that_the_agent_has_not_does_not_run():
    stage = ready(OPEN, answer=model([ToolCall("rm_rf", "{}")])).caller("remove everything").run(4)
    assert stage.commands(cmd.RunTool) == []
    assert stage.spoken()[-1] == "No idea."


def test_the_model_may_hang_up_and_send_keys():
    stage = ready(OPEN, answer=model(["Goodbye then. ", ToolCall("hang_up", "{}")])).caller("that is all").run(5)
    assert (ended(stage).outcome, ended(stage).reason) == ("hangup", "model")
    stage = ready(OPEN, answer=model([ToolCall("send_dtmf", '{"digits": "12#"}')])).caller("press one two").run(4)
    assert stage.commands(cmd.SendDtmf) == [cmd.SendDtmf("12#")]
    stage = ready(OPEN, answer=model([ToolCall("send_dtmf", '{"digits": "+49 30"}')])).caller("press more").run(4)
    assert stage.commands(cmd.SendDtmf) == []


def test_consequences_are_confirmed_aloud_first():
    spec = replace(LOOKUP, consequential=True, confirm="Shall I cancel order {id}?")
    agent = replace(OPEN, toolbox=(spec,))
    from voicebridge.conversation.form import Understood

    for answer, runs in (("yes", 1), ("no", 0)):
        stage = ready(agent, answer=lambda _: [ToolCall("lookup", '{"id": 3}')], tool=done_after(0.1, say="Cancelled."),
                      parse=lambda _, answer=answer: Understood(answer=answer))
        stage.caller("cancel order three").run(4)
        assert stage.commands(cmd.RunTool) == []
        assert stage.spoken()[-1] == "Shall I cancel order 3?"
        stage.caller(answer).run(5)
        assert len(stage.commands(cmd.RunTool)) == runs


def test_a_date_in_a_rules_arguments_is_told_to_the_tool_as_text():
    from datetime import date

    rule = replace(DOER.rules[0], arguments={"day": date(2026, 12, 1)})
    stage = ready(replace(DOER, rules=(rule,))).caller("where is my order").run(2)
    assert json.loads(stage.commands(cmd.RunTool)[0].arguments) == {"day": "2026-12-01"}
