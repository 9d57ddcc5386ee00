"""A hook beside the calls: slow ones, hanging ones, faulty ones, and none of them disturbs a call."""

from __future__ import annotations

import asyncio

import pytest

from tests.call.test_registry import House, Leg, until
from voicebridge.hooks.runner import Runner
from voicebridge.trace.bus import Bus

ENDED = {"event": "call_ended", "call_id": "c1", "at": 1.0, "record": {"turns": ["Grüß Gott"]}}


class Hook:
    """Takes `takes_s` for a happening, or raises."""

    events = frozenset({"call_ended"})

    def __init__(self, takes_s: float = 0.0, fault: BaseException | None = None) -> None:
        self.handled: list[dict] = []
        self.closed = 0
        self._takes_s, self._fault = takes_s, fault

    async def handle(self, happening):
        await asyncio.sleep(self._takes_s)
        if self._fault is not None:
            raise self._fault
        self.handled.append(happening)

    async def close(self):
        self.closed += 1


async def test_it_is_told_what_it_wants_and_closed_once(tmp_path):
    bus, hook = Bus(), Hook()
    runner = Runner("mine", hook)
    runner.start(bus)
    bus.publish({**ENDED, "event": "turn"})
    bus.publish(ENDED)
    await until(lambda: hook.handled)
    await runner.stop()
    bus.publish(ENDED)
    assert (hook.handled, hook.closed) == ([ENDED], 1)
    assert (runner.queued, runner.delivered, runner.failed) == (0, 1, 0)


@pytest.mark.parametrize("fault", [asyncio.CancelledError("Gott"), SystemExit("Gott")], ids=["cancel", "exit"])
async def test_one_that_would_end_more_than_itself_ends_nothing(caplog, fault):
    """One that awaits a task that it has cancelled raises CancelledError; its runner must not take it for its own."""
    bus, hook = Bus(), Hook(fault=fault)
    runner = Runner("mine", hook)
    runner.start(bus)
    bus.publish(ENDED)
    await until(lambda: runner.failed == 1)
    hook._fault = None
    bus.publish(ENDED)
    await until(lambda: hook.handled)
    await asyncio.wait_for(runner.stop(), 10.0)
    assert (runner.delivered, hook.closed) == (1, 1)
    assert "call=c1 events mine: call_ended" in caplog.text and "Gott" not in caplog.text


async def test_what_it_raises_is_logged_without_what_was_said_and_it_is_told_the_next(caplog):
    bus, hook = Bus(), Hook(fault=RuntimeError("Grüß Gott"))
    runner = Runner("mine", hook)
    runner.start(bus)
    bus.publish(ENDED)
    bus.publish(ENDED)
    await until(lambda: runner.failed == 2)
    await runner.stop()
    assert "call=c1 events mine: call_ended failed: RuntimeError" in caplog.text
    assert "Gott" not in caplog.text


async def test_one_that_hangs_loses_that_happening_only(caplog):
    bus, hook = Bus(), Hook(takes_s=60.0)
    runner = Runner("mine", hook, deadline_s=0.05)
    runner.start(bus)
    bus.publish(ENDED)
    await until(lambda: runner.failed == 1)
    hook._takes_s = 0.0
    bus.publish(ENDED)
    await until(lambda: hook.handled)
    await runner.stop()
    assert "took longer than 0.05 s: dropped" in caplog.text


async def test_too_many_for_it_are_dropped_and_counted(caplog):
    bus, hook = Bus(), Hook(takes_s=60.0)
    runner = Runner("mine", hook, waiting=5)
    runner.start(bus)
    for _ in range(9):
        bus.publish(ENDED)
    assert (runner.queued, runner.dropped) == (5, 4)
    await runner.stop(grace_s=0.05)
    assert runner.failed >= 8 and hook.closed == 1
    assert "were not handled before the end" in caplog.text


async def test_one_that_is_no_coroutine_or_fails_to_start_or_close_disturbs_nobody(caplog):
    class Wrong(Hook):
        def handle(self, happening):
            raise KeyError("x")

        async def start(self):
            raise OSError("no")

        async def close(self):
            raise ValueError("no")

    bus = Bus()
    runner = Runner("mine", Wrong())
    runner.start(bus)
    bus.publish(ENDED)
    await until(lambda: runner.failed)
    await runner.stop()
    for what in ("start failed: OSError", "call_ended failed: KeyError", "close failed: ValueError"):
        assert what in caplog.text


@pytest.mark.parametrize("hook", [Hook(takes_s=60.0), Hook(fault=RuntimeError())], ids=["hangs", "fails"])
async def test_a_call_goes_on_and_is_recorded_whatever_its_hooks_do(tmp_path, hook):
    bus = Bus()
    runner = Runner("mine", hook)
    hook.events = frozenset({"call_began", "turn", "state", "call_ended"})
    runner.start(bus)
    house = House(tmp_path, bus=bus)
    house.ticker.start()
    leg = house.call(Leg())
    await until(lambda: any(turn.said and turn.said[0].complete for turn in leg.listener.timeline.turns))
    leg.close("hangup")
    await until(lambda: house.records)
    await house.registry.drain(limit_s=1)
    house.ticker.stop()
    await runner.stop(grace_s=0.01)
    assert house.records[0]["turns"][0]["said"][0]["complete"]
