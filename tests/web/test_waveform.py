"""The outline of a recording."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from voicebridge.web import waveform


def wav(path, sound, channels=2, rate=8000):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.asarray(sound, dtype="<i2").tobytes())


def test_each_side_is_loud_where_it_speaks(tmp_path):
    sound = np.zeros((16_000, 2))
    sound[:8000, 0] = 32_767
    sound[8000:, 1] = -16_384
    wav(tmp_path / "a.wav", sound)
    found = waveform.read(tmp_path / "a.wav")
    half = len(found.caller) // 2
    assert found.seconds == pytest.approx(2.0)
    assert min(found.caller[: half - 1]) == 1.0 and max(found.caller[half + 1 :]) == 0.0
    assert max(found.agent[: half - 1]) == 0.0 and min(found.agent[half + 1 :]) == pytest.approx(0.5**0.6, abs=0.01)


def test_a_long_call_is_read_in_pieces_and_ends_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(waveform, "CHUNK_FRAMES", 1000)
    sound = np.zeros((100_003, 2))
    sound[-1, 1] = 30_000
    wav(tmp_path / "a.wav", sound)
    found = waveform.read(tmp_path / "a.wav")
    assert waveform.POINTS * 0.9 < len(found.agent) <= waveform.POINTS
    assert found.agent[-1] > 0.9 and max(found.agent[:-1]) == 0


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all" * 10], ids=["empty", "torn", "text"])
def test_what_is_no_recording_has_no_outline(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    assert waveform.read(tmp_path / "a.wav") is None
    assert waveform.read(tmp_path / "none.wav") is None


def test_one_side_alone_has_no_outline(tmp_path):
    wav(tmp_path / "a.wav", np.zeros(800), channels=1)
    assert waveform.read(tmp_path / "a.wav") is None


def test_the_outline_is_closed_and_mirrored():
    assert waveform.path((1.0, 0.0), 30, 20) == "M0.0 10.0 L500.0 29.4 L500.0 30.6 L0.0 50.0Z"
    assert waveform.path((), 30, 20) == ""
