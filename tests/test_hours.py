"""Opening hours: what is read, what is refused, and moments around midnight and the two nights of the clock change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.hours import DAYS, Hours, closing, is_open, local_zone, next_opening, parse_hours

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = "mon-fri 09:00-12:00 13:00-17:30, sat 10:00-14:00"


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def hours(week: str, **more: object) -> Hours:
    return parse_hours(week, timezone="Europe/Berlin", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2026-12-01 08:59:59", False),  # a Tuesday
        ("2026-12-01 09:00:00", True),
        ("2026-12-01 11:59:59", True),
        ("2026-12-01 12:00:00", False),
        ("2026-12-01 13:00:00", True),
        ("2026-12-01 17:29:59", True),
        ("2026-12-01 17:30:00", False),
        ("2026-12-05 10:00:00", True),
        ("2026-12-05 14:00:00", False),
        ("2026-12-06 11:00:00", False),
    ],
)
def test_a_week_is_open_when_it_says_so(moment, opened):
    assert is_open(hours(OFFICE), at(moment)) is opened


def test_the_zone_of_the_hours_counts_not_that_of_who_asks():
    assert is_open(hours(OFFICE), datetime(2026, 12, 1, 8, 30, tzinfo=UTC))
    assert not is_open(hours(OFFICE), datetime(2026, 12, 1, 9, 30, tzinfo=ZoneInfo("Asia/Tokyo")))


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="aware"):
        is_open(hours(OFFICE), datetime(2026, 12, 1, 9, 30))


@pytest.mark.parametrize("week", ["", "24/7", "always", "daily 00:00-24:00", "mon-sun 00:00-24:00"])
def test_always_open_has_no_closing(week):
    always = hours(week)
    assert is_open(always, at("2026-12-06 03:00"))
    assert next_opening(always, at("2026-12-06 03:00")) == at("2026-12-06 03:00")
    assert closing(always, at("2026-12-06 03:00")) is None


@pytest.mark.parametrize("week", ["closed", "never", "mon closed"])
def test_never_open_has_no_opening(week):
    assert not is_open(hours(week), at("2026-12-01 10:00"))
    assert next_opening(hours(week), at("2026-12-01 10:00")) is None
    assert closing(hours(week), at("2026-12-01 10:00")) is None


@pytest.mark.parametrize(
    ("moment", "opens"),
    [
        ("2026-12-01 07:00", "2026-12-01 09:00"),
        ("2026-12-01 10:00", "2026-12-01 10:00"),
        ("2026-12-01 12:15", "2026-12-01 13:00"),
        ("2026-12-04 18:00", "2026-12-05 10:00"),
        ("2026-12-05 14:00", "2026-12-07 09:00"),
    ],
)
def test_the_next_opening(moment, opens):
    assert next_opening(hours(OFFICE), at(moment)) == at(opens)


@pytest.mark.parametrize(
    ("moment", "closes"),
    [
        ("2026-12-01 10:00", "2026-12-01 12:00"),
        ("2026-12-01 13:00", "2026-12-01 17:30"),
        ("2026-12-05 13:59", "2026-12-05 14:00"),
    ],
)
def test_when_it_closes(moment, closes):
    assert closing(hours(OFFICE), at(moment)) == at(closes)
    assert closing(hours(OFFICE), at("2026-12-06 10:00")) is None


# ---- midnight


NIGHT = "fri-sat 22:00-04:00"


@pytest.mark.parametrize(
    ("moment", "opened"),
    [
        ("2026-12-04 21:59", False),
        ("2026-12-04 22:00", True),
        ("2026-12-05 00:00", True),
        ("2026-12-05 03:59", True),
        ("2026-12-05 04:00", False),
        ("2026-12-06 03:59", True),  # Saturday's night
        ("2026-12-04 03:00", False),  # Thursday's is none
        ("2026-12-06 22:30", False),
    ],
)
def test_a_night_span_belongs_to_the_day_on_which_it_begins(moment, opened):
    assert is_open(hours(NIGHT), at(moment)) is opened


def test_a_night_that_touches_the_next_day_closes_with_it():
    week = hours("mon 20:00-24:00, tue 00:00-02:00, tue 01:00-03:30")
    assert closing(week, at("2026-11-30 21:00")) == at("2026-12-01 03:30")


def test_a_closed_day_does_not_cut_the_night_before():
    week = hours(NIGHT, closed=["2026-12-05"])
    assert is_open(week, at("2026-12-05 03:00"))
    assert not is_open(week, at("2026-12-05 23:00"))
    assert not is_open(week, at("2026-12-06 02:00"))


# ---- exceptions


def test_closed_days_single_between_and_every_year():
    week = hours("daily 09:00-17:00", closed=["2026-12-24", "2026-12-30..2027-01-02", "05-01"])
    closed = ["2026-12-24", "2026-12-30", "2026-12-31", "2027-01-02", "2026-05-01", "2031-05-01"]
    opened = ["2026-12-23", "2026-12-25", "2026-12-29", "2027-01-03", "2027-12-24", "2026-05-02"]
    assert [day for day in closed if is_open(week, at(f"{day} 10:00"))] == []
    assert [day for day in opened if not is_open(week, at(f"{day} 10:00"))] == []
    assert next_opening(week, at("2026-12-30 08:00")) == at("2027-01-03 09:00")


def test_a_special_day_has_spans_of_its_own():
    special = {"2026-12-24": "10:00-12:00", "2026-12-06": "11:00-13:00"}
    week = hours("mon-fri 09:00-17:00", closed=["2026-12-24"], special=special)
    assert closing(week, at("2026-12-24 11:00")) == at("2026-12-24 12:00")
    assert is_open(week, at("2026-12-06 12:00"))  # a Sunday
    assert not is_open(hours("daily 09:00-17:00", special={"2026-12-24": "closed"}), at("2026-12-24 11:00"))


# ---- the clock change (Berlin: 2026-03-29 02:00 -> 03:00, 2026-10-25 03:00 -> 02:00)


def test_a_span_over_the_skipped_hour_is_an_hour_shorter():
    week = hours("sat-sun 22:00-06:00")
    closes = closing(week, at("2026-03-28 22:00"))
    assert closes == at("2026-03-29 06:00")
    assert closes.astimezone(UTC) - at("2026-03-28 22:00").astimezone(UTC) == timedelta(hours=7)


def test_an_opening_in_the_skipped_hour_comes_an_hour_on():
    week = hours("sun 02:30-05:00")
    assert next_opening(week, at("2026-03-29 00:00")).astimezone(UTC) == at("2026-03-29 03:30").astimezone(UTC)
    assert not is_open(week, at("2026-03-29 03:29"))
    assert is_open(week, at("2026-03-29 03:30"))


def test_a_span_that_vanishes_with_the_skipped_hour_is_never_open():
    week = hours("sun 02:30-03:15", closed=[])
    skipped = [at("2026-03-29 01:00").astimezone(UTC) + timedelta(minutes=step) for step in range(180)]
    assert not any(is_open(week, moment) for moment in skipped)


def test_the_hour_that_comes_twice_is_open_once_through():
    week = hours("sun 01:00-03:00")
    closes = closing(week, at("2026-10-25 01:00"))
    assert closes.astimezone(UTC) - at("2026-10-25 01:00").astimezone(UTC) == timedelta(hours=3)
    assert is_open(week, at("2026-10-25 02:30", fold=0))
    assert is_open(week, at("2026-10-25 02:30", fold=1))
    early = hours("sun 01:00-02:30")
    assert is_open(early, at("2026-10-25 02:29", fold=0))
    assert not is_open(early, at("2026-10-25 02:29", fold=1))


# ---- what cannot be read


@pytest.mark.parametrize(
    ("week", "says"),
    [
        ("mon", "write days and times"),
        ("mon-fri", "write days and times"),
        (", mon 09:00-10:00", "write days and times"),
        ("monday 09:00-17:00", "'monday' is no day"),
        ("mon-fry 09:00-17:00", "'fry' is no day"),
        ("mon- 09:00-17:00", "'' is no day"),
        ("mon 9-17", "no span of the day"),
        ("mon 09:00-25:00", "no span of the day"),
        ("mon 24:00-25:00", "no span of the day"),
        ("mon 09:60-10:00", "minutes at 59"),
        ("mon 09:00-09:00", "empty span"),
        ("mon ٠٩:٠٠-١٠:٠٠", "no span of the day"),
    ],
)
def test_a_week_that_cannot_be_read_says_how_it_is_written(week, says):
    with pytest.raises(ValueError, match=says):
        hours(week)


@pytest.mark.parametrize("closed", ["yesterday", "2026-02-30", "13-01", "2026-12-24..", "2026-12-24..2026-12-23", ""])
def test_a_closed_day_that_cannot_be_read_is_refused(closed):
    with pytest.raises(ValueError, match=r"no day|ends before"):
        hours("daily 09:00-17:00", closed=[closed])


def test_a_zone_that_is_none_is_refused_and_an_empty_one_is_the_machines():
    for zone in ("Europe/Atlantis", "../../etc/passwd", "/etc/localtime"):
        with pytest.raises(ValueError, match="no time zone"):
            parse_hours("daily 09:00-17:00", timezone=zone)
    assert parse_hours("daily 09:00-17:00").zone is local_zone()


# ---- properties


SPANS = st.tuples(st.integers(0, 23 * 60 + 59), st.integers(0, 24 * 60)).filter(lambda span: span[0] != span[1])
WEEKS = st.lists(st.tuples(st.sampled_from(DAYS), SPANS), min_size=1, max_size=12).map(
    lambda entries: ", ".join(
        f"{day} {opens // 60:02}:{opens % 60:02}-{closes // 60:02}:{closes % 60:02}" for day, (opens, closes) in entries
    )
)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda moment: moment.replace(tzinfo=UTC))


@given(WEEKS, MOMENTS)
def test_the_next_opening_is_open_and_nothing_before_it_is(week, moment):
    table = hours(week)
    opens = next_opening(table, moment)
    assert opens is not None
    assert opens >= moment
    assert is_open(table, opens)
    assert (opens == moment) is is_open(table, moment)
    gap = (opens - moment) / 7
    assert not any(is_open(table, moment + gap * step) for step in range(7) if opens > moment)


@given(WEEKS, MOMENTS)
def test_a_closing_is_closed_and_everything_before_it_is_open(week, moment):
    table = hours(week)
    closes = closing(table, moment)
    if closes is None:
        assert not is_open(table, moment) or all(
            is_open(table, moment + timedelta(hours=step)) for step in range(0, 24 * 14, 5)
        )
        return
    assert not is_open(table, closes)
    assert all(is_open(table, moment + (closes - moment) / 7 * step) for step in range(7))


@given(st.text(max_size=40))
def test_any_text_is_a_table_or_a_clear_refusal(text):
    try:
        table = parse_hours(text, timezone="UTC")
    except ValueError as error:
        assert str(error)
    else:
        assert len(table.week) == 7
