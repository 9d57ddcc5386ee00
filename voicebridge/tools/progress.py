"""What a tool says while it works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from voicebridge.tools.results import one_line

PROGRESS_CHARS = 200
PROGRESS_LINES = 20


class Progress:
    """Passes a tool's sentences on, from whatever thread, while somebody still waits for it."""

    def __init__(self, tell: Callable[[str], None], heard: Callable[[], bool]) -> None:
        self._tell = tell
        self._heard = heard
        self._loop = asyncio.get_running_loop()
        self._left = PROGRESS_LINES

    def __call__(self, text: str) -> None:
        line = one_line(str(text), PROGRESS_CHARS)
        if line and self._left > 0:
            self._left -= 1
            self._loop.call_soon_threadsafe(self._pass_on, line)

    def _pass_on(self, line: str) -> None:
        if self._heard():
            self._tell(line)


async def streamed(stream: Any, progress: Callable[[str], None]) -> Any:
    """Strings are progress; the first thing that is none is the result, and ends it."""
    try:
        async for value in stream:
            if not isinstance(value, str):
                return value
            progress(value)
            await asyncio.sleep(0)  # a stream that waits for nothing must not keep the loop, nor miss its deadline
    finally:
        await stream.aclose()
    return None
