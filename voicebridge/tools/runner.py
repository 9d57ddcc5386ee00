"""Runs tools for calls: arguments checked, deadlines kept, failures counted, results bounded. Never raises.

A run goes on by itself: who waits for it may be cancelled. What then becomes of the run, and what a hang-up does, the
tool has declared (`on_hangup`).
"""

from __future__ import annotations

import asyncio
import copy
import functools
import logging
import random
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from voicebridge.tools.breaker import Breaker, BreakerLimits, BreakerState
from voicebridge.tools.context import SPOKEN, CallInfo, ToolContext, ToolError
from voicebridge.tools.outcome import SAY_CHARS, ToolOutcome, ToolStats, outcome_of
from voicebridge.tools.progress import Progress, streamed
from voicebridge.tools.results import BadResult, TooLarge, one_line
from voicebridge.tools.schema import BadArguments
from voicebridge.tools.threads import Threads
from voicebridge.tools.tool import Tool
from voicebridge.tools.watched import watched

__all__ = ["ToolOutcome", "ToolRunner", "ToolStats"]

log = logging.getLogger(__name__)

BLOCKED_MS = 50
"""A tool that holds the loop for longer is told in the log: the media clock ticks every 20 ms."""
RETRY_S = 0.1
"""The wait before the second attempt; it doubles with each, and is spread by half."""


class _Failed(Exception):
    """An attempt came to nothing. `transient`: the next may not."""

    def __init__(self, cause: str, say: str = "", *, transient: bool = False) -> None:
        super().__init__(cause)
        self.outcome = ToolOutcome(False, say, cause=cause)
        self.transient = transient


@dataclass(eq=False, slots=True)
class _Run:
    """One that is under way. `unwanted` is set when it is to end; `heard` is false when nobody waits for it."""

    tool: Tool
    call: CallInfo
    number: int
    unwanted: asyncio.Future[None]
    heard: bool = True
    attempts: int = 0
    faulty: bool = False
    """The system behind the tool failed, as far as the breaker is concerned."""
    trying: float | None = None
    """When the attempt that is under way began."""
    tries: list[tuple[float, int, str]] = field(default_factory=list)

    def tried(self, cause: str) -> None:
        """The attempt under way has ended; `cause` is "" where it worked."""
        if self.trying is not None:
            self.tries.append((self.trying, round((time.monotonic() - self.trying) * 1000), cause))
            self.trying = None

    def give_up(self) -> None:
        if not self.unwanted.done():
            self.unwanted.set_result(None)


class ToolRunner:
    """One for the daemon. `now` gives aware times, `clock` seconds for breakers; both can be set for tests.

    `folder`: where tools may keep things. `settings`: `[tools.<tool name>]` of voicebridge.toml.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        *,
        folder: Path,
        settings: dict[str, dict[str, Any]] | None = None,
        limits: BreakerLimits | None = None,
        threads: Threads | None = None,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._folder = folder
        self._settings = settings or {}
        self._breakers = {name: Breaker(limits or BreakerLimits()) for name in self._tools}
        self._threads = threads or Threads()
        self._now = now
        self._clock = clock
        self._stats = {name: ToolStats() for name in self._tools}
        self._running: dict[_Run, asyncio.Task[ToolOutcome]] = {}
        self._abandoned: set[asyncio.Task[Any]] = set()

    @property
    def tools(self) -> dict[str, Tool]:
        return dict(self._tools)

    async def run(
        self,
        call: CallInfo,
        run: int,
        name: str,
        arguments: str,
        progress: Callable[[str], None] = lambda text: None,
    ) -> ToolOutcome:
        """Run tool `name` as run number `run` of `call`. `arguments`: JSON text of an object, not trusted.

        `progress` is called, on the event loop, with each sentence the tool has for the caller. Raises nothing but
        CancelledError; the tool itself then goes on if it is to be completed on hang-up, else it is cancelled too.
        """
        tool = self._tools.get(name)
        if tool is None or name not in call.tools:
            log.warning("call=%s run=%d unknown tool wanted", call.call_id, run)
            return ToolOutcome(False, cause="unknown_tool")
        try:
            values = tool.parse(arguments)
        except BadArguments as error:
            log.info("call=%s run=%d tool=%s invalid arguments: %s", call.call_id, run, name, ",".join(error.where))
            return self._counted(tool, ToolOutcome(False, data=error.told(), cause="invalid_arguments"))
        if not self._breakers[name].admit(self._clock()):
            return self._counted(tool, ToolOutcome(False, cause="breaker_open"))
        loop = asyncio.get_running_loop()
        this = _Run(tool, call, run, loop.create_future())
        self._running[this] = task = loop.create_task(
            self._supervise(this, values, progress), name=f"{call.call_id} tool {name} {run}"
        )
        task.add_done_callback(lambda _: self._running.pop(this, None))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._left(this)
            raise

    def cancel(self, call_id: str, run: int) -> bool:
        """The caller has barged in: give a run up, if its tool may be cancelled. Whether it was."""
        found = [this for this in self._running if (this.call.call_id, this.number) == (call_id, run)]
        for this in found:
            if this.tool.cancellable:
                this.give_up()
        return any(this.tool.cancellable for this in found)

    def hang_up(self, call_id: str) -> None:
        """The caller is gone: cancel the call's runs, except those that are to be completed."""
        for this in list(self._running):
            if this.call.call_id == call_id:
                self._left(this)

    async def close(self, limit_s: float = 0.0) -> None:
        """The daemon ends: wait up to `limit_s` for runs that are to be completed, cancel the others."""
        for this in list(self._running):
            self._left(this)
        if self._running and limit_s > 0:
            await asyncio.wait(list(self._running.values()), timeout=limit_s)
        for this in list(self._running):
            this.give_up()
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=1.0)
        for close in {tool.close for tool in self._tools.values() if tool.close is not None}:
            try:
                await asyncio.wait_for(close(), 5.0)
            except Exception as error:  # noqa: BLE001 - a plug-in's own code; the daemon ends all the same
                log.warning("a tool did not close cleanly: %r", error)

    def statistics(self) -> dict[str, ToolStats]:
        return self._stats

    def breaker(self, name: str) -> BreakerState:
        return self._breakers[name].state(self._clock())

    # ---- one run

    def _left(self, this: _Run) -> None:
        this.heard = False
        if this.tool.on_hangup == "cancel":
            this.give_up()

    async def _supervise(self, this: _Run, values: dict[str, Any], progress: Callable[[str], None]) -> ToolOutcome:
        """Wait for the attempts, their deadline, or that nobody wants them; a tool that clings on is left behind."""
        began = time.monotonic()
        tool = this.tool
        context = self._context(this, began + tool.deadline_s, progress)
        work = asyncio.get_running_loop().create_task(self._attempts(this, context, values))
        wanted: set[asyncio.Future[Any]] = {work, this.unwanted}
        await asyncio.wait(wanted, timeout=tool.deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            outcome = self._ended(this, work)
        else:
            work.cancel()
            self._abandoned.add(work)
            work.add_done_callback(self._abandoned_ended)
            outcome = ToolOutcome(False, cause="cancelled" if this.unwanted.done() else "timeout")
            this.faulty = outcome.cause == "timeout"
        ms = round((time.monotonic() - began) * 1000)
        if this.trying is not None:  # it clung on
            this.tried(outcome.cause)
        return self._settled(this, replace(outcome, ms=ms, attempts=this.attempts, tries=tuple(this.tries)))

    def _ended(self, this: _Run, work: asyncio.Task[ToolOutcome]) -> ToolOutcome:
        if work.cancelled():  # by something inside the tool: we have not
            this.faulty = True
            return ToolOutcome(False, cause="error")
        if (error := work.exception()) is not None:
            log.error("call=%s tool=%s the runner failed: %r", this.call.call_id, this.tool.name, error)
            return ToolOutcome(False, cause="error")
        return work.result()

    def _abandoned_ended(self, work: asyncio.Task[Any]) -> None:
        self._abandoned.discard(work)
        if not work.cancelled():
            work.exception()  # retrieved, so that asyncio does not complain of it

    def _settled(self, this: _Run, outcome: ToolOutcome) -> ToolOutcome:
        breaker = self._breakers[this.tool.name]
        this.heard = False
        now = self._clock()
        before = breaker.state(now)
        if outcome.cause == "cancelled":
            breaker.withdrawn()
        elif this.faulty:
            breaker.failed(now)
        else:
            breaker.succeeded(now)
        if (after := breaker.state(now)) != before:
            log.warning("tool=%s breaker %s -> %s", this.tool.name, before, after)
        level = logging.INFO if outcome.ok or outcome.cause == "cancelled" else logging.WARNING
        log.log(
            level, "call=%s run=%d tool=%s %s ms=%d attempts=%d",
            this.call.call_id, this.number, this.tool.name, outcome.cause or "ok", outcome.ms, outcome.attempts,
        )  # fmt: skip
        return self._counted(this.tool, outcome)

    def _counted(self, tool: Tool, outcome: ToolOutcome) -> ToolOutcome:
        self._stats[tool.name].count(outcome)
        return outcome

    def _context(self, this: _Run, deadline: float, progress: Callable[[str], None]) -> ToolContext:
        call, name = this.call, this.tool.name
        settings = {**self._settings.get(name, {}), **call.settings.get(name, {})}
        return ToolContext(
            tool=name, call_id=call.call_id, agent=call.agent, language=call.language, caller=call.caller,
            dialled=call.dialled,
            settings=copy.deepcopy({key: value for key, value in settings.items() if key not in SPOKEN}),
            key=f"{call.call_id}-{this.number}", deadline=deadline, folder=self._folder, now=self._now,
            progress=Progress(progress, lambda: this.heard),
        )  # fmt: skip

    async def _attempts(self, this: _Run, context: ToolContext, values: dict[str, Any]) -> ToolOutcome:
        tool = this.tool
        while True:
            this.attempts += 1
            this.trying = time.monotonic()
            try:
                outcome = await self._attempt(this, context, values)
            except _Failed as failure:
                this.tried(failure.outcome.cause)
                this.faulty = failure.transient
                pause = RETRY_S * 2 ** (this.attempts - 1) * random.uniform(0.5, 1.5)
                if not failure.transient or this.attempts > tool.retries or pause > context.left():
                    return failure.outcome
                await asyncio.sleep(pause)
            else:
                this.tried("")
                this.faulty = False
                return outcome

    async def _attempt(self, this: _Run, context: ToolContext, values: dict[str, Any]) -> ToolOutcome:
        """One call of the function. Raises _Failed."""
        tool = this.tool
        try:
            value = await self._called(tool, context, values)
            return outcome_of(tool, value)
        except ToolError as error:
            say = one_line(error.say, SAY_CHARS) if isinstance(error.say, str) else ""
            raise _Failed("error", say, transient=error.transient) from None
        except TooLarge:
            raise _Failed("too_large", transient=True) from None
        except BadResult as error:
            log.warning("call=%s tool=%s bad result: %s", this.call.call_id, tool.name, error)
            raise _Failed("invalid_result", transient=True) from None
        except TimeoutError:
            raise _Failed("timeout", transient=True) from None
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001
            # The tool is a stranger's code: nothing that it raises may end the call, nor SystemExit the daemon.
            log.warning("call=%s tool=%s raised %s", this.call.call_id, tool.name, _told(error))
            raise _Failed("error", transient=True) from None

    async def _called(self, tool: Tool, context: ToolContext, values: dict[str, Any]) -> Any:
        first = (context,) if tool.takes_context else ()
        match tool.shape:
            case "async":
                return await watched(tool.function(*first, **values), self._held(tool))
            case "stream":
                return await watched(streamed(tool.function(*first, **values), context.progress), self._held(tool))
        called = functools.partial(tool.function, *first, **values)
        return await asyncio.wrap_future(self._threads.submit(tool.name, called))

    def _held(self, tool: Tool) -> Callable[[float], None]:
        """Notes how long the tool held the loop."""
        stats = self._stats[tool.name]

        def tell(seconds: float) -> None:
            ms = round(seconds * 1000)
            if ms > max(stats.blocked_ms, BLOCKED_MS):
                log.warning("tool=%s held the event loop for %d ms: make it a plain `def`", tool.name, ms)
            stats.blocked_ms = max(stats.blocked_ms, ms)

        return tell


def _told(error: BaseException) -> str:
    """What and where; not its text, which may hold what the caller said."""
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return f"{type(error).__name__} at {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__
