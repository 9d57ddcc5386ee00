"""opening_hours: said as people say it, and true as data."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from voicebridge.tools.builtin.opening import HoursSettings, opening_hours, spoken_time

BERLIN = ZoneInfo("Europe/Berlin")
SETTINGS = {
    "week": "mon-fri 09:00-12:00 13:00-17:30, sat 10:00-14:00", "closed": ["2026-12-24..2026-12-26"],
    "special": {"2026-12-23": "09:00-12:00"}, "timezone": "Europe/Berlin",
}  # fmt: skip
TUESDAY = datetime(2026, 12, 1, 10, 15, tzinfo=BERLIN)


async def asked(bench, now=TUESDAY, settings=None, language="en", **arguments):
    runner = bench.runner(opening_hours, settings={"opening_hours": settings or SETTINGS}, now=lambda: now)
    call = dataclasses.replace(bench.call, language=language)
    outcome = await runner.run(call, 1, "opening_hours", json.dumps(arguments))
    assert outcome.ok, outcome
    return outcome.say, json.loads(outcome.data)


@pytest.mark.parametrize(
    ("now", "arguments", "said"),
    [
        (TUESDAY, {}, "Yes, we are open now, until noon."),
        (TUESDAY.replace(hour=12, minute=30), {}, "No, we are closed now. We open today at 1 pm."),
        (TUESDAY.replace(hour=18), {}, "No, we are closed now. We open tomorrow at 9 am."),
        (datetime(2026, 12, 5, 15, tzinfo=BERLIN), {}, "No, we are closed now. We open on Monday at 9 am."),
        (datetime(2026, 12, 24, 10, tzinfo=BERLIN), {}, "No, we are closed now. We open on Monday at 9 am."),
        (TUESDAY, {"day": "2026-12-01"}, "Yes, we are open now, until noon."),
        (TUESDAY, {"day": "2026-12-05"}, "We are open on Saturday from 10 am to 2 pm."),
        (TUESDAY, {"day": "2026-12-04"}, "We are open on Friday from 9 am to noon and from 1 pm to 5:30 pm."),
        (TUESDAY, {"day": "2026-12-06"}, "We are closed on Sunday."),
        (TUESDAY, {"day": "2026-12-25"}, "We are closed on Friday, December 25."),
        (TUESDAY, {"day": "2026-12-23"}, "We are open on Wednesday, December 23 from 9 am to noon."),
        (TUESDAY, {"day": "2026-12-02", "at": "16:00"}, "Yes, we are open tomorrow at 4 pm, until 5:30 pm."),
        (TUESDAY, {"at": "20:00"}, "No, we are closed today at 8 pm. We open tomorrow at 9 am."),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_it_says_whether_and_when(bench, now, arguments, said):
    assert (await asked(bench, now, **arguments))[0] == said


@pytest.mark.parametrize(
    ("week", "now", "said"),
    [
        ("24/7", TUESDAY, "Yes, we are open now."),
        ("closed", TUESDAY, "No, we are closed now."),
        ("daily 18:00-02:00", TUESDAY.replace(hour=23), "Yes, we are open now, until 2 am."),
        ("daily 08:00-24:00", TUESDAY, "Yes, we are open now, until midnight."),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_weeks_of_other_kinds(bench, week, now, said):
    assert (await asked(bench, now, {"week": week, "timezone": "Europe/Berlin"}))[0] == said


async def test_data_is_there_in_every_language_and_words_in_english(bench):
    said, data = await asked(bench, language="de")
    assert said == ""
    assert data == {
        "open": True, "at": "2026-12-01T10:15+01:00", "closes": "2026-12-01T12:00+01:00", "next_opening": None,
        "today": ["09:00-12:00", "13:00-17:30"],
    }  # fmt: skip
    _, data = await asked(bench, TUESDAY.replace(hour=18))
    assert (data["open"], data["closes"], data["next_opening"]) == (False, None, "2026-12-02T09:00+01:00")


async def test_now_may_come_from_another_zone(bench):
    said, _ = await asked(bench, TUESDAY.astimezone(ZoneInfo("America/New_York")))
    assert said == "Yes, we are open now, until noon."


def test_times_of_day_are_said_in_twelve_hours():
    said = [spoken_time(time(h, m)) for h, m in ((0, 0), (9, 0), (9, 5), (12, 0), (12, 30), (13, 0), (23, 59))]
    assert said == ["12 am", "9 am", "9:05 am", "noon", "12:30 pm", "1 pm", "11:59 pm"]


@pytest.mark.parametrize(
    "settings", [{}, {"week": "someday 9-5"}, {"week": "mon 09:00-17:00", "timezone": "Mars"}, {"weeks": "24/7"}],
    ids=["none", "no week", "no zone", "typo"],
)  # fmt: skip
def test_settings_are_checked(settings):
    with pytest.raises(ValidationError):
        HoursSettings.model_validate(settings)
