"""Who of several servers answers a call: the first that gives something useful.

The call's own server is asked first. Where it has given no word and no call for a part of its time the next one is
asked too, and the loser is let go. One that fails is followed by the next at once. Blanks, empty events, a model's
reasoning and lines of punctuation are no answer.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from voicebridge.conversation.toolspec import ToolCall
from voicebridge.engines.chat_http import HttpTrouble, text_of
from voicebridge.engines.native_tools import CallAssembler
from voicebridge.engines.openai_servers import Server

AT_ONCE = 2
"""Servers that are asked for the same answer at the same time."""
WORDLESS = 48
"""Pieces in a row without a letter or a digit: a model that has lost its way."""


class Attempt:
    """One server's part in an answer, read by a task of its own.

    `pieces` hold its text as it comes: nothing before the first word, "" where a call goes on, None at the end.
    """

    def __init__(self, server: Server, read: Callable[[Attempt], Awaitable[None]]) -> None:
        self.server = server
        self.began = time.monotonic()
        self.tokens = 0
        self.useful = False
        self.calls = CallAssembler()
        self.made: list[ToolCall] = []
        self.pieces: asyncio.Queue[str | None] = asyncio.Queue()
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._blank = ""
        self._wordless = 0
        self.task = asyncio.ensure_future(read(self))
        self.task.add_done_callback(self._ended)

    def take(self, delta: Mapping[str, Any]) -> None:
        """A delta of the stream. Raises HttpTrouble and BrokenCall."""
        self.calls.feed(delta)
        piece = text_of(delta)
        if delta.get("tool_calls"):
            self._give("")
        if not piece:
            return
        self.tokens += 1
        self._wordless = 0 if any(map(str.isalnum, piece)) else self._wordless + 1
        if self._wordless > WORDLESS:
            raise HttpTrouble("garbage", "output without words")
        self._blank += piece
        if not self._wordless or (self.useful and not piece.isspace()):
            self._give(self._flushed())

    def finish(self) -> None:
        """The stream has ended by itself."""
        if self.useful and self._blank:
            self._give(self._flushed())

    def _flushed(self) -> str:
        held, self._blank = self._blank, ""
        return held

    def _give(self, piece: str) -> None:
        self.useful = True
        self.pieces.put_nowait(piece)
        if not self.opened.done():
            self.opened.set_result(None)

    def _ended(self, task: asyncio.Future[None]) -> None:
        if not task.cancelled():
            task.exception()  # asked for, or asyncio complains where nobody else does
        self.pieces.put_nowait(None)
        if not self.opened.done():
            self.opened.set_result(None)

    @property
    def failure(self) -> BaseException | None:
        """What ended it, where it has ended badly."""
        return self.task.exception() if self.task.done() and not self.task.cancelled() else None

    async def stop(self) -> None:
        """Let the server go."""
        self.task.cancel()
        await asyncio.wait((self.task,))


@dataclass(frozen=True, slots=True)
class Terms:
    """How long is waited (seconds; `until` in time.monotonic()).

    `patience_s`: without anything useful a server is given up for one that has not been asked. `hedge_s`: from then on
    a second one is asked as well; None for never.
    """

    patience_s: float
    hedge_s: float | None
    until: float


class Race:
    """Over `servers`, in their order. `failed` is told of each that gave nothing, and why."""

    def __init__(
        self,
        servers: Sequence[Server],
        ask: Callable[[Server], Attempt],
        failed: Callable[[Server, HttpTrouble], None],
        terms: Terms,
    ) -> None:
        self._left = list(servers)
        self._ask = ask
        self._failed = failed
        self._terms = terms
        self._running: list[Attempt] = []
        self._trouble = HttpTrouble("unreachable", "no server was asked")

    async def winner(self) -> Attempt:
        """The first to give something useful, or all that it has; the others have been stopped. Raises HttpTrouble."""
        try:
            while True:
                self._start_who_is_due()
                if (won := next((one for one in self._running if one.opened.done()), None)) is not None:
                    if (trouble := _trouble_of(won)) is None:
                        self._running.remove(won)
                        await self._stop_losers()
                        return won
                    self._lost(won, trouble)
                    continue
                if not self._running or time.monotonic() >= self._terms.until:
                    raise self._trouble
                await self._something_happens()
                await self._give_up_the_slow()
        finally:
            await self._stop_all()

    def _start_who_is_due(self) -> None:
        if not self._left:
            return
        if not self._running or (len(self._running) < AT_ONCE and self._hedge_in() <= 0):
            self._running.append(self._ask(self._left.pop(0)))

    def _hedge_in(self) -> float:
        """Seconds until a second server is asked. One that is down or full is no help."""
        if self._terms.hedge_s is None or self._left[0].down or self._left[0].full:
            return math.inf
        return self._running[-1].began + self._terms.hedge_s - time.monotonic()

    async def _something_happens(self) -> None:
        now = time.monotonic()
        moments = [self._terms.until - now]
        if self._left:
            moments.append(self._running[0].began + self._terms.patience_s - now)
            if len(self._running) < AT_ONCE:
                moments.append(self._hedge_in())
        wait_s = max(0.0, min(moments))
        await asyncio.wait(
            [one.opened for one in self._running], timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
        )

    async def _give_up_the_slow(self) -> None:
        """The oldest, where there is one that has not been asked; who is alone is waited for."""
        oldest, now = self._running[0], time.monotonic()
        if now >= self._terms.until:
            self._trouble = HttpTrouble("timeout", "nothing useful came in time")
        elif self._left and not oldest.opened.done() and now - oldest.began >= self._terms.patience_s:
            await oldest.stop()
            self._lost(oldest, HttpTrouble("timeout", "nothing useful came in time"))

    def _lost(self, attempt: Attempt, trouble: HttpTrouble) -> None:
        self._running.remove(attempt)
        self._trouble = trouble
        self._failed(attempt.server, trouble)

    async def _stop_losers(self) -> None:
        for one in self._running:
            if (trouble := _trouble_of(one)) is not None:
                self._failed(one.server, trouble)
            else:
                one.server.overtaken()
        await self._stop_all()

    async def _stop_all(self) -> None:
        for one in self._running:
            await one.stop()
        self._running.clear()


def _trouble_of(attempt: Attempt) -> HttpTrouble | None:
    """Why it gave nothing useful. Whatever else its task raised is raised."""
    if attempt.useful or (failure := attempt.failure) is None:
        return None
    if isinstance(failure, HttpTrouble):
        return failure
    raise failure
