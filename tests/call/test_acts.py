"""One call's acts with the real runner, the real parser and the real desk; only the human and the PBX are a test's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from voicebridge.call.acts import Acts
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.form import Form, Slot
from voicebridge.handoff.desk import Desk
from voicebridge.handoff.directory import Directory
from voicebridge.handoff.summary import Summary
from voicebridge.pbx.attach import AttachRequest
from voicebridge.targets import Target
from voicebridge.tools import ToolContext, tool
from voicebridge.tools.runner import ToolRunner

CALL = "11111111-2222-3333-4444-555555555555"
NOW = datetime(2026, 12, 2, 10, tzinfo=UTC)
FORM = Form("visit", "look", (Slot("day", "date", ask=("Which day?",)), Slot("pin", "digits", least=4, most=4)))


class Stage:
    """The events that come, and what the acts see of the outside."""

    def __init__(self, folder, *tools, outside=None):
        self.events: list[ev.Event] = []
        self._told = asyncio.Event()
        targets = {
            "desk": Target(queue="desk"),
            "boss": Target(endpoint="PJSIP/1", strategy="warm", label="the boss"),
        }
        runner = ToolRunner(tools, folder=folder, now=lambda: NOW)
        agent = AgentSpec(
            "desk", "Hi.", forms=(FORM,), tools=tuple(runner.tools), targets=("desk", "boss"),
            toolbox=tuple(made.spec() for made in runner.tools.values()),
        )  # fmt: skip
        self.acts = Acts(
            CALL, agent, AttachRequest(caller="4711", dialled="100"), tools=runner, outside=outside,
            desk=Desk(Directory(targets).for_agent(agent), clock=lambda: NOW), tell=self._tell,
            story=lambda reason: Summary(line=f"why: {reason}", spoken=f"Because of {reason}."), now=lambda: NOW,
        )  # fmt: skip

    def _tell(self, event: ev.Event) -> None:
        self.events.append(event)
        self._told.set()

    async def until(self, count: int) -> list[ev.Event]:
        async with asyncio.timeout(5):
            while len(self.events) < count:
                self._told.clear()
                await self._told.wait()
        return self.events


async def test_a_tool_runs_for_the_call_and_its_progress_and_result_are_told(tmp_path):
    seen = []

    @tool
    async def look(ctx: ToolContext, number: int) -> str:
        seen.append((ctx.call_id, ctx.caller, ctx.dialled, ctx.agent, number))
        ctx.progress("Nearly there.")
        await asyncio.sleep(0.05)
        return "Found."

    stage = Stage(tmp_path, look)
    stage.acts.run(cmd.RunTool(7, 1, "look", '{"number": 3}'))
    assert await stage.until(2) == [ev.ToolProgress(7, "Nearly there."), ev.ToolDone(7, True, say="Found.")]
    assert seen == [(CALL, "4711", "100", "desk", 3)]


async def test_a_tool_that_the_agent_has_not_is_none(tmp_path):
    stage = Stage(tmp_path)
    stage.acts.run(cmd.RunTool(7, 1, "look", "{}"))
    assert await stage.until(1) == [ev.ToolDone(7, False, cause="unknown_tool")]


@pytest.mark.parametrize(("on_hangup", "completed"), [("cancel", False), ("complete", True)])
async def test_what_becomes_of_a_tool_when_the_caller_is_gone_is_the_tools_own_word(tmp_path, on_hangup, completed):
    done = []

    @tool(on_hangup=on_hangup)
    async def look() -> str:
        await asyncio.sleep(0.15)
        done.append(True)
        return "Found."

    stage = Stage(tmp_path, look)
    stage.acts.run(cmd.RunTool(7, 1, "look", "{}"))
    await asyncio.sleep(0.03)
    stage.acts.close()
    await asyncio.sleep(0.3)
    assert (done, stage.events) == ([True] if completed else [], [])


async def test_a_cancelled_tool_ends_only_where_it_may_be_cancelled(tmp_path):
    @tool(cancellable=True)
    async def look() -> str:
        await asyncio.sleep(5)
        return "Found."

    stage = Stage(tmp_path, look)
    stage.acts.run(cmd.RunTool(7, 1, "look", "{}"))
    await asyncio.sleep(0.03)
    stage.acts.cancel_tool(7)
    (done,) = await stage.until(1)
    assert (done.ok, done.cause) == (False, "cancelled")


async def test_words_and_keys_are_understood_for_the_form(tmp_path):
    stage = Stage(tmp_path)
    stage.acts.parse(cmd.Parse(1, "visit", "day", "on Friday please"))
    stage.acts.parse(cmd.Parse(2, "visit", "pin", "4711", keys=True))
    stage.acts.parse(cmd.Parse(3, "visit", "pin", "47", keys=True))
    stage.acts.parse(cmd.Parse(4, "confirm other", "", "yes please"))
    friday, pin, short, yes = (event.understood for event in stage.events)
    assert [(value.slot, value.value) for value in friday.values] == [("day", "2026-12-04")]
    assert [(value.slot, value.value) for value in pin.values] == [("pin", "4711")]
    assert short.values == ()
    assert yes.answer == "yes"


async def test_half_a_number_goes_on_or_is_said_again(tmp_path):
    stage = Stage(tmp_path)
    for number, (text, partial) in enumerate([("four seven", ""), ("one one", "47"), ("four seven one one", "47")]):
        stage.acts.parse(cmd.Parse(number, "visit", "pin", text, partial=partial))
    half, rest, again = (event.understood for event in stage.events)
    assert (half.values, half.partial) == ((), "47")
    assert [value.value for value in rest.values] == ["4711"]
    assert [value.value for value in again.values] == ["4711"]


async def test_other_words_after_half_a_number_are_not_half_a_number_again(tmp_path):
    stage = Stage(tmp_path)
    stage.acts.parse(cmd.Parse(1, "visit", "pin", "give me a human", partial="47"))
    (words,) = (event.understood for event in stage.events)
    assert (words.values, words.partial) == ((), "")


async def test_a_target_of_the_dialplans_is_gone_to_and_an_unknown_one_is_not(tmp_path):
    stage = Stage(tmp_path)
    stage.acts.hand_off(cmd.HandOff(1, "desk", "asked"))
    (update,) = await stage.until(1)
    assert (update.state, update.target) == ("go", "desk")
    stage.acts.hand_off(cmd.HandOff(2, "0900123", "asked"))
    (_, refused) = await stage.until(2)
    assert (refused.state, refused.target, refused.cause) == ("refused", "", "unknown_target")


class Pbx:
    """Calls a human who takes his time, and sends keys."""

    def __init__(self, *states: str, after: float = 0.0, works: bool = True) -> None:
        self.states, self.after, self.works = states, after, works
        self.calls: list[tuple[str, str]] = []
        self.ended = False
        self.keys = ""

    def reaches(self, call_id: UUID) -> bool:
        return str(call_id) == CALL

    def warm(self, call_id: UUID) -> Pbx:
        return self

    async def call(self, endpoint, *, briefing, line, ring_s):
        self.calls.append((endpoint, briefing))
        try:
            for state in self.states:
                await asyncio.sleep(self.after)
                yield state
        finally:
            self.ended = True

    async def send_dtmf(self, call_id: UUID, digits: str) -> bool:
        self.keys += digits
        return self.works


async def test_a_human_is_called_with_the_briefing_and_takes_the_caller(tmp_path):
    pbx = Pbx("calling", "connected")
    stage = Stage(tmp_path, outside=pbx)
    stage.acts.hand_off(cmd.HandOff(1, "boss", "asked"))
    assert [event.state for event in await stage.until(2)] == ["calling", "connected"]
    assert pbx.calls == [("PJSIP/1", "Because of asked.")]


@pytest.mark.parametrize("ends", ["cancel", "close"])
async def test_who_is_rung_in_vain_is_left_alone(tmp_path, ends):
    pbx = Pbx("calling", "connected", after=0.5)
    stage = Stage(tmp_path, outside=pbx)
    stage.acts.hand_off(cmd.HandOff(1, "boss", "asked"))
    await stage.until(1)
    await asyncio.sleep(0.02)
    if ends == "cancel":
        stage.acts.cancel_handoff(1)
    else:
        stage.acts.close()
    await asyncio.sleep(0.05)
    assert pbx.ended
    assert [event.state for event in stage.events] == ["calling"]


async def test_keys_go_out_of_band_where_they_can(tmp_path):
    pbx = Pbx()
    assert Stage(tmp_path, outside=pbx).acts.send_dtmf("12#")
    await asyncio.sleep(0.01)
    assert pbx.keys == "12#"
    assert not Stage(tmp_path).acts.send_dtmf("1"), "tones it is, then"
