"""An agent's voice: fixed lines from disk whatever befalls the disk, and marks that lead back to the written text."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from voicebridge.call.speech import MAX_MOUTHS, Mouth, Mouths, Rendered
from voicebridge.conversation.agent import AgentSpec, Lines, Rule
from voicebridge.engines.base import EngineError, Speech, Voice, WordMark

RATE = 22_050
AGENT = AgentSpec(
    "desk",
    "Hello, we open at 9 am.",
    rules=(Rule("price", ("price",), ("It costs $1,400.",)),),
    lines=Lines(("Hm.",), ("Still there?",), "Gone.", ("No idea.",), "Trouble.", "Too long."),
)
SOON = time.monotonic() + 1_000


class Engine:
    """Speaks a tone of 0.1 s a word and marks every word; `dead` fails as an engine's client does."""

    name = "tone"
    ready = True

    def __init__(self) -> None:
        self.dead = False
        self.voice = ""
        self.asked: list[tuple[str, Voice, float]] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def synthesize(self, text: str, *, voice: Voice, deadline: float, give_up: float) -> Speech:
        self.asked.append((text, voice, deadline))
        if self.dead:
            raise EngineError("tts", self.name, "crashed")
        words, at, marks = text.split(" "), 0, []
        for number, word in enumerate(words):
            marks.append(WordMark(at, at + len(word), number * RATE // 10))
            at += len(word) + 1
        tone = 8_000 * np.sin(np.arange(len(words) * RATE // 10) * 2 * math.pi * 440 / RATE)
        return Speech(text, tone.astype("<i2").tobytes(), RATE, tuple(marks), engine=self.voice)


@pytest.fixture
def engine() -> Engine:
    return Engine()


def mouth(engine: Engine, folder: Path, agent: AgentSpec = AGENT) -> Mouth:
    return Mouth(engine, agent, folder)


async def rendered(engine: Engine, folder: Path) -> Mouth:
    made = mouth(engine, folder)
    made.load()
    await made.render()
    return made


def words(made: Rendered) -> list[str]:
    return [made.text[start:end] for start, end, _ in made.marks]


async def say(made: Mouth, text: str, rate: int = 8_000) -> Rendered:
    return await made.say(text, rate, deadline=SOON, give_up=SOON)


async def test_every_fixed_line_is_rendered_once_and_then_heard_without_the_engine(engine, tmp_path):
    first = await rendered(engine, tmp_path)
    assert len(engine.asked) == len(AGENT.fixed_lines())
    assert first.missing == []
    again = mouth(engine, tmp_path)
    again.load()
    engine.dead = True
    assert again.missing == []
    for text in AGENT.fixed_lines():
        assert again.cached(text, 8_000) == first.cached(text, 8_000)
        assert (await say(again, text)).seconds > 0
    assert len(engine.asked) == len(AGENT.fixed_lines())


async def test_rendering_ahead_is_speculative_and_speaking_has_the_caller_s_deadline(engine, tmp_path):
    made = await rendered(engine, tmp_path)
    assert {deadline for _, _, deadline in engine.asked} == {math.inf}
    await made.say("Something new.", 8_000, deadline=12.5, give_up=SOON)
    assert engine.asked[-1][2] == 12.5


async def test_another_voice_language_speed_or_text_is_another_file(engine, tmp_path):
    from dataclasses import replace

    await rendered(engine, tmp_path)
    for changed in (replace(AGENT, voice="x"), replace(AGENT, language="de"), replace(AGENT, speed=1.2)):
        other = mouth(engine, tmp_path, changed)
        other.load()
        assert len(other.missing) == len(AGENT.fixed_lines())
    changed = mouth(engine, tmp_path, replace(AGENT, greeting="Good day."))
    changed.load()
    assert changed.missing == ["Good day."]


async def test_another_file_behind_the_engine_s_name_is_another_voice(engine, tmp_path):
    engine.identity = "tone amy.onnx 1000"
    await rendered(engine, tmp_path)
    engine.identity = "tone amy.onnx 1001"
    other = mouth(engine, tmp_path)
    other.load()
    assert len(other.missing) == len(AGENT.fixed_lines())
    engine.identity = "tone amy.onnx 1000"
    same = mouth(engine, tmp_path)
    same.load()
    assert same.missing == []


def of_greeting(folder: Path) -> Path:
    return Mouth(Engine(), AGENT, folder)._file(AGENT.greeting)


def truncate(wav: Path) -> None:
    wav.write_bytes(wav.read_bytes()[:-2_000])


def empty(wav: Path) -> None:
    wav.write_bytes(b"")


def garbage(wav: Path) -> None:
    wav.write_bytes(b"RIFF" + bytes(100))


def stereo(wav: Path) -> None:
    with wave.open(str(wav), "wb") as file:
        file.setparams((2, 2, RATE, 0, "NONE", ""))
        file.writeframes(bytes(800))


def no_sound(wav: Path) -> None:
    with wave.open(str(wav), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))


def no_marks(wav: Path) -> None:
    wav.with_suffix(".json").unlink()


def half_marks(wav: Path) -> None:
    wav.with_suffix(".json").write_text("[[0, 5, 0], [")


def other_marks(wav: Path) -> None:
    wav.with_suffix(".json").write_text('[[0, 5], {"a": 1}, 7]')


def no_list(wav: Path) -> None:
    wav.with_suffix(".json").write_text("7")


def a_folder(wav: Path) -> None:
    wav.unlink()
    wav.mkdir()


@pytest.mark.parametrize(
    "damage", [truncate, empty, garbage, stereo, no_sound, no_marks, half_marks, other_marks, no_list, a_folder]
)
async def test_a_damaged_file_is_made_again(engine, tmp_path, damage):
    whole = (await rendered(engine, tmp_path)).cached(AGENT.greeting, RATE)
    damage(of_greeting(tmp_path))
    made = mouth(engine, tmp_path)
    made.load()
    assert made.missing == [AGENT.greeting]
    await made.render()
    assert made.missing == []
    assert made.cached(AGENT.greeting, RATE) == whole


async def test_a_cache_that_cannot_be_written_costs_only_the_cache(engine, tmp_path, caplog):
    (tmp_path / "prompts").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        made = await rendered(engine, tmp_path)
    assert made.missing == []
    assert "not written" in caplog.text
    assert AGENT.greeting not in caplog.text
    assert (await say(made, AGENT.greeting)).seconds > 0


async def test_an_engine_that_is_down_leaves_the_rest_for_later(engine, tmp_path, caplog):
    engine.dead = True
    made = await rendered(engine, tmp_path)
    assert made.missing == list(AGENT.fixed_lines())
    assert made.cached(AGENT.greeting, 8_000) is None
    assert "agent=desk a fixed line could not be rendered" in caplog.text
    with pytest.raises(EngineError):
        await say(made, AGENT.greeting)
    engine.dead = False
    await made.render()
    assert made.missing == []


async def test_what_is_no_fixed_line_is_made_each_time_and_not_kept(engine, tmp_path):
    made = await rendered(engine, tmp_path)
    before = len(engine.asked)
    await say(made, "Your order 42 is ready.")
    await say(made, "Your order 42 is ready.")
    assert len(engine.asked) == before + 2
    assert len(list((tmp_path / "prompts").glob("*.wav"))) == len(AGENT.fixed_lines())


async def test_marks_lead_to_the_words_as_they_were_written_one_each(engine, tmp_path):
    made = await say(mouth(engine, tmp_path), "It costs $1,400, Dr. Smith, at 9 am.")
    assert engine.asked[0][0] == "It costs one thousand four hundred dollars, doctor Smith, at nine A M."
    assert words(made) == ["It", "costs", "$1,400,", "Dr.", "Smith,", "at", "9 am."]
    starts = [sample for _, _, sample in made.marks]
    assert starts == sorted(starts)
    assert starts[2] == pytest.approx(2 * 800, abs=1), "a number begins with its first spoken word"
    assert starts[3] == pytest.approx(7 * 800, abs=1)


@pytest.mark.parametrize("rate", [8_000, 16_000, RATE])
async def test_speech_comes_at_the_rate_of_the_leg_with_its_marks_moved(engine, tmp_path, rate):
    made = await say(mouth(engine, tmp_path), "one two three four", rate)
    assert made.rate == rate
    assert made.seconds == pytest.approx(0.4, abs=0.001)
    assert [sample / rate for _, _, sample in made.marks] == pytest.approx([0, 0.1, 0.2, 0.3], abs=0.001)
    assert made.at_rate(rate) is made


async def test_a_fixed_line_is_resampled_once_a_rate(engine, tmp_path):
    made = await rendered(engine, tmp_path)
    assert made.cached("Hm.", 8_000) is made.cached("Hm.", 8_000)
    assert made.cached("Hm.", 16_000).rate == 16_000


@pytest.mark.models
async def test_espeak_s_own_marks_lead_back_too(tmp_path):
    from voicebridge.engines.espeak import ENGINE

    espeak = ENGINE.create({"nice": 0})
    await espeak.start()
    try:
        assert await espeak.wait_ready(20)
        give_up = time.monotonic() + 20
        made = await Mouth(espeak, AGENT, tmp_path).say(
            "It costs $1,400 until 5:30 p.m., call 555-1234 now.", 8_000, deadline=give_up, give_up=give_up
        )
    finally:
        await espeak.stop()
    assert words(made) == ["It", "costs", "$1,400", "until", "5:30 p.m.,", "call", "555-1234", "now."]
    starts = [sample for _, _, sample in made.marks]
    assert starts == sorted(starts) and starts[-1] < len(made.pcm) // 2


# ---- calls in another language than their agent's


async def test_a_call_in_another_language_has_a_mouth_of_its_own_made_once(engine, tmp_path):
    own = mouth(engine, tmp_path)
    mouths = Mouths(engine, tmp_path)
    assert mouths.speaking("en", AGENT, own) is own
    german = mouths.speaking("de", AGENT, own)
    assert mouths.speaking("de", AGENT, own) is german is not own
    for _ in range(500):
        if not german.missing:
            break
        await asyncio.sleep(0.01)
    assert german.missing == []  # its lines are rendered while the first call begins
    assert {voice.language for _, voice, _ in engine.asked} == {"de"}
    assert german.cached(AGENT.greeting, RATE) is not None


async def test_there_are_not_endless_many_mouths(engine, tmp_path):
    own = mouth(engine, tmp_path)
    engine.dead = True
    mouths = Mouths(engine, tmp_path)
    made = [mouths.speaking(f"x{number}", AGENT, own) for number in range(MAX_MOUTHS + 2)]
    assert [one is own for one in made].count(True) == 2
    assert mouths.speaking("x0", AGENT, own) is made[0]


async def test_a_spare_s_voice_is_heard_but_not_kept_and_made_again_by_the_agent_s_own(engine, tmp_path):
    engine.voice = "spare"
    made = await rendered(engine, tmp_path)
    assert made.cached(AGENT.greeting, 8_000).engine == "spare"
    assert made.missing == list(AGENT.fixed_lines())
    assert list((tmp_path / "prompts").glob("*")) == []
    engine.voice = engine.name
    await made.render()
    assert made.missing == []
    assert made.cached(AGENT.greeting, 8_000).engine == engine.name
    assert len(list((tmp_path / "prompts").glob("*.wav"))) == len(AGENT.fixed_lines())
