"""Whisper's features, against those that transformers 5.24 makes."""

from __future__ import annotations

import numpy as np
import pytest

from voicebridge.audio.logmel import RATE, log_mel

# pip install transformers numpy; then, for the audio of `whole()` and do_normalize False and True,
# WhisperFeatureExtractor(chunk_length=8)(audio, sampling_rate=16_000, return_tensors="np", do_normalize=...)
PLAIN = {(0, 0): -0.7502, (4, 599): 0.1165, (4, 605): 1.0628, (12, 640): 0.1625, (30, 700): 0.1782,
         (45, 720): 0.1916, (52, 790): 0.0925, (70, 799): 0.1595, (79, 650): 0.1304}  # fmt: skip
NORMAL = {(0, 0): -0.0484, (4, 599): 0.6824, (4, 605): 1.6287, (12, 640): 0.7284, (30, 700): 0.7440,
          (45, 720): 0.7575, (52, 790): 0.6584, (70, 799): 0.7254, (79, 650): 0.6963}  # fmt: skip
MEAN = {"plain": -0.51853, "normal": 0.04861}


def whole() -> np.ndarray:
    """Six seconds of nothing, then a rising tone, a high one that grows, and noise."""
    t = np.arange(2 * RATE) / RATE
    x = (0.2 * np.sin(2 * np.pi * (150 * t + 900 * t * t)) + 0.05 * np.sin(2 * np.pi * 3100 * t) * t).astype(np.float32)
    x += np.random.default_rng(4).normal(0, 0.01, 2 * RATE).astype(np.float32)
    return np.concatenate([np.zeros(6 * RATE, np.float32), x])


@pytest.mark.parametrize(("kind", "expected"), [("plain", PLAIN), ("normal", NORMAL)])
def test_the_features_are_those_of_whisper(kind: str, expected: dict[tuple[int, int], float]) -> None:
    audio = whole()
    if kind == "normal":
        audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)
    made = log_mel(audio)
    assert (made.shape, made.dtype) == ((80, 800), np.float32)
    assert {place: float(made[place]) for place in expected} == pytest.approx(expected, abs=2e-4)
    assert float(made.mean()) == pytest.approx(MEAN[kind], abs=1e-4)


def test_silence_is_the_same_everywhere_and_a_tone_lies_in_its_own_band() -> None:
    assert np.ptp(log_mel(np.zeros(RATE, np.float32))) == 0.0
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    assert set(log_mel(tone)[:, 10:90].argmax(axis=0)) == {26}  # of 80 bands up to 45.2 mels, 1 kHz is at 15
