"""An agent's prompt and fixed lines."""

from __future__ import annotations

import dataclasses

from voicebridge.conversation.agent import AgentSpec, Limits, Lines, Rule
from voicebridge.conversation.form import Form, Slot
from voicebridge.conversation.toolspec import ToolSpec


def test_the_prompt_is_the_instructions_and_then_the_facts():
    agent = AgentSpec("a", "Hi.", instructions="  Be brief.\n", facts=("Open nine to five.", "Closed on Sunday."))
    assert agent.system_prompt() == "Be brief.\n\nFacts:\n- Open nine to five.\n- Closed on Sunday."
    assert AgentSpec("a", "Hi.", instructions="Be brief.").system_prompt() == "Be brief."
    assert AgentSpec("a", "Hi.", facts=("One.",)).system_prompt() == "Facts:\n- One."
    assert AgentSpec("a", "Hi.").system_prompt() == ""


def test_fixed_lines_are_all_that_is_said_without_a_model_each_once():
    agent = AgentSpec(
        "a",
        "Hi.",
        rules=(Rule("x", ("x",), ("One.", "Two.")), Rule("y", ("y",), ("Two.", "Bye.")), Rule("z", ("z",))),
        lines=Lines(("Hm.",), ("Still there?",), "Gone.", ("No idea.", ""), "Perhaps.", "Trouble.", "Too long."),
        forms=(Form("f", "book", (Slot("day", ask=("Which day?",), again=("What day?",)),), cancelled="Left."),),
        toolbox=(ToolSpec("book", "", "{}", fillers=("Looking.",), failed="Not booked."),),
    )
    lines = agent.fixed_lines()
    assert len(set(lines)) == len(lines)
    assert "" not in lines
    spoken = {text for value in dataclasses.asdict(agent.lines).values() for text in ([value] * isinstance(value, str))}
    asked = {agent.lines.record_announce, agent.lines.record_ask}
    assert spoken - asked <= set(lines)
    assert asked.isdisjoint(lines), "nobody is told where nothing says so"
    assert agent.lines.record_ask in dataclasses.replace(agent, recording_consent="ask").fixed_lines()
    assert {*agent.lines.still, *agent.lines.tool_failed, *agent.lines.hold, *agent.lines.repeat} <= set(lines)
    assert {"Hi.", "Hm.", "Still there?", "No idea.", "One.", "Two.", "Bye."} <= set(lines)
    assert {"Which day?", "What day?", "Left.", "Looking.", "Not booked."} <= set(lines)


def test_the_defaults_keep_the_promises():
    limits = Limits()
    assert limits.speculate_s < limits.endpoint_s < limits.endpoint_open_s <= 1.0
    assert limits.cover_first_s < 1.5, "never silent for longer while it is our turn"
    assert limits.answer_s <= 5.0
    assert all(Lines().fillers) and Lines().trouble and Lines().no_input_end
