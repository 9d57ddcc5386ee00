"""The media clock on a real event loop: absolute deadlines, faults kept apart, stalls skipped."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from voicebridge.audio.clock import MAX_BACKLOG, Lateness, Ticker


@pytest.fixture
async def ticker():
    made = Ticker(frame_s=0.01)
    yield made
    made.stop()


async def until(condition, limit_s: float = 5.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)


async def test_ticks_keep_to_absolute_deadlines_however_long_a_tick_takes(ticker: Ticker):
    """Each tick burns 8 of its 10 ms: with relative sleeps 40 ticks would take 0.72 s, with deadlines 0.40."""
    seen: list[float] = []

    def slow(now: float) -> None:
        seen.append(now)
        time.sleep(0.008)

    ticker.add(slow)
    began = time.monotonic()
    ticker.start()
    await until(lambda: len(seen) + ticker.lateness.skipped >= 40)
    assert time.monotonic() - began < 0.65
    assert seen == sorted(seen)


async def test_nothing_ticks_before_start_or_after_stop(ticker: Ticker):
    seen: list[float] = []
    ticker.add(seen.append)
    await asyncio.sleep(0.03)
    assert seen == []
    ticker.start()
    ticker.start()  # a second one changes nothing
    await until(lambda: len(seen) >= 3)
    ticker.stop()
    count = len(seen)
    await asyncio.sleep(0.05)
    assert len(seen) == count
    ticker.start()
    await until(lambda: len(seen) > count)


async def test_a_function_may_stop_the_clock(ticker: Ticker):
    seen: list[float] = []

    def last(now: float) -> None:
        seen.append(now)
        ticker.stop()

    ticker.add(last)
    ticker.start()
    await asyncio.sleep(0.06)
    assert len(seen) == 1


async def test_one_that_raises_is_logged_and_taken_out_and_the_others_go_on(ticker: Ticker, caplog):
    good: list[float] = []
    calls = 0

    def bad(now: float) -> None:
        nonlocal calls
        calls += 1
        raise ZeroDivisionError

    ticker.add(good.append)
    ticker.add(bad)
    ticker.add(good.append)
    ticker.start()
    with caplog.at_level(logging.ERROR):
        await until(lambda: len(good) >= 10)
    assert calls == 1
    assert len(ticker) == 2
    assert [r.exc_info[0] for r in caplog.records if r.exc_info] == [ZeroDivisionError]


async def test_functions_may_come_and_go_during_a_tick(ticker: Ticker):
    seen: list[str] = []
    tickets: dict[str, int] = {}

    def first(now: float) -> None:
        seen.append("first")
        ticker.remove(tickets["second"])
        ticker.remove(tickets["second"])  # twice does no harm
        ticker.remove(tickets["first"])
        ticker.add(lambda now: seen.append("third"))

    tickets["first"] = ticker.add(first)
    tickets["second"] = ticker.add(lambda now: seen.append("second"))
    ticker.start()
    await until(lambda: "third" in seen)
    assert seen.count("first") == 1
    assert "second" not in seen, "removed before its turn in the same tick"
    assert len(ticker) == 1


async def test_a_short_delay_is_made_up_for_and_a_long_stall_is_not(ticker: Ticker):
    seen: list[float] = []
    ticker.add(seen.append)
    ticker.start()
    await until(lambda: len(seen) >= 2)
    before = len(seen)
    time.sleep(0.25)  # the whole process hangs for 25 frames
    await asyncio.sleep(0.035)
    assert ticker.lateness.skipped >= 20
    assert len(seen) - before <= 6 + MAX_BACKLOG, "25 frames at once would only come too late"
    assert ticker.lateness.worst_s >= 0.2


async def test_the_last_tick_is_a_heartbeat(ticker: Ticker):
    ticker.start()
    await asyncio.sleep(0.05)
    assert time.monotonic() - ticker.last_tick < 0.5
    ticker.stop()
    stopped = ticker.last_tick
    await asyncio.sleep(0.03)
    assert ticker.last_tick == stopped


async def test_work_before_the_tick_in_the_same_round_counts_as_late(ticker: Ticker):
    """The loop's own clock stands still during a round; the callers' ears do not."""
    ticker.start()
    await asyncio.sleep(0.002)
    asyncio.get_running_loop().call_later(0.002, time.sleep, 0.06)
    await asyncio.sleep(0.1)
    assert ticker.lateness.worst_s >= 0.04


@pytest.mark.parametrize(("share", "bound"), [(0.5, 1.0), (0.9, 5.0), (0.99, 60.0), (1.0, 700.0)])
def test_quantiles_are_upper_bounds_of_the_histogram(share: float, bound: float):
    lateness = Lateness()
    for late_ms in [0.5] * 80 + [4.0] * 15 + [50.0] * 4 + [700.0]:
        lateness.note(late_ms / 1000)
    assert lateness.quantile_ms(share) == pytest.approx(bound)
    assert sum(lateness.counts) == 100


def test_no_share_of_ticks_was_later_than_the_latest():
    lateness = Lateness()
    for late_ms in [0.5] * 90 + [7.0] * 10:
        lateness.note(late_ms / 1000)
    assert lateness.quantile_ms(0.99) == pytest.approx(7.0)


def test_a_clock_that_never_ticked_was_never_late():
    assert Lateness().quantile_ms(0.999) <= 1.0
    assert Lateness().worst_s == 0.0
