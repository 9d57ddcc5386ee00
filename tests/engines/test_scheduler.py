"""The order in which a speech worker computes."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator

import pytest

from voicebridge.engines.scheduler import FOREIGN_GRACE_S, Scheduler, due


class Model:
    """Lets the test hold the computing thread."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.began = threading.Event()
        self.order: list[str] = []

    def hold(self) -> str:
        self.began.set()
        assert self.gate.wait(10)
        return "held"

    def note(self, name: str) -> str:
        self.order.append(name)
        return name


@pytest.fixture
async def held() -> AsyncIterator[tuple[Scheduler[Model], Model]]:
    """A scheduler whose only thread is busy until the model's gate opens."""
    model = Model()
    scheduler = Scheduler(lambda: model, 1)
    await scheduler.opened
    scheduler.submit(Model.hold, deadline=0.0)
    await asyncio.to_thread(model.began.wait, 10)
    yield scheduler, model
    model.gate.set()
    scheduler.close()


async def test_earliest_deadline_first(held: tuple[Scheduler[Model], Model]) -> None:
    scheduler, model = held
    jobs = [
        scheduler.submit(lambda m, name=name: m.note(name), deadline=deadline)
        for name, deadline in (("speculative", math.inf), ("late", 30.0), ("soon", 10.0), ("soon too", 10.0))
    ]
    model.gate.set()
    done = await asyncio.gather(*(job.future for job in jobs))
    assert model.order == ["soon", "soon too", "late", "speculative"]
    assert [d.result for d in done] == ["speculative", "late", "soon", "soon too"]
    assert all(d.queued_s > 0 and d.busy_s >= 0 for d in done)


async def test_dropped_job_is_not_computed(held: tuple[Scheduler[Model], Model]) -> None:
    scheduler, model = held
    dropped = scheduler.submit(lambda m: m.note("dropped"), deadline=1.0)
    kept = scheduler.submit(lambda m: m.note("kept"), deadline=2.0)
    dropped.drop()
    model.gate.set()
    await kept.future
    assert model.order == ["kept"]
    assert dropped.future.cancelled()


async def test_failing_job_does_not_end_the_thread(held: tuple[Scheduler[Model], Model]) -> None:
    scheduler, model = held

    def fail(_: Model) -> None:
        raise RuntimeError("native code said no")

    bad, good = scheduler.submit(fail, deadline=1.0), scheduler.submit(lambda m: m.note("good"), deadline=2.0)
    model.gate.set()
    with pytest.raises(RuntimeError, match="said no"):
        await bad.future
    assert (await good.future).result == "good"


async def test_model_that_cannot_be_opened_is_told() -> None:
    def broken() -> Model:
        raise FileNotFoundError("no such model")

    scheduler = Scheduler(broken, 1)
    with pytest.raises(FileNotFoundError):
        await scheduler.opened


async def test_two_threads_compute_at_the_same_time() -> None:
    scheduler: Scheduler[threading.Barrier] = Scheduler(lambda: threading.Barrier(1), 2)
    await scheduler.opened
    both = threading.Barrier(2)
    jobs = [scheduler.submit(lambda _: both.wait(10), deadline=1.0) for _ in range(2)]
    done = await asyncio.gather(*(job.future for job in jobs))
    assert sorted(d.result for d in done) == [0, 1]
    scheduler.close()


async def test_a_waiting_job_that_is_needed_sooner_is_computed_sooner_and_once(
    held: tuple[Scheduler[Model], Model],
) -> None:
    scheduler, model = held
    background = scheduler.submit(lambda m: m.note("background"), deadline=1e11)
    other = scheduler.submit(lambda m: m.note("other"), deadline=20.0)
    scheduler.hasten(background, deadline=10.0)
    scheduler.hasten(background, deadline=5.0)
    model.gate.set()
    await asyncio.gather(background.future, other.future)
    last = scheduler.submit(lambda m: m.note("last"), deadline=30.0)
    await last.future
    scheduler.hasten(last, deadline=1.0)
    assert model.order == ["background", "other", "last"]


@pytest.mark.parametrize("told", [None, 0, math.nan, math.inf, -math.inf, "soon", [1], 10**400])
def test_a_deadline_that_is_no_moment_is_none(told: object) -> None:
    assert due({"deadline": told}) == pytest.approx(time.monotonic() + FOREIGN_GRACE_S, abs=0.5)
    assert due({"deadline": 17.5}) == 17.5
