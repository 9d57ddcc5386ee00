"""The definition of when somebody speaks, against signals whose answer is known by construction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebridge.audio.measure import first_voiced, last_voiced, longest_silence, voiced_spans

RATES = (8_000, 16_000)


def tone(seconds: float, rate: int, level: float = 0.3, hz: float = 300.0) -> bytes:
    wave = level * 32767 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)
    return wave.astype("<i2").tobytes()


def quiet(seconds: float, rate: int) -> bytes:
    return bytes(2 * round(seconds * rate))


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_between_silences_is_found_to_the_window(rate: int):
    sound = quiet(0.25, rate) + tone(0.5, rate) + quiet(0.35, rate)
    assert voiced_spans(sound, rate) == [(round(0.25 * rate), round(0.75 * rate))]
    assert first_voiced(sound, rate) == round(0.25 * rate)
    assert last_voiced(sound, rate) == round(0.75 * rate) - 1
    assert longest_silence(sound, rate) == pytest.approx(0.35)


@pytest.mark.parametrize("rate", RATES)
def test_silence_and_nothing_have_no_voice(rate: int):
    for sound in (b"", b"\x01", quiet(1.0, rate), tone(1.0, rate, level=0.0005)):
        assert voiced_spans(sound, rate) == []
        assert first_voiced(sound, rate) is None
        assert last_voiced(sound, rate) is None
    assert longest_silence(quiet(1.0, rate), rate) == 1.0


def test_40_db_below_the_peak_is_the_border():
    rate = 8_000
    for db, voiced in ((-37.0, True), (-43.0, False)):
        soft = tone(0.2, rate, level=0.9 * 10 ** (db / 20))
        found = voiced_spans(tone(0.2, rate, level=0.9) + quiet(0.1, rate) + soft, rate)
        assert (len(found) == 2) is voiced


def test_spans_closer_than_asked_become_one():
    rate = 8_000
    sound = tone(0.2, rate) + quiet(0.1, rate) + tone(0.2, rate) + quiet(0.3, rate) + tone(0.1, rate)
    assert len(voiced_spans(sound, rate)) == 3
    assert voiced_spans(sound, rate, join_s=0.2) == [(0, round(0.5 * rate)), (round(0.8 * rate), round(0.9 * rate))]
    assert voiced_spans(sound, rate, join_s=1.0) == [(0, len(sound) // 2)]


@settings(max_examples=50)
@given(
    pieces=st.lists(st.tuples(st.booleans(), st.integers(1, 30)), min_size=1, max_size=12),
    rate=st.sampled_from(RATES),
)
def test_spans_are_what_was_put_in(pieces, rate):
    """Stretches of whole windows, voiced or not, in any order."""
    sound = b"".join(tone(n * 0.01, rate) if voiced else quiet(n * 0.01, rate) for voiced, n in pieces)
    expected, at, window = [], 0, rate // 100
    for voiced, n in pieces:
        if voiced and expected and expected[-1][1] == at:
            expected[-1] = (expected[-1][0], at + n * window)
        elif voiced:
            expected.append((at, at + n * window))
        at += n * window
    assert voiced_spans(sound, rate) == expected
    silences = [b[0] - a[1] for a, b in zip([(0, 0), *expected], [*expected, (at, at)], strict=True)]
    assert longest_silence(sound, rate) == max(silences) / rate


def test_a_last_window_that_is_not_full_does_not_reach_past_the_end():
    rate = 8_000
    sound = tone(0.105, rate)
    assert voiced_spans(sound, rate) == [(0, len(sound) // 2)]
