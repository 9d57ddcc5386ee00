"""Hold music of the owner's own."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import pytest

from voicebridge.config import ConfigError
from voicebridge.handoff.hold import hold_music
from voicebridge.targets import HandoffSettings


def music(path: Path, *, channels: int = 1, rate: int = 8000, pcm: bytes = b"\1\2" * 80) -> HandoffSettings:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm)
    return HandoffSettings(hold_music=path)


def test_the_file_is_read_and_none_is_none(tmp_path):
    assert hold_music(music(tmp_path / "a.wav")) == b"\1\2" * 80
    assert hold_music(HandoffSettings()) == b""


def test_what_cannot_be_played_is_told_with_the_cure(tmp_path):
    with pytest.raises(ConfigError, match=re.escape("16 bits, 8000 Hz. Try: sox a.wav -c 1 -b 16 -r 8000")):
        hold_music(music(tmp_path / "a.wav", rate=44100))
    with pytest.raises(ConfigError, match="must be mono"):
        hold_music(music(tmp_path / "a.wav", channels=2))
    with pytest.raises(ConfigError, match="is empty"):
        hold_music(music(tmp_path / "a.wav", pcm=b""))
    (tmp_path / "b.wav").write_bytes(b"nothing of the kind")
    with pytest.raises(ConfigError, match="is not a WAV file"):
        hold_music(HandoffSettings(hold_music=tmp_path / "b.wav"))
    with pytest.raises(ConfigError, match="cannot|No such file"):
        hold_music(HandoffSettings(hold_music=tmp_path / "none.wav"))
