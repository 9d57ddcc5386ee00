"""Slow and faulty tools in a real call: never silent for long, told truly, and the call goes on."""

from __future__ import annotations

import pytest

from bench.tools import Weather, press, running

pytestmark = pytest.mark.models

SILENCE_S = 1.5
SLACK_S = 0.7
"""For a busy machine."""


async def test_what_callers_hear_of_slow_and_faulty_tools(tmp_path):
    daemon = await running(tmp_path, 5.0, Weather())
    try:
        slow, fails, garbage, huge, after = await press(daemon, "12456")
    finally:
        await daemon.close()
    assert (slow.cause, fails.cause, garbage.cause, huge.cause) == ("", "error", "invalid_result", "too_large")
    assert slow.words.startswith("One moment.")
    assert slow.words.endswith("I have found it at last.")
    assert all("did not work" in each.words for each in (fails, garbage, huge))
    assert after.words == "Yes, I am still here."
    assert max(each.silence_s for each in (slow, fails, garbage, huge, after)) <= SILENCE_S + SLACK_S
