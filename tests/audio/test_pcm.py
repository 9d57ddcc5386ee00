"""Raw audio: sizes, views and the soft cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.audio import pcm

LOUD = np.full(160, 20_000, dtype="<i2").tobytes()


@pytest.mark.parametrize(("rate", "size"), [(8_000, 320), (16_000, 640), (44_100, 1764), (48_000, 1920)])
def test_a_frame_is_20_ms(rate: int, size: int):
    assert pcm.frame_bytes(rate) == size == len(pcm.silence(pcm.FRAME_S, rate))
    assert pcm.frame_samples(rate) * pcm.SAMPLE_BYTES == size


def test_samples_are_little_endian_and_leave_an_odd_byte_out():
    assert pcm.samples(b"\x01\x00\xff\x7f\x00\x80\x99").tolist() == [1, 32767, -32768]
    assert len(pcm.samples(b"")) == len(pcm.samples(b"\x00")) == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_samples_of_any_buffer(kind):
    assert pcm.samples(kind(LOUD)).tolist() == [20_000] * 160


def test_a_fade_ends_in_silence_within_its_time():
    faded = pcm.samples(pcm.fade_out(LOUD, 8_000))
    assert len(faded) == 160
    assert faded[0] == 20_000
    assert not faded[40:].any()
    assert all(a >= b for a, b in zip(faded[:40], faded[1:40], strict=False))
    assert max(abs(np.diff(faded.astype(int)))) < 600, "a step is a click"


@given(data=st.binary(max_size=400), seconds=st.floats(0.0, 0.05))
def test_a_fade_never_gets_louder_or_longer(data: bytes, seconds: float):
    before = np.abs(pcm.samples(data).astype(int))
    after = np.abs(pcm.samples(pcm.fade_out(data, 8_000, seconds)).astype(int))
    assert len(after) == len(before)
    assert (after <= before).all()
