"""Keys through a real Asterisk (RFC 4733, a SIPp call): afterwards they are found in no log and no record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from bench.leaks import CARD, PHONE, search
from tests.pbx.conftest import Dial
from tests.pbx.daemon import SPEECH_ONLY, VoiceDaemon

pytestmark = [pytest.mark.asterisk, pytest.mark.models]

AGENT = """
name = "demo"
greeting = "Hello."
disclosure = "You are speaking with an automated assistant."
model_scope = "none"
tools = ["take_message"]
[[rules]]
name = "back"
dtmf = "7"
action = "form"
form = "back"
[[forms]]
name = "back"
tool = "take_message"
[[forms.slots]]
name = "message"
kind = "digits"
ask = ["Please key your number."]
"""


@pytest.fixture(scope="module")
def desk(models: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VoiceDaemon]:
    folder = tmp_path_factory.mktemp("leaks")
    (folder / "agents").mkdir()
    (folder / "agents" / "demo.toml").write_text(AGENT)
    with VoiceDaemon(folder, engines=SPEECH_ONLY) as running:
        running.folder = folder  # type: ignore[attr-defined]
        yield running


async def test_what_is_keyed_is_found_nowhere(desk: VoiceDaemon, dial: Dial):
    caller = await dial(desk.media)
    assert await caller.until_quiet()
    caller.press(CARD.replace("0", "").replace("7", ""))  # nobody asked for it; 0 and 7 would mean something
    await asyncio.sleep(1.0)
    caller.press("7")
    assert await caller.until_quiet()
    caller.press(f"{PHONE}#")
    await asyncio.sleep(4.0)
    await caller.end()
    record = await asyncio.to_thread(desk.record, caller.id)
    assert record["disclosure"]["said"] is True
    assert record["consent"] == {"asked": False, "given": None, "recorded": True}
    events = [json.loads(line)["event"] for line in desk.events(caller.id)[1:]]
    keyed = [event["digit"] for event in events if event["is"] == "Dtmf"]
    assert len(keyed) > len(PHONE), "the keys came"
    assert set(keyed) <= {"x", "7", "#"}
    desk.stop()
    needles = (PHONE, CARD.replace("0", "").replace("7", ""))
    found = {find.where.partition("/")[0] for find in search(desk.folder, needles)}  # type: ignore[attr-defined]
    assert found == {"messages"}, "the message that the caller left is what somebody calls him back by"
