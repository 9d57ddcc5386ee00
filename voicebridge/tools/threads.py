"""Threads for tools that are plain functions. Bounded, and a tool that hangs cannot take them all.

Not `concurrent.futures`' own pool: its threads are waited for when the process ends, and one that hangs hangs the exit.
"""

from __future__ import annotations

import contextvars
import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    function: Callable[[], Any]
    result: Future[Any] = field(default_factory=Future)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


class Threads:
    """At most `most` threads, and `each` of them for one name; further jobs wait in order."""

    def __init__(self, most: int = 8, each: int = 4) -> None:
        self._most = most
        self._each = each
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._waiting: deque[_Job] = deque()

    def submit(self, name: str, function: Callable[[], Any]) -> Future[Any]:
        """The future can be cancelled as long as no thread has taken the job."""
        job = _Job(name, function)
        with self._lock:
            self._waiting.append(job)
            self._dispatch()
        return job.result

    @property
    def busy(self) -> int:
        return self._busy.total()

    def _dispatch(self) -> None:
        """Start every waiting job there is room for; with the lock held."""
        left: deque[_Job] = deque()
        while self._waiting:
            job = self._waiting.popleft()
            if self._busy.total() >= self._most or self._busy[job.name] >= self._each:
                left.append(job)
            elif job.result.set_running_or_notify_cancel():
                self._busy[job.name] += 1
                threading.Thread(target=self._work, args=(job,), name=f"tool {job.name}", daemon=True).start()
        self._waiting = left

    def _work(self, job: _Job) -> None:
        try:
            value = job.context.run(job.function)
        except BaseException as error:  # noqa: BLE001 - it is the waiting run that decides
            # asyncio's futures take no StopIteration, and SystemExit is no reason to end the daemon.
            fit = isinstance(error, Exception) and not isinstance(error, StopIteration)
            job.result.set_exception(error if fit else RuntimeError(f"{job.name} raised {error!r}"))
        else:
            job.result.set_result(value)
        with self._lock:
            self._busy[job.name] -= 1
            self._dispatch()
