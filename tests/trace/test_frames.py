"""Frame gaps are counted, with what is late."""

from __future__ import annotations

from voicebridge.trace.frames import FrameGaps


def test_even_frames_are_even():
    gaps = FrameGaps()
    for number in range(200):
        gaps.sent(5.0 + number * 0.02)
    assert gaps.as_dict() == {"sent": 200, "gap_p50_ms": 20, "gap_p99_ms": 20, "gap_max_ms": 20, "late": 0}


def test_a_stall_is_late_and_the_longest():
    gaps = FrameGaps()
    now = 0.0
    for number in range(100):
        now += 0.5 if number == 50 else 0.02
        gaps.sent(now)
    made = gaps.as_dict()
    assert (made["gap_p50_ms"], made["gap_max_ms"], made["late"]) == (20, 500, 1)
    gaps.sent(now + 3.0)
    assert gaps.as_dict()["gap_max_ms"] == 3000
    assert gaps.percentile(100) == 1000, "counted up to a second, and no further"


def test_nothing_is_known_before_the_second_frame():
    gaps = FrameGaps()
    gaps.sent(1.0)
    assert (gaps.percentile(50), gaps.frames) == (None, 1)
