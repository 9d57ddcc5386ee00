"""A whole call with a PIN in it, keyed, asked for or volunteered: no trace of it in the record, the log or the audio.

Only the ears and the voice are a test's: the recogniser hears what the test says, the voice is silence.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from uuid import UUID

import pytest

from bench.dummies import Ears, Leg, Voice, listen, say
from voicebridge.audio.recording import Recorder
from voicebridge.call.call import Call
from voicebridge.call.matching import RuleMatcher
from voicebridge.call.work import Parts
from voicebridge.conversation.agent import AgentSpec, Limits, Rule
from voicebridge.conversation.form import Form, Slot
from voicebridge.tools import tool
from voicebridge.tools.runner import ToolRunner

PIN = ("4711", "4 7 1 1", "seven")


class Kept(Recorder):
    """What would be in the file, by side."""

    def __init__(self) -> None:
        self.caller: list[bytes] = []

    def write(self, caller: bytes, agent: bytes) -> None:
        self.caller.append(caller)

    async def close(self) -> None: ...


@tool
async def check(day: str, pin: str) -> str:
    """Check."""
    return "It is right."


FORM = Form(
    "visit", "check",
    (Slot("day", "date", ask=("Which day?",)), Slot("pin", "digits", ask=("Your PIN?",), least=4, most=4, secret=True)),
    confirm="{day}?",
)  # fmt: skip
AGENT = AgentSpec(
    "desk", "Hello.", model_scope="none", rules=(Rule("visit", ("book a visit",), action="form", form="visit"),),
    forms=(FORM,), tools=("check",), toolbox=(check.spec(),),
    limits=Limits(endpoint_s=0.06, endpoint_unsure_s=0.06, endpoint_open_s=0.06, endpoint_spelled_s=0.06,
                  speculate_s=0.02),
)  # fmt: skip


class Caller:
    def __init__(self, folder: Path) -> None:
        self.ears, self.kept = Ears(), Kept()
        runner = ToolRunner([check], folder=folder)
        parts = Parts(AGENT, self.ears, None, Voice(), RuleMatcher(AGENT, None), tools=runner)  # type: ignore[arg-type]
        leg = Leg(UUID(int=7))
        self.call = Call(leg, parts, finished=lambda _: None, recorder=lambda _: self.kept, keep_events=True)

    async def waits(self, seconds: float) -> None:
        await listen(self.call, seconds)

    async def says(self, words: str) -> None:
        await say(self.call, self.ears, words)

    def traces(self) -> str:
        """Without times: a clock may well show the PIN."""
        told = json.dumps(self.call.record()) + "".join(self.call.events) + self.call.story("why").line
        return re.sub(r"\d+\.\d+", "", told)


@pytest.mark.parametrize(
    "said",
    [
        ("book a visit", "tuesday", "four seven one one", "yes"),
        ("book a visit", "tuesday and my pin is 4711", "yes"),
        ("book a visit", "tuesday", "1 2 3 4", "no the pin is 4 7 1 1", "yes"),
        ("book a visit my pin is 4711", "tuesday", "yes"),
    ],
    ids=["asked", "volunteered", "corrected", "at once"],
)
async def test_a_spoken_secret_leaves_no_trace(tmp_path, said):
    caller = Caller(tmp_path)
    await caller.waits(0.4)
    for words in said:
        await caller.says(words)
    assert caller.call.core.known["pin"][0].value == "4711"
    assert [run["ok"] for turn in caller.call.record()["turns"] for run in turn["tools"]] == [True]
    for trace in PIN:
        assert trace not in caller.traces()
    assert "***" in caller.traces()
    caller.call.on_closed("hangup")


async def test_a_keyed_secret_leaves_no_trace(tmp_path):
    caller = Caller(tmp_path)
    await caller.waits(0.4)
    for words in ("book a visit", "tuesday"):
        await caller.says(words)
    for key in "4711":
        caller.call.on_dtmf(key)
        await caller.waits(0.04)
    await caller.waits(0.2)
    assert caller.call.core.known["pin"][0].value == "4711"
    keyed = [json.loads(line)["event"] for line in caller.call.events[1:]]
    assert {event["digit"] for event in keyed if event["is"] == "Dtmf"} == {"***"}
    caller.call.on_closed("hangup")


async def test_a_secret_is_not_in_the_recording(tmp_path):
    caller = Caller(tmp_path)
    await caller.waits(0.4)
    await caller.says("book a visit")
    assert any(any(frame) for frame in caller.kept.caller), "what is no secret is"
    await caller.says("tuesday")
    before = len(caller.kept.caller)
    await caller.says("four seven one one")
    assert len(caller.kept.caller) > before
    assert not any(any(frame) for frame in caller.kept.caller[before:])
    caller.call.on_closed("hangup")
