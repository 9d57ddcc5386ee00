"""Engines on another machine (another network namespace): one line of configuration moves one there, and a cut cable
in the middle of a call moves the call on.

Vosk and Piper with the tiny models that were made for tests.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from bench.calls import RATE, Round
from tests.engines.chat_server import DONE, HEAD, Fake, ask, saying, serving, words
from tests.engines.elsewhere import Elsewhere, another_machine, lines_changed
from voicebridge.audio.resample import resample_segment
from voicebridge.cli.testcall import running_daemon, wait_for_record
from voicebridge.conversation.commands import ChatMessage
from voicebridge.engines.base import EngineError, Voice
from voicebridge.engines.openai_chat import ENGINE as OPENAI
from voicebridge.engines.piper import ENGINE as PIPER
from voicebridge.phone import Line, Phone
from voicebridge.trace.store import CallStore

MODELS = Path(__file__).parents[1] / "models"
LOCAL = f"""
default_agent = "desk"
[engines]
stt = "vosk"
tts = "piper"
llm = ""
embed = ""
[engines.options.vosk]
model = "{MODELS / "vosk-tiny-en"}"
language = "en"
threads = 1
[engines.options.piper]
voice = "{MODELS / "piper-tiny-en" / "tiny-voice.onnx"}"
threads = 1
[tools.opening_hours]
week = "mon-sun 00:00-23:59"
"""
AGENT = """
name = "desk"
greeting = "Hello."
model_scope = "none"
tools = ["opening_hours"]
[[rules]]
name = "hours"
examples = ["what are your opening hours"]
action = "tool"
tool = "opening_hours"
[[rules]]
name = "order"
examples = ["I want the status of my order"]
say = ["Your order is on the way to you."]
"""
SAID = ("what are your opening hours", "I want the status of my order", "what are your opening hours")
# What the tool says is not rendered ahead: the voice has to be there.
ANSWER_S = 8.0
"""A sanity bound: several things share the machine."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Elsewhere]:
    with another_machine() as made:
        yield made


@pytest.fixture(scope="module")
def served(machine: Elsewhere, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Recogniser and voice over there; their addresses."""
    folder = tmp_path_factory.mktemp("there")
    config = configuration(folder, LOCAL)
    machine.serve(config, "vosk", 10300)
    machine.serve(config, "piper", 10200)
    return f"tcp://{machine.there}:10300", f"tcp://{machine.there}:10200"


@pytest.fixture(scope="module")
def caller() -> list[Line]:
    """What is said, by the tiny voice."""

    async def speak() -> list[bytes]:
        voice = PIPER.create({"voice": str(MODELS / "piper-tiny-en" / "tiny-voice.onnx"), "threads": 1})
        await voice.start()
        now = time.monotonic()
        made = [await voice.synthesize(one, voice=Voice(), deadline=now, give_up=now + 60) for one in SAID]
        await voice.stop()
        return [resample_segment(one.pcm, one.rate, RATE) for one in made]

    trail = bytes(2 * RATE // 5)
    return [Line(text, pcm + trail) for text, pcm in zip(SAID, asyncio.run(speak()), strict=True)]


def configuration(folder: Path, text: str) -> Path:
    (folder / "agents").mkdir()
    (folder / "agents" / "desk.toml").write_text(AGENT)
    (folder / "voicebridge.toml").write_text(text)
    return folder / "voicebridge.toml"


def call(config: Path, lines: list[Line], on_event: Callable[[str], None] = lambda text: None) -> Round:
    with running_daemon(config) as (port, store):

        async def talk():
            return await Phone("127.0.0.1", port, on_event=on_event).call(lines)

        heard = uvloop.run(talk())
        return Round(heard, wait_for_record(CallStore(store, keep_days=1), heard.call_id))


def test_one_line_moves_an_engine_to_another_machine(
    machine: Elsewhere, served: tuple[str, str], caller: list[Line], tmp_path: Path
) -> None:
    text = LOCAL
    for kind, name, uri in (("stt", "vosk", served[0]), ("tts", "piper", served[1])):
        moved = text.replace(f'{kind} = "{name}"', f'{kind} = "{uri}"')
        assert lines_changed(text, moved) == [(f'{kind} = "{name}"', f'{kind} = "{uri}"')]
        text = moved
    made = call(configuration(tmp_path, text), caller[:1])
    assert [turns[-1]["rule"] for _, turns in made.turns()] == ["hours"]
    assert [turns[-1]["moves"] for _, turns in made.turns()] == [[]]
    assert all(line.gap is not None and line.gap < ANSWER_S for line in made.heard.lines)
    assert made.record is not None
    assert made.record["outcome"] == "hangup"


def test_a_cable_that_is_cut_in_mid_sentence_costs_no_word(
    machine: Elsewhere, served: tuple[str, str], caller: list[Line], tmp_path: Path
) -> None:
    text = LOCAL.replace('stt = "vosk"', f'stt = ["{served[0]}", "vosk"]')
    text = text.replace('tts = "piper"', f'tts = ["{served[1]}", "piper"]')

    def on_event(told: str) -> None:
        if told == f"caller: {SAID[1]}":
            asyncio.get_running_loop().call_later(0.6, machine.cut)

    try:
        made = call(configuration(tmp_path, text), caller, on_event)
    finally:
        machine.mend()
    turns = [turns[-1] for _, turns in made.turns()]
    assert [turn["rule"] for turn in turns] == ["hours", "order", "hours"]
    assert all(line.gap is not None and line.gap < ANSWER_S for line in made.heard.lines)
    moves = [(move["kind"], move["from"], move["to"]) for _, turns in made.turns() for turn in turns
             for move in turn["moves"]]  # fmt: skip
    assert ("stt", served[0], "vosk") in moves
    assert ("tts", served[1], "piper") in moves
    assert turns[0]["moves"] == []
    assert made.record is not None
    assert made.record["outcome"] == "hangup"


@pytest.mark.models
async def test_a_language_model_over_there_answers_with_the_key_and_is_left_when_the_cable_is_cut(
    machine: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "[engines.options.llama_server]\nslots = 1\ncontext = 512\nthreads = 1\n"
    machine.serve(configuration(tmp_path, LOCAL + options), "llama_server", 8080,
                  "--key-env", "VB_TEST_KEY", env={"VB_TEST_KEY": "s3cret"})  # fmt: skip
    url = f"http://{machine.there}:8080/v1"
    monkeypatch.setenv("VB_TEST_KEY", "s3cret")
    here = Fake(saying(HEAD, *words("Noon."), DONE))
    count = [ChatMessage("user", "Count from 1 to 9."), ChatMessage("assistant", "1, 2, 3,")]
    how = {"api_key_env": "VB_TEST_KEY", "continues": "prefix", "temperature": 0}
    async with asyncio.timeout(150), serving(here, limit_s=150, more_urls=[url], model="", **how) as engine:
        there = next(server for server in engine.servers if server.url in url)
        await engine.start()
        while there.down or not there.seen:  # noqa: ASYNC110 - another machine
            await asyncio.sleep(0.05)
        assert there.model
        said = await ask(engine, count, first=there, seconds=60, due_s=60)
        assert "".join(map(str, said)).startswith(" 4, 5")
        machine.cut()
        try:
            assert await ask(engine, count, first=there, seconds=6) == ["Noon."]
        finally:
            machine.mend()
    stranger = OPENAI.create({"urls": url, "model": "any"})
    with pytest.raises(EngineError, match="the key is missing or wrong"):
        await ask(stranger, seconds=20)
    await stranger.stop()
