"""Sounds that are computed: the two tones of a key, and music to wait by."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

# ITU-T Q.23: a low and a high tone a key, Hz.
_LOW = (697, 770, 852, 941)
_HIGH = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")
TONE_S = 0.1
GAP_S = 0.1
LEVEL = 0.35
"""Of full scale, each tone."""


def keys(digits: str, rate: int) -> bytes:
    """Keys as they sound (0-9 A-D * #), each followed by a gap: 16-bit mono PCM. Raises ValueError for others."""
    parts = []
    at = np.arange(round(TONE_S * rate)) / rate
    for digit in digits.upper():
        row = next((row for row, names in enumerate(_KEYS) if digit in names), None)
        if row is None:
            raise ValueError(f"{digit!r} is no key of a telephone")
        low, high = _LOW[row], _HIGH[_KEYS[row].index(digit)]
        tone = LEVEL * (np.sin(2 * math.pi * low * at) + np.sin(2 * math.pi * high * at))
        parts += [(tone * 32767).astype(np.int16), np.zeros(round(GAP_S * rate), np.int16)]
    return b"".join(part.tobytes() for part in parts)


# A slow broken chord, C - Am - F - G, in equal temperament (semitones from A4 = 440 Hz).
_CHORDS = ((-9, -5, -2, 3), (-12, -9, -5, 0), (-16, -12, -9, -4), (-14, -10, -7, -2))
NOTE_S = 0.5
HOLD_LEVEL = 0.10
"""Of full scale: music under a conversation, not a concert."""


def hold_music(rate: int) -> bytes:
    """Eight seconds that can be played in a loop, ours and so free of rights: 16-bit mono PCM.

    Every note rings into the next one, so that it is never silent, not even for 20 ms.
    """
    count = len(_CHORDS) * 4
    step = round(NOTE_S * rate)
    music = np.zeros(count * step)
    at = np.arange(3 * step) / rate
    for index in range(count):
        hz = 440.0 * 2 ** (_CHORDS[index // 4][(0, 2, 1, 3)[index % 4]] / 12)
        note = np.sin(2 * math.pi * hz * at) + 0.3 * np.sin(4 * math.pi * hz * at)
        note *= np.minimum(1.0, at / 0.01) * np.exp(-1.6 * at)
        where = (index * step + np.arange(len(note))) % len(music)  # the end rings into the beginning
        music[where] += note
    made: npt.NDArray[np.float64] = music * (HOLD_LEVEL * 32767 / np.abs(music).max())
    return made.astype(np.int16).tobytes()


class Loop:
    """Music that goes round. `next(size)` gives so many bytes."""

    def __init__(self, pcm: bytes) -> None:
        self._pcm = pcm
        self._at = 0

    def next(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size:
            piece = self._pcm[self._at : self._at + size - len(out)]
            out += piece
            self._at = (self._at + len(piece)) % len(self._pcm)
        return bytes(out)


DUCKED = 0.25


def under(music: bytes, speech: bytes) -> bytes:
    """A frame of music below a frame of speech; full where nothing is said. Both 16-bit mono of one length."""
    said = np.frombuffer(speech, np.int16).astype(np.int32)
    played = np.frombuffer(music, np.int16).astype(np.int32)
    mixed = said + (played * DUCKED).astype(np.int32) if said.any() else played
    made: Samples = np.clip(mixed, -32768, 32767).astype(np.int16)
    return made.tobytes()
