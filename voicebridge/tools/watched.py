"""Tells how long a tool held the event loop: an `async def` that blocks would stop the sound of every call."""

from __future__ import annotations

import time
import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any


@types.coroutine
def watched(awaited: Awaitable[Any], tell: Callable[[float], None]) -> Generator[Any, Any, Any]:
    """What `awaited` gives or raises; `tell` gets the seconds of each of its steps between two waits."""
    steps = awaited.__await__()
    step = _sender(steps, None)
    while True:
        began = time.perf_counter()
        try:
            waited = step()
        except StopIteration as end:
            return end.value
        finally:
            tell(time.perf_counter() - began)
        try:
            sent = yield waited
        except GeneratorExit:
            if isinstance(steps, Generator):
                steps.close()
            raise
        except BaseException as error:  # noqa: BLE001 - a cancellation, or what a future failed with: it is the tool's
            step = _thrower(steps, error)
        else:
            step = _sender(steps, sent)


def _sender(steps: Any, value: Any) -> Callable[[], Any]:
    return lambda: next(steps) if value is None else steps.send(value)


def _thrower(steps: Any, error: BaseException) -> Callable[[], Any]:
    return lambda: steps.throw(error)
