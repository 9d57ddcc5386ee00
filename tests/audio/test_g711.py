"""Mu-law and A-law, against their steps and against known codes of ITU-T G.711."""

from __future__ import annotations

import numpy as np
import pytest

from voicebridge.audio.g711 import BIAS, LAWS, MU, A, Law
from voicebridge.audio.pcm import samples


def error(law: Law) -> tuple[np.ndarray, np.ndarray]:
    every = np.arange(-32_768, 32_768).astype("<i2")
    back = samples(law.decode(law.encode(every.tobytes()))).astype(int)
    return np.abs(every.astype(int)), np.abs(back - every)


def test_mu_law_keeps_speech_within_its_steps():
    size, wrong = error(MU)
    inside = size < 32_000
    assert np.all(wrong[inside] <= (size[inside] + BIAS) / 32 + 1)  # half a step of its segment
    assert MU.decode(bytes((MU.silence,))) == b"\0\0"
    codes = bytes(set(range(256)) - {0x7F})  # 0x7f is the other zero
    assert MU.encode(MU.decode(codes)) == codes


def test_a_law_keeps_speech_within_its_steps():
    size, wrong = error(A)
    inside = size < 32_000
    assert np.all(wrong[inside] <= np.maximum(size[inside] / 32, 8) + 1)
    codes = bytes(range(256))
    assert A.encode(A.decode(codes)) == codes
    assert A.silence == 0xD5


@pytest.mark.parametrize(
    ("law", "code", "value"),
    [("PCMU", 0x00, -32_124), ("PCMU", 0x80, 32_124), ("PCMU", 0xFF, 0), ("PCMU", 0xEF, 132), ("PCMU", 0x90, 15_996),
     ("PCMA", 0x2A, -32_256), ("PCMA", 0xAA, 32_256), ("PCMA", 0xD5, 8), ("PCMA", 0x55, -8), ("PCMA", 0xC5, 264)],
)  # fmt: skip
def test_codes_have_the_values_of_the_standard(law: str, code: int, value: int):
    assert samples(LAWS[law].decode(bytes((code,)))).tolist() == [value]


@pytest.mark.parametrize("name", sorted(LAWS))
def test_loudness_is_read_from_the_codes(name: str):
    tone = (8_000 * np.sin(np.arange(800) * 2 * np.pi / 20)).astype("<i2").tobytes()
    law = LAWS[name]
    assert law.rms(law.encode(tone)) == pytest.approx(8_000 / np.sqrt(2), rel=0.01)
    assert law.rms(bytes((law.silence,)) * 160) < 10
    assert law.rms(b"") == 0.0
