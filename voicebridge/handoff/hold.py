"""The owner's own hold music, read once and checked."""

from __future__ import annotations

import wave

from voicebridge.config import ConfigError
from voicebridge.targets import HandoffSettings

HOLD_RATE = 8_000


def hold_music(settings: HandoffSettings) -> bytes:
    """16-bit mono PCM at HOLD_RATE; empty where none is configured (`audio.tones.hold_music` is played then)."""
    path = settings.hold_music
    if path is None:
        return b""
    try:
        with wave.open(str(path), "rb") as file:
            shape = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            pcm = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise ConfigError(f"handoff.hold_music: {path} is not a WAV file that can be read: {error}") from None
    if shape != (1, 2, HOLD_RATE):
        cure = f"sox {path.name} -c 1 -b 16 -r {HOLD_RATE} hold.wav"
        raise ConfigError(f"handoff.hold_music: {path} must be mono, 16 bits, {HOLD_RATE} Hz. Try: {cure}")
    if not pcm:
        raise ConfigError(f"handoff.hold_music: {path} is empty")
    return pcm
