"""Vosk, llama.cpp and Piper answer a call through a real Asterisk: by a rule, by the model, by a form with a grammar.

The speech models are those made for tests (tests/models); Piper's is the caller's voice, too.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import desk
from bench.loop import GIVE_UP_S, RECOGNISER
from tests.pbx.asterisk import RATE, Asterisk
from tests.pbx.caller import Caller
from tests.pbx.conftest import Dial
from tests.pbx.daemon import VoiceDaemon, agent_said, caller_said
from tests.pbx.words import error_rate, words
from voicebridge.audio.measure import voiced_spans
from voicebridge.engines.base import SttEngine
from voicebridge.engines.vosk import ENGINE as VOSK
from voicebridge.phone import Line

for package in ("vosk", "piper", "llama_cpp"):
    if importlib.util.find_spec(package) is None:  # not imported: its ggml and the voice detector's have one name
        pytest.skip(f"{package} is not installed: make test installs it", allow_module_level=True)
pytestmark = [pytest.mark.asterisk, pytest.mark.models]

MISHEARD = 0.25
SAID = (desk.ASK_HOURS, desk.ASK_MODEL, desk.ASK_ACCOUNT, desk.DIGITS)


@pytest.fixture(scope="module")
def home(models: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    desk.prepare(folder, "", form=True)
    return folder


@pytest.fixture(scope="module")
def daemon(home: Path) -> Iterator[VoiceDaemon]:
    lineup = desk.engines(["vosk"], ["llama_cpp"], ["piper"])
    with VoiceDaemon(home, agent="desk", engines=lineup, store="redact = []\n") as running:
        yield running


@pytest.fixture(scope="module")
def lines() -> list[Line]:
    return desk.lines(SAID)


@pytest.fixture
async def listener() -> AsyncIterator[SttEngine]:
    """A recogniser of the test's own."""
    engine = VOSK.create(RECOGNISER)
    await engine.start()
    assert await engine.wait_ready(30)
    yield engine
    await engine.stop()


async def transcribed(listener: SttEngine, pcm: bytes) -> list[str]:
    """What is said in 8 kHz PCM, an utterance each."""
    session = listener.session(rate=RATE, language="en")
    heard = []
    for number, (begin, end) in enumerate(voiced_spans(pcm, RATE, join_s=0.5)):
        session.begin(number)
        session.feed(bytes(RATE // 5) + pcm[2 * begin : 2 * end] + bytes(RATE // 5))
        until = asyncio.get_running_loop().time() + GIVE_UP_S
        heard.append((await session.transcribe(deadline=until, give_up=until)).text)
    await session.close()
    return heard


async def conversation(caller: Caller, lines: list[Line]) -> None:
    assert await caller.until_quiet()
    for line in lines:
        spoken = await caller.say(line.pcm)
        assert await caller.until_quiet(after=spoken.last_voice), line.label


def turn_of(record: dict[str, Any], said: str) -> dict[str, Any]:
    found = [turn for turn in record["turns"] if error_rate(said, turn["caller"] or "") <= 0.25]
    assert len(found) == 1, (said, [turn["caller"] for turn in record["turns"]])
    return found[0]


async def test_vosk_llama_cpp_and_piper_hold_a_call_by_rule_by_model_and_by_form(
    asterisk: Asterisk, daemon: VoiceDaemon, dial: Dial, home: Path, lines: list[Line], listener: SttEngine
):
    caller = await dial(daemon.media)
    await conversation(caller, lines)
    await caller.end()
    record = await asyncio.to_thread(daemon.record, caller.id)
    turns = [turn_of(record, said) for said in SAID]
    assert [turn["source"] for turn in turns] == ["rule", "model", "form", "form"]
    assert error_rate(" ".join(SAID), caller_said(record)) <= MISHEARD
    assert not [turn for turn in record["turns"] if turn["moves"] or turn["troubles"]]
    (message,) = (home / "messages").glob("*.json")
    assert json.loads(message.read_text())["phone"] == "4271"
    assert slots_listened_for(daemon.events(caller.id)) == [None, None, None, "phone"]
    recorded = await asyncio.to_thread(asterisk.recording, caller.id, "agent")
    heard = await transcribed(listener, recorded)
    for line in (desk.GREETING, desk.HOURS, desk.ACCOUNT, desk.DONE):
        assert line in agent_said(record)
        assert min(error_rate(line, text) for text in heard) <= MISHEARD, (line, heard)
    said = [piece["heard"] for piece in turns[1]["said"] if piece["kind"] == "answer"]
    assert said and all(words(text) for text in said)
    assert len(heard) >= 5  # the model's words as well, most of which the tiny recogniser does not know


def slots_listened_for(events: list[str]) -> list[str | None]:
    commands = [command for line in events for command in json.loads(line).get("commands", ())]
    listens = [command["slot"] for command in commands if command["is"] == "Listen"]
    return [slot and slot["name"] for slot in listens]
