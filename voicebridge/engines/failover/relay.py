"""One answer of which several language models may make a part.

The next model is asked when the one that answers fails, is gone or gives nothing for too long; until the next has given
something the first may still go on. What came stands: the next one goes on behind it. A tool call begins anew.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.answer import continued
from voicebridge.engines.base import EngineError, LlmEngine, LlmSession, Message
from voicebridge.engines.failover.health import Member, Roster
from voicebridge.engines.failover.race import BUSY_S, LOOK_S, as_engine_error

PATIENCE_S = 1.2
"""After the moment at which the next words are wanted; the caller hears a filler meanwhile."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What base.LlmSession.generate was asked for."""

    messages: tuple[Message, ...]
    max_tokens: int
    give_up: float
    grammar: str
    tools: tuple[ToolSpec, ...]


@dataclass(frozen=True, slots=True)
class _End:
    """A model has said all that it has to say, or `error`."""

    error: EngineError | None = None


@dataclass(slots=True, eq=False)
class _Run:
    """One model at work. `until` (time.monotonic()) is how long one waits for it alone."""

    member: Member[LlmEngine]
    task: asyncio.Task[None] | None = None
    until: float = 0.0
    spoke: bool = False


class Relay:
    """`deadline()` is when the next words are wanted; it moves while the answer is spoken."""

    def __init__(
        self,
        roster: Roster[LlmEngine],
        order: Sequence[Member[LlmEngine]],
        session: Callable[[Member[LlmEngine]], LlmSession],
        wanted: Wanted,
        deadline: Callable[[], float],
    ) -> None:
        self._roster = roster
        self._next = list(order)
        self._session = session
        self._wanted = wanted
        self._deadline = deadline
        self._text = ""
        self._pieces = 0
        self._runs: list[_Run] = []
        self._came: asyncio.Queue[tuple[_Run, str | ToolCall | _End]] = asyncio.Queue()
        self._last: EngineError | None = None
        self.causes: dict[str, str] = {}
        """Why those failed that did, by their names."""

    async def pieces(self) -> AsyncIterator[tuple[Member[LlmEngine], str | ToolCall]]:
        """Raises EngineError when none is left; what came before stands."""
        self._start_next()
        while self._runs:
            run, what = await self._something()
            if run not in self._runs:
                continue
            if isinstance(what, _End):
                if what.error is None and run.spoke:
                    return
                self._gone(run, what.error or EngineError("llm", run.member.name, "garbage", "an empty answer"))
                continue
            if isinstance(what, str) and not what.strip():  # who gives blanks for ever has given nothing
                self._help_out()
                if not self._text:
                    continue
            else:
                self._goes_on_with(run)
                self._roster.answered(run.member)
            if isinstance(what, str):
                self._text += what
                self._pieces += 1
            yield run.member, what
        assert self._last is not None
        raise self._last

    def close(self) -> None:
        for run in self._runs:
            self._stop(run)
        self._runs.clear()

    # ---- runs

    async def _something(self) -> tuple[_Run, Any]:
        """The next thing that any of them gives; others are started when it takes too long."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    return await self._came.get()
            except TimeoutError:
                self._help_out()

    def _help_out(self) -> None:
        if self._next and self._wants_next():
            self._start_next()

    def _start_next(self) -> None:
        run = _Run(self._next.pop(0))
        self._be_patient(run)
        self._runs.append(run)
        run.task = asyncio.create_task(self._generate(run), name=f"generate {run.member.name}")

    def _be_patient(self, run: _Run) -> None:
        run.until = max(self._deadline(), time.monotonic()) + PATIENCE_S

    def _wants_next(self) -> bool:
        newest = self._runs[-1]
        if not newest.member.ready or (newest.member.in_doubt and not newest.spoke):
            return True
        now = time.monotonic()
        busy = BUSY_S if newest.member.answered_at > now - BUSY_S and not newest.spoke else 0.0
        # A filler puts the deadline off, too: who waits for the first words does not wait longer for it.
        until = max(newest.until, self._deadline() + PATIENCE_S) if self._text else newest.until
        return now >= until + busy

    async def _generate(self, run: _Run) -> None:
        wanted = self._wanted
        begun = bool(self._text)
        stream = self._session(run.member).generate(
            continued(wanted.messages, self._text),
            max_tokens=max(1, wanted.max_tokens - self._pieces),
            deadline=self._deadline(),
            give_up=wanted.give_up,
            grammar="" if begun else wanted.grammar,  # that of the rest of a text is not known
            tools=() if begun else wanted.tools,
        )
        end = _End()
        try:
            async with aclosing(stream) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    self._came.put_nowait((run, piece))
        except Exception as error:  # noqa: BLE001 - the boundary to engines of strangers: logged, and the next one serves
            end = _End(as_engine_error("llm", run.member.name, error))
        self._came.put_nowait((run, end))

    def _goes_on_with(self, winner: _Run) -> None:
        """It has given something: the others, who would say the same again, stop."""
        for run in [run for run in self._runs if run is not winner]:
            self._runs.remove(run)
            self._stop(run)
            if not run.member.ready:
                self._failed(run, "crashed")
            elif time.monotonic() >= run.until:
                self._failed(run, "timeout")
            else:
                self._next.insert(0, run.member)
        winner.spoke = True
        self._be_patient(winner)

    def _gone(self, run: _Run, error: EngineError) -> None:
        self._runs.remove(run)
        self._last = error
        self._failed(run, error.cause)
        if not self._runs and self._next and time.monotonic() < self._wanted.give_up:
            self._start_next()

    def _failed(self, run: _Run, cause: str) -> None:
        self.causes[run.member.name] = cause
        self._roster.failed(run.member, cause)

    @staticmethod
    def _stop(run: _Run) -> None:
        if run.task is not None:
            run.task.cancel()
