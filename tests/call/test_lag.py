"""Audio that waited is told from audio that is missing."""

from __future__ import annotations

import pytest

from voicebridge.call.lag import Lag

RATE, FRAME = 8_000, 160


def late(arrivals: list[float]) -> list[float]:
    lag = Lag(RATE)
    return [round(lag.heard((number + 1) * FRAME, at), 3) for number, at in enumerate(arrivals)]


def test_frames_at_their_pace_are_not_late():
    assert late([5 + 0.02 * number for number in range(100)]) == pytest.approx([0.0] * 100, abs=1e-6)


def test_a_stall_is_seen_in_the_frames_that_waited():
    arrivals = [0.02 * number for number in range(10)] + [0.36] * 9 + [0.38]
    made = late(arrivals)
    assert made[10:19] == pytest.approx([0.16 - 0.02 * number for number in range(9)], abs=1e-6)
    assert made[19] == pytest.approx(0.0, abs=1e-6)


def test_frames_that_never_came_are_not_taken_for_a_wait_for_long():
    made = late([0.02 * number + (0.2 if number >= 50 else 0.0) for number in range(150)])
    assert made[50] == pytest.approx(0.2)
    assert made[110:] == pytest.approx([0.0] * 40, abs=1e-6)


def test_a_line_that_was_silent_for_long_is_not_late():
    assert late([0.0, 0.02, 3.0, 3.02])[2:] == [0.0, 0.0]
    assert late([0.0, 0.02, 0.9])[2] == 0.0


def test_audio_that_comes_faster_than_it_was_spoken_is_not_late():
    assert late([0.001 * number for number in range(50)]) == pytest.approx([0.0] * 50, abs=1e-6)
