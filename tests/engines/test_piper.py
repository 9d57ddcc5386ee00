"""Piper in its worker process, with the real library and the tiny voice that we made for tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from voicebridge.audio.resample import resample_segment
from voicebridge.config import ConfigError
from voicebridge.engines.base import EngineError, Speech, Voice
from voicebridge.engines.local import LocalHost
from voicebridge.engines.piper import ENGINE, PiperVoices, look_at
from voicebridge.engines.piper_voice import MAX_PHONEMES, PiperModel, cut
from voicebridge.engines.wyoming_tts import WyomingTts

pytest.importorskip("piper")
MODELS = Path(__file__).parents[1] / "models"
TINY = MODELS / "piper-tiny-en/tiny-voice.onnx"
SENTENCES = (
    "I would like to change my appointment on Friday",
    "how much is the billing number",
    "please talk to support at nine today",
    "thank you goodbye",
)


def copy_of(folder: Path, name: str, change: Callable[[dict], object] = lambda settings: None) -> Path:
    """Another voice: the same model with other settings."""
    model = folder / f"{name}.onnx"
    model.write_bytes(TINY.read_bytes())
    settings = json.loads(Path(f"{TINY}.json").read_text())
    change(settings)
    Path(f"{model}.json").write_text(json.dumps(settings))
    return model


@pytest.fixture(scope="module")
def tiny() -> PiperModel:
    return PiperModel(TINY, 1)


@pytest.fixture
async def piper(tmp_path: Path) -> AsyncIterator[WyomingTts]:
    slow = copy_of(tmp_path, "slow", lambda settings: settings["inference"].update(length_scale=1.5))
    engine = ENGINE.create({"voices": {"tiny": str(TINY), "slow": str(slow)}, "nice": 0})
    await engine.start()
    assert await engine.wait_ready(30)
    yield engine
    await engine.stop()


async def say(engine: WyomingTts, text: str, voice: Voice | None = None) -> Speech:
    now = time.monotonic()
    return await engine.synthesize(text, voice=voice or Voice(), deadline=now, give_up=now + 20)


def seconds(speech: Speech) -> float:
    return len(speech.pcm) / 2 / speech.rate


def heard(pcm: bytes, rate: int) -> str:
    """What Vosk's tiny model, which knows a hundred words, makes of it at 8 kHz."""
    vosk = pytest.importorskip("vosk")
    vosk.SetLogLevel(-1)
    recogniser = vosk.KaldiRecognizer(vosk.Model(str(MODELS / "vosk-tiny-en")), 8000)
    recogniser.AcceptWaveform(resample_segment(pcm, rate, 8000) + bytes(8000))
    return str(json.loads(recogniser.FinalResult())["text"])


# ---- through the worker


async def test_speaks_with_a_mark_for_every_word(piper: WyomingTts) -> None:
    text = "Thank you. I would like help in the morning, at nine."
    speech = await say(piper, text)
    assert speech.rate == 16_000
    assert not speech.estimated
    assert [text[mark.start : mark.end] for mark in speech.marks] == text.split()
    samples = [mark.sample for mark in speech.marks]
    assert samples == sorted(set(samples))
    assert samples[-1] < len(speech.pcm) // 2


async def test_two_voices_speed_and_what_is_not_there(piper: WyomingTts) -> None:
    text = "please wait"
    usual, slow = await say(piper, text, Voice("tiny")), await say(piper, text, Voice("slow"))
    fast = await say(piper, text, Voice("tiny", speed=1.5))
    assert seconds(slow) > 1.3 * seconds(usual)
    assert seconds(fast) < 0.8 * seconds(usual)
    for lenient in (Voice("nobody"), Voice("tiny#7"), Voice("", "en-GB"), Voice("", "EN_US")):
        assert seconds(await say(piper, text, lenient)) == pytest.approx(seconds(usual), abs=0.02)
    with pytest.raises(EngineError, match="no voice for 'de'") as raised:
        await say(piper, text, Voice(language="de"))
    assert raised.value.cause == "refused"


async def test_a_killed_worker_speaks_again(piper: WyomingTts) -> None:
    await say(piper, "hello")
    assert isinstance(piper.host, LocalHost)
    assert piper.host.worker.pid is not None
    os.kill(piper.host.worker.pid, signal.SIGKILL)
    assert seconds(await say(piper, "hello")) > 0.3


def test_gpl_code_is_not_loaded_into_the_daemon() -> None:
    code = "import sys, voicebridge.engines.piper; print({'piper', 'onnxruntime'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


# ---- what it says


@pytest.mark.parametrize("sentence", SENTENCES)
def test_is_understood(tiny: PiperModel, sentence: str) -> None:
    spoken = tiny.speak(sentence, speaker=None, speed=1.0)
    wanted, got = sentence.lower().split(), heard(spoken.pcm, spoken.rate).split()
    assert sum(word in got for word in wanted) >= len(wanted) - 1, got


@pytest.mark.parametrize("told", [True, False])
def test_words_begin_where_they_are_heard(tiny: PiperModel, told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off before the mark of a word, what is left is the words from it on: by the voice's times, and by ours."""
    if not told:
        monkeypatch.setattr(tiny, "_told_times", lambda *_: None)
    text = "please repeat the number of my account"
    spoken = tiny.speak(text, speaker=None, speed=1.0)
    assert spoken.estimated is not told
    for index in (2, 4):
        mark = spoken.marks[index]
        rest = heard(bytes(3200) + spoken.pcm[2 * mark.sample :], spoken.rate).split()
        assert text.split()[index + 1 :] == rest[-len(text.split()[index + 1 :]) :]
        assert len(rest) <= len(text.split()) - index + (0 if told else 1)


def test_begins_at_once_and_ends_soon(tiny: PiperModel) -> None:
    for text, trail in (("one moment,", 0.06), ("one moment.", 0.15)):
        spoken = tiny.speak(text, speaker=None, speed=1.0)
        loud = np.flatnonzero(np.abs(np.frombuffer(spoken.pcm, "<i2").astype(int)) > 300)
        assert loud[0] / spoken.rate < 0.03
        assert len(spoken.pcm) / 2 / spoken.rate - loud[-1] / spoken.rate < trail + 0.04


@pytest.mark.parametrize("text", ["", " ", "...", "\x00\x01\x7f", "\ud800", "- –"])
def test_a_text_without_sounds_is_no_speech(tiny: PiperModel, text: str) -> None:
    assert tiny.speak(text, speaker=None, speed=1.0).pcm == b""


@pytest.mark.parametrize(
    "text", ["a\x00b\x1b <b>c</b> [[h@'loU]] \n d & e", "日本語", "привет мир", "שלום", "🙂", "9" * 240]
)
def test_text_is_text(tiny: PiperModel, text: str) -> None:
    spoken = tiny.speak(text, speaker=None, speed=1.0)
    assert spoken.pcm
    words = text.translate({ord(sign): " " for sign in "\x00\x1b[]"}).split()
    assert [text[mark.start : mark.end] for mark in spoken.marks] == words


def test_what_looks_like_phonemes_is_read_as_letters(tiny: PiperModel) -> None:
    phonemes = tiny.speak("[[hello]]", speaker=None, speed=1.0)
    assert len(phonemes.pcm) == len(tiny.speak("  hello  ", speaker=None, speed=1.0).pcm)


async def test_a_very_long_text_is_said_in_pieces(piper: WyomingTts) -> None:
    speech = await say(piper, "number " * 300)
    assert seconds(speech) > 60
    assert len(speech.marks) == 300


def test_phonemes_are_cut_between_words_and_never_many() -> None:
    words = list("abcdefg " * 200)
    parts = list(cut(words))
    assert [sound for part in parts for sound in part] == words
    assert all(len(part) <= MAX_PHONEMES and part[-1] == " " for part in parts)
    assert [len(part) for part in cut(["x"] * (2 * MAX_PHONEMES + 1))] == [MAX_PHONEMES, MAX_PHONEMES, 1]
    assert list(cut([])) == []


# ---- voices


def test_speakers_by_name_or_number(tiny: PiperModel, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny._voice.config
    monkeypatch.setattr(config, "num_speakers", 3)
    monkeypatch.setattr(config, "speaker_id_map", {"amy": 0, "bob": 2})
    assert (tiny.speaker("bob"), tiny.speaker("1"), tiny.speaker("")) == (2, 1, None)
    for wrong in ("3", "eve", "-1"):
        with pytest.raises(Exception, match="it has 3: amy, bob"):
            tiny.speaker(wrong)


def test_only_some_voices_stay_loaded(tmp_path: Path) -> None:
    files = {name: look_at(copy_of(tmp_path, name)) for name in ("a", "b", "c")}
    voices = PiperVoices(files, cores=1, keep=2)
    for name in ("a", "b", "a", "c", "a"):
        assert voices.speak("hello", Voice(name)).pcm
    assert list(voices._loaded) == ["c", "a"]


def test_who_has_his_voice_waits_for_no_other_and_two_load_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that are configured are loaded in the background."""
    begun, gate, loads = threading.Event(), threading.Event(), []

    class Slow(PiperModel):
        def __init__(self, path: Path, cores: int) -> None:
            loads.append(path.stem)
            if path.stem == "b":
                begun.set()
                assert gate.wait(20)
            super().__init__(path, cores)

    monkeypatch.setattr("voicebridge.engines.piper.PiperModel", Slow)
    files = {name: look_at(copy_of(tmp_path, name)) for name in ("a", "b", "c")}
    voices = PiperVoices(files, cores=1, keep=3)
    voices.speak("One.", Voice("a"))
    with ThreadPoolExecutor(2) as others:
        loading = others.submit(voices.load)
        assert begun.wait(20)
        also = others.submit(voices.speak, "Two.", Voice("b"))
        assert voices.speak("Three.", Voice("a")).pcm
        assert not also.done()
        gate.set()
        assert also.result(20).pcm
        loading.result(20)
    assert loads == ["a", "b", "c"] and set(voices._loaded) == {"a", "b", "c"}


def test_a_voice_that_cannot_be_loaded_hinders_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {name: look_at(copy_of(tmp_path, name)) for name in ("a", "b")}
    files["a"].path.write_bytes(b"no model")
    voices = PiperVoices(files, cores=1, keep=2)
    voices.load()
    assert list(voices._loaded) == ["b"] and "'a' cannot be loaded" in caplog.text
    with pytest.raises(ValueError, match="protobuf"):
        voices.speak("One.", Voice("a"))


def test_a_language_has_its_voice_and_a_region_comes_first(tmp_path: Path) -> None:
    def speaks(code: str) -> Callable[[dict], object]:
        return lambda settings: settings["language"].update(code=code)

    files = {name: look_at(copy_of(tmp_path, name, speaks(name))) for name in ("en_US", "en_GB", "de_DE")}
    voices = PiperVoices(files, cores=1, keep=1)
    wanted = ("en", "en-gb", "EN_au", "de-AT")
    assert [voices._by_language(language) for language in wanted] == ["en_US", "en_GB", "en_US", "de_DE"]


# ---- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"voice": "/nowhere/amy.onnx"}, "/nowhere/amy.onnx is not there"),
        ({"voice": "no_such_name"}, "no model 'no_such_name'"),
        ({"voice": str(TINY), "voices": {"a": str(TINY)}}, "either `voice` or `voices`"),
        ({"voices": {"a#1": str(TINY)}}, "'a#1' is no name for a voice"),
        ({"threads": -1}, "threads: "),
        ({"pace": 2}, "pace: "),
    ],
)
def test_options_that_cannot_be_used_are_refused_with_the_cure(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        ENGINE.create(options)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda model, settings: settings.unlink(), "is not there; a voice is two files"),
        (lambda model, settings: settings.write_text("no json"), "does not describe a Piper voice"),
        (lambda model, settings: settings.write_text('{"audio": {}}'), "does not describe a Piper voice"),
        (lambda model, settings: model.write_bytes(b""), "is empty"),
    ],
)
def test_half_a_voice_is_refused_with_the_cure(tmp_path: Path, damage: Callable, message: str) -> None:
    model = copy_of(tmp_path, "half")
    damage(model, Path(f"{model}.json"))
    with pytest.raises(ConfigError, match=message):
        ENGINE.create({"voice": str(model)})


def test_another_file_is_another_identity(tmp_path: Path) -> None:
    model = copy_of(tmp_path, "amy")
    before = ENGINE.create({"voice": str(model)}).identity
    assert ENGINE.create({"voice": str(model), "threads": 1}).identity == before
    model.write_bytes(model.read_bytes() + b"\0")
    assert ENGINE.create({"voice": str(model)}).identity != before
    assert "amy=" in before
