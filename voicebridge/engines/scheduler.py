"""Who computes next in a speech worker: the request whose caller would hear silence first.

Requests come from the event loop; a few threads compute them, each with a model of its own (the engines'
libraries are not safe to share, and their C code releases the GIL). A request that nobody waits for any
more is skipped.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)

Model = TypeVar("Model")

FOREIGN_GRACE_S = 1.0
"""Who says no deadline is served as if he needed the result by then."""


def due(context: Mapping[str, Any]) -> float:
    """The `deadline` of a request's context, in time.monotonic() seconds; one that is no moment is none."""
    told = context.get("deadline")
    try:
        moment = float(told) if isinstance(told, (int, float)) else 0.0
    except OverflowError:
        moment = 0.0
    return moment if moment and math.isfinite(moment) else time.monotonic() + FOREIGN_GRACE_S


@dataclass(frozen=True, slots=True)
class Done:
    """A request's result; `queued_s` and `busy_s` are how long it waited and was computed."""

    result: Any
    queued_s: float
    busy_s: float


class Job(Generic[Model]):
    """One request. Await `future` for its `Done` or its exception; `drop()` when nobody wants it any more."""

    def __init__(self, work: Callable[[Model], Any], future: asyncio.Future[Done]) -> None:
        self.work = work
        self.future = future
        self.submitted = time.monotonic()
        self.dropped = False
        self.taken = False

    def drop(self) -> None:
        """Don't compute it unless that has begun; its future is cancelled."""
        self.dropped = True
        self.future.cancel()


class Scheduler(Generic[Model]):
    """`threads` threads, each calling `open_model()` once, serve the jobs, earliest deadline first."""

    def __init__(self, open_model: Callable[[], Model], threads: int) -> None:
        self._open_model = open_model
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Job[Model]]] = []
        self._changed = threading.Condition()
        self._opening = (
            threading.Lock()
        )  # one model after the other: the first should serve as soon as possible
        self._order = itertools.count()
        self._closed = False
        self.opened: asyncio.Future[None] = self._loop.create_future()
        for number in range(threads):
            threading.Thread(target=self._serve, name=f"compute {number}", daemon=True).start()

    def submit(self, work: Callable[[Model], Any], *, deadline: float) -> Job[Model]:
        """Queue `work(model)`; `deadline` in time.monotonic() seconds. Call on the event loop."""
        job = Job(work, self._loop.create_future())
        with self._changed:
            heapq.heappush(self._heap, (deadline, next(self._order), job))
            self._changed.notify()
        return job

    def hasten(self, job: Job[Model], *, deadline: float) -> None:
        """A job that waits is needed sooner than was thought."""
        with self._changed:
            if not job.taken:
                heapq.heappush(self._heap, (deadline, next(self._order), job))
                self._changed.notify()

    def has_sooner(self, deadline: float) -> bool:
        """Whether a job with an earlier deadline waits. From any thread: long work in pieces asks between two."""
        with self._changed:
            while self._heap and (self._heap[0][2].dropped or self._heap[0][2].taken):
                heapq.heappop(self._heap)
            return bool(self._heap) and self._heap[0][0] < deadline

    def close(self) -> None:
        """Let the threads end when they have finished what they compute."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _serve(self) -> None:
        try:
            with self._opening:
                model = self._open_model()
        except Exception as error:  # noqa: BLE001 - handed to the worker's main, which ends the process
            self._post(_settle, self.opened, None, error)
            return
        self._post(_settle, self.opened, None, None)
        while (job := self._next()) is not None:
            began = time.monotonic()
            try:
                result = job.work(model)
            except Exception as error:  # noqa: BLE001 - handed to whoever awaits the job
                self._post(_settle, job.future, None, error)
                continue
            done = Done(result, began - job.submitted, time.monotonic() - began)
            self._post(_settle, job.future, done, None)

    def _next(self) -> Job[Model] | None:
        """The job with the earliest deadline that is still wanted; None when closed."""
        with self._changed:
            while not self._closed:
                while self._heap:
                    job = heapq.heappop(self._heap)[2]
                    if not (job.dropped or job.taken):
                        job.taken = True
                        return job
                self._changed.wait()
        return None

    def _post(self, call: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
