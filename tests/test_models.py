"""The tests' own tiny models are the ones that the recipe names, whole, and the real libraries load them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from tests.models.recipe import mfcc, sentences, sums

MODELS = Path(__file__).parent / "models"
VOSK = MODELS / "vosk-tiny-en"
PIPER = MODELS / "piper-tiny-en"


def test_every_file_of_the_models_has_its_checksum_and_nothing_else_has_one():
    there = {path.relative_to(MODELS).as_posix() for path in MODELS.glob("*-tiny-*/**/*") if path.is_file()}
    assert set(sums.read(MODELS)) == there
    assert {name: sums.digest(MODELS / name) for name in there} == sums.read(MODELS)


def test_what_was_written_is_what_is_read_and_a_changed_byte_shows(tmp_path):
    for name, content in (("a-tiny-en/deep/one", b"1"), ("b-tiny-en/two", b"")):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(content)
    sums.write(tmp_path)
    assert sums.read(tmp_path) == {
        name: sums.digest(tmp_path / name) for name in ("a-tiny-en/deep/one", "b-tiny-en/two")
    }
    (tmp_path / "b-tiny-en/two").write_bytes(b"2")
    assert sums.read(tmp_path)["b-tiny-en/two"] != sums.digest(tmp_path / "b-tiny-en/two")


def test_the_recogniser_knows_the_recipe_s_words_and_hears_as_the_recipe_does():
    words = [line.split()[0] for line in (VOSK / "graph/words.txt").read_text().splitlines()]
    assert words == ["<eps>", "[unk]", *sentences.VOCABULARY, "#0", "<s>", "</s>"]
    assert (VOSK / "conf/mfcc.conf").read_text() == mfcc.CONF


def test_callers_ask_in_words_that_the_recogniser_knows():
    asked = {word for seed in range(2000) for word in sentences.asked(random.Random(seed)).split()}
    assert asked <= set(sentences.VOCABULARY)
    assert len(asked) > 90
    assert not set(sentences.strangers()) & set(sentences.VOCABULARY)


def test_vosk_loads_the_recogniser_and_hears_nothing_in_silence():
    vosk = pytest.importorskip("vosk")
    vosk.SetLogLevel(-1)
    recogniser = vosk.KaldiRecognizer(vosk.Model(str(VOSK)), mfcc.RATE)
    recogniser.AcceptWaveform(bytes(2 * mfcc.RATE))
    assert json.loads(recogniser.FinalResult())["text"] == ""


def test_piper_loads_the_voice_and_speaks():
    piper = pytest.importorskip("piper")
    voice = piper.PiperVoice.load(PIPER / "tiny-voice.onnx")
    (chunk,) = voice.synthesize("one moment please")
    assert chunk.sample_rate == 16_000
    assert 0.6 < len(chunk.audio_float_array) / chunk.sample_rate < 2.0
    assert abs(chunk.audio_float_array).max() > 0.1
