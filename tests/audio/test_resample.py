"""Changing rates: what is heard stays, what was never there does not appear, streams have no seams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebridge.audio.pcm import samples
from voicebridge.audio.resample import Doubler, resample_segment


def sine(hz: float, rate: int, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def level(sound: np.ndarray, hz: float, rate: int) -> float:
    """The amplitude of one frequency, by correlation over the middle of the sound."""
    middle = sound[len(sound) // 4 : len(sound) * 3 // 4]
    turn = np.exp(-2j * np.pi * hz * np.arange(len(middle)) / rate)
    return float(2 * abs(np.mean(middle * turn)))


@pytest.mark.parametrize(("rate", "to"), [(22_050, 8_000), (22_050, 16_000), (8_000, 16_000), (16_000, 8_000)])
def test_a_segment_keeps_its_length_and_its_tone(rate: int, to: int):
    made = resample_segment((sine(1_000, rate) * 32767).astype("<i2").tobytes(), rate, to)
    assert len(made) // 2 == pytest.approx(0.5 * to, abs=2)
    assert level(samples(made) / 32767, 1_000, to) == pytest.approx(0.5, rel=0.02)


def test_what_the_new_rate_cannot_hold_is_gone_and_not_folded_down():
    made = samples(resample_segment((sine(5_500, 22_050) * 32767).astype("<i2").tobytes(), 22_050, 8_000)) / 32767
    assert level(made, 2_500, 8_000) < 0.001


@pytest.mark.parametrize("rate", [16_000, 22_050])
def test_a_voice_s_whole_band_reaches_the_telephone_s_and_no_more(rate: int):
    """Every frequency of it, in one sound: flat up to 3.4 kHz, and nothing of what lay above 4.2 kHz."""
    noise = np.random.default_rng(1).normal(0, 1, rate)
    spectrum, hertz = np.fft.rfft(noise), np.fft.rfftfreq(rate, 1 / rate)

    def level_of(low: float, high: float) -> float:
        band = np.fft.irfft(np.where((hertz >= low) & (hertz < high), spectrum, 0), rate)
        band *= 0.5 / np.abs(band).max()
        made = samples(resample_segment((band * 32767).astype("<i2").tobytes(), rate, 8_000)) / 32767
        return float(20 * np.log10(np.sqrt((made[400:-400] ** 2).mean() / (band**2).mean())))

    assert all(abs(level_of(low, low + 400)) < 0.5 for low in range(200, 3_400, 400))
    assert level_of(4_200, rate / 2) < -60


def test_the_same_rate_and_nothing_are_given_back():
    assert resample_segment(b"\x01\x00", 8_000, 8_000) == b"\x01\x00"
    assert resample_segment(b"", 22_050, 8_000) == b""


def test_full_scale_does_not_wrap_round():
    square = np.repeat(np.array([32767, -32768] * 200, dtype="<i2"), 40)
    made = samples(resample_segment(square.tobytes(), 16_000, 8_000)).astype(int)
    assert (made[5:15] > 30_000).all()
    assert (made[25:35] < -30_000).all()


@pytest.mark.parametrize("hz", [100, 300, 1_000, 2_500, 3_400])
def test_the_doubler_keeps_the_voice_and_makes_no_image(hz: int):
    made = Doubler().feed(sine(hz, 8_000))
    assert level(made, hz, 16_000) == pytest.approx(0.5, rel=0.08 if hz < 3_000 else 0.35)
    assert level(made, 8_000 - hz, 16_000) < (0.01 if hz < 3_000 else 0.12), "the mirror above 4 kHz"


def test_the_doubler_lags_less_than_a_millisecond():
    pulse = np.zeros(400, dtype=np.float32)
    pulse[100] = 1.0
    made = Doubler().feed(pulse)
    assert 0 < int(np.abs(made).argmax()) - 200 <= 16


@settings(max_examples=60)
@given(cuts=st.lists(st.integers(0, 400), max_size=20))
def test_the_doubler_has_no_seams(cuts):
    data = np.random.default_rng(7).uniform(-1, 1, 400).astype(np.float32)
    whole = Doubler().feed(data)
    stream, parts = Doubler(), []
    edges = sorted({0, 400, *cuts})
    for a, b in zip(edges, edges[1:], strict=False):
        parts.append(stream.feed(data[a:b]))
        assert len(parts[-1]) == 2 * (b - a)
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    assert len(stream.feed(np.zeros(0, dtype=np.float32))) == 0
