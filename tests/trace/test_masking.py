"""What was secret stands in no event log."""

from __future__ import annotations

import json

from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.form import SlotValue, Understood
from voicebridge.trace.eventlog import Step, line


def test_whatever_was_said_or_keyed_is_masked_and_the_rest_stands():
    parsed = ev.Parsed(3, Understood((SlotValue("pin", "4711", "4 7 1 1"),), partial="47"))
    steps = [
        Step(1.0, ev.Dtmf("4"), ()),
        Step(1.0, ev.TranscriptReady(1, "a 4711"), (cmd.Parse(3, "pin", "pin", "it is 4711"), cmd.Match(4, "4711"))),
        Step(1.0, parsed, (cmd.RunTool(5, 1, "check", '{"pin": "4711"}'),)),
        Step(1.0, ev.ToolDone(5, True, say="4711 is right", data='"4711"'), ()),
    ]
    for step in steps:
        open_text, masked = line(step), line(step, masked=True)
        assert "47" in open_text or '"4"' in open_text
        assert "47" not in masked
        assert '"digit": "4"' not in masked
        assert json.loads(masked)["event"]["is"] == type(step.event).__name__
    assert json.loads(line(steps[1], masked=True))["commands"][0]["form"] == "pin"
