"""Points in time as people write them."""

from __future__ import annotations

from datetime import datetime

import pytest

from voicebridge.cli.when import point

NOW = datetime(2026, 11, 24, 14, 30).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5_400), ("24h", 86_400), ("7d", 604_800), (" 2W ", 1_209_600), ("3 d", 259_200)]
)
def test_so_long_ago(text, seconds):
    assert point(text, NOW) == NOW - seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20", datetime(2026, 11, 20)),
        ("2026-11-20 14:00", datetime(2026, 11, 20, 14)),
        ("2026-11-20T14:00:30", datetime(2026, 11, 20, 14, 0, 30)),
        ("today", datetime(2026, 11, 24)),
        ("Yesterday", datetime(2026, 11, 23)),
        ("now", datetime(2026, 11, 24, 14, 30)),
    ],
    ids=["date", "minute", "iso", "today", "yesterday", "now"],
)
def test_dates_are_of_this_machines_clock(text, moment):
    assert point(text, NOW) == moment.timestamp()


def test_a_zone_counts():
    assert point("2026-11-20T14:00:00+00:00", NOW) == 1_795_183_200.0


@pytest.mark.parametrize("text", ["", "7", "d", "7y", "20-11-2026", "0000-00-00", "last week", "-3d", "9" * 30 + "d"])
def test_anything_else_is_refused_with_what_may_be_written(text):
    with pytest.raises(ValueError, match="write 90m, 24h, 7d"):
        point(text, NOW)
