"""Watching changes nothing of what a coroutine gives, raises, waits for or cleans up."""

from __future__ import annotations

import asyncio

import pytest

from voicebridge.tools.watched import watched


async def gives(value: int, pauses: int = 3) -> int:
    for _ in range(pauses):
        await asyncio.sleep(0.001)
    return value


async def test_it_gives_what_the_coroutine_gives_and_tells_every_step():
    steps: list[float] = []
    assert await watched(gives(7), steps.append) == 7
    assert len(steps) == 4
    assert all(step < 1 for step in steps)


async def test_it_raises_what_the_coroutine_raises():
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        await watched(fails(), lambda seconds: None)


async def test_the_coroutine_may_catch_what_it_waits_for():
    async def catches() -> str:
        try:
            await asyncio.wait_for(asyncio.sleep(10), 0.01)
        except TimeoutError:
            return "late"
        return "?"

    assert await watched(catches(), lambda seconds: None) == "late"


async def test_a_cancellation_reaches_it_and_its_cleanup_runs():
    ended: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            ended.append("cancelled")
            raise
        finally:
            ended.append("clean")

    task = asyncio.ensure_future(watched(waits(), lambda seconds: None))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled", "clean"]


async def test_time_limits_and_gathering_work_inside():
    async def work() -> list[int]:
        async with asyncio.timeout(1):
            return list(await asyncio.gather(gives(1), gives(2)))

    assert await watched(work(), lambda seconds: None) == [1, 2]


async def test_futures_and_tasks_can_be_watched_too():
    assert await watched(asyncio.ensure_future(gives(3)), lambda seconds: None) == 3
