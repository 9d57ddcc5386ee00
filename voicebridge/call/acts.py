"""What one call does besides listening, thinking and speaking: tools, understanding a form's answers, handing off.

Each ends in an event for the core, like everything in `work`; what is wanted no more is given up, and a hang-up ends
what the tools have not declared to be completed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from voicebridge import slots
from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.form import Form, Understood
from voicebridge.handoff.desk import Case, Desk, Warm
from voicebridge.handoff.summary import Summary
from voicebridge.pbx.attach import AttachRequest
from voicebridge.tools.context import CallInfo
from voicebridge.tools.runner import ToolOutcome, ToolRunner

Tries = tuple[tuple[float, int, str], ...]
log = logging.getLogger(__name__)


class Outside(Protocol):
    """What a PBX can do for a call besides its audio (ARI can; an AudioSocket alone cannot)."""

    def reaches(self, call_id: UUID) -> bool:
        """Whether this call is one of its."""

    def warm(self, call_id: UUID) -> Warm | None:
        """Who calls a human for this call while it goes on."""

    async def send_dtmf(self, call_id: UUID, digits: str) -> bool:
        """Send keys out of band; False where that did not work."""


class Acts:
    """One call's. `tell` takes the events, `story` sums the call up for the human who gets it.

    `attempted` is told, before a tool's result, how often it was tried.
    """

    def __init__(
        self,
        call_id: str,
        agent: AgentSpec,
        request: AttachRequest,
        *,
        tools: ToolRunner | None,
        desk: Desk | None,
        outside: Outside | None,
        tell: Callable[[ev.Event], None],
        story: Callable[[str], Summary],
        now: Callable[[], datetime],
        attempted: Callable[[int, Tries], None] = lambda run, tries: None,
    ) -> None:
        self._attempted = attempted
        self._id = call_id
        self._agent = agent
        self._request = request
        self._info = CallInfo.of(agent, call_id, caller=request.caller, dialled=request.dialled)
        self._tools = tools
        self._desk = desk
        self._outside = outside
        self._tell = tell
        self._story = story
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()

    def parse(self, wanted: cmd.Parse) -> None:
        """What an utterance, or what was keyed, says to a form: a matter of milliseconds."""
        form = self._agent.form(wanted.form) or Form(wanted.form, "")
        if wanted.keys:
            value = slots.keys(form.slot(wanted.asked), wanted.text)
            understood = Understood((value,)) if value is not None else Understood()
        else:
            understood = self._understood(form, wanted, wanted.text)
            if wanted.partial and all(value.slot != wanted.asked for value in understood.values):
                joined = self._understood(form, wanted, f"{wanted.partial} {wanted.text}")
                if joined.partial != wanted.partial:  # else he has said something else, and it stands alone
                    understood = joined
        self._tell(ev.Parsed(wanted.request, understood))

    def _understood(self, form: Form, wanted: cmd.Parse, text: str) -> Understood:
        known = {value.slot: value for value in wanted.known}
        return slots.parse(form, wanted.asked, text, now=self._now(), language=self._agent.language, known=known)

    def run(self, wanted: cmd.RunTool) -> None:
        self._start(self._run(wanted), f"run {wanted.run}")

    def cancel_tool(self, run: int) -> None:
        if self._tools is not None:
            self._tools.cancel(self._id, run)

    def hand_off(self, wanted: cmd.HandOff) -> None:
        self._start(self._hand_off(wanted), f"handoff {wanted.handoff}")

    def cancel_handoff(self, number: int) -> None:
        for task in list(self._tasks):
            if task.get_name() == f"{self._id} handoff {number}":
                task.cancel()

    def send_dtmf(self, digits: str) -> bool:
        """Out of band; False where that cannot be, and they must be sent as tones."""
        outside = self._outside
        if outside is None or not outside.reaches(UUID(self._id)):
            return False
        self._start(self._send_dtmf(outside, digits), "keys")
        return True

    async def _send_dtmf(self, outside: Outside, digits: str) -> None:
        if not await outside.send_dtmf(UUID(self._id), digits):
            log.warning("call=%s %d keys could not be sent", self._id, len(digits))

    def close(self) -> None:
        """The call is over: nobody is rung any longer, and tools go on only where they are to be completed."""
        if self._tools is not None:
            self._tools.hang_up(self._id)
        for task in list(self._tasks):
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=f"{self._id} {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call=%s %s failed: %r", self._id, task.get_name(), error, exc_info=error)

    async def _run(self, wanted: cmd.RunTool) -> None:
        if self._tools is None:
            self._tell(ev.ToolDone(wanted.run, ok=False, cause="unknown_tool"))
            return
        made: ToolOutcome = await self._tools.run(
            self._info, wanted.run, wanted.tool, wanted.arguments,
            lambda text: self._tell(ev.ToolProgress(wanted.run, text)),
        )  # fmt: skip
        self._attempted(wanted.run, made.tries)
        self._tell(ev.ToolDone(wanted.run, made.ok, made.say, made.data, made.cause, made.hand_off, made.hang_up))

    async def _hand_off(self, wanted: cmd.HandOff) -> None:
        if self._desk is None:
            self._tell(ev.HandoffUpdate(wanted.handoff, "refused", cause="unknown_target"))
            return
        warm = self._outside.warm(UUID(self._id)) if self._outside is not None else None
        case = Case(self._id, self._request.caller, self._agent.name, self._story(wanted.reason))
        async with aclosing(self._desk.hand_off(wanted, case, warm)) as updates:
            async for update in updates:
                self._tell(update)
