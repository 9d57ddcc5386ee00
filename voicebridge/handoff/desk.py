"""Hands a caller on: finds who is there, calls them where that is wanted, and tells the core how it goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from voicebridge.conversation import commands as cmd
from voicebridge.conversation import events as ev
from voicebridge.handoff.directory import Destination, Directory
from voicebridge.handoff.summary import NOTHING, Summary
from voicebridge.handoff.webhook import Delivery, Webhook

log = logging.getLogger(__name__)

WarmState = Literal["calling", "connected", "declined", "busy", "no_answer", "failed"]
DECIDE_S = 60.0
"""Beyond ringing: the human listens to the briefing, perhaps twice, and presses a key."""
TOTAL_S = 110.0
"""For all humans together: less than the core waits (`Limits.ring_s`), so that nobody rings on for a caller whom the
agent has taken back."""


class Warm(Protocol):
    """Calls a human for one caller (over ARI). An iterator of one call that ends behind `connected` or what refused it.

    `endpoint` comes from the configuration. `briefing` is spoken to the human, `line` is the same for a SIP header.
    Closing the iterator, or cancelling who waits for it, ends the ringing. It may raise: that is `failed`.
    """

    def call(
        self, endpoint: str, *, briefing: str, line: str, ring_s: float
    ) -> AsyncGenerator[WarmState, None]: ...


@dataclass(frozen=True, slots=True)
class Case:
    """What there is to tell of the caller who is handed on."""

    call_id: str
    caller: str = ""
    agent: str = ""
    summary: Summary = NOTHING


class Desk:
    """One for all calls of an agent. `clock` gives an aware now."""

    def __init__(
        self,
        directory: Directory,
        *,
        clock: Callable[[], datetime],
        webhook: Webhook | None = None,
        decide_s: float = DECIDE_S,
        total_s: float = TOTAL_S,
    ) -> None:
        self.directory = directory
        self._clock = clock
        self._webhook = webhook
        self._decide_s = decide_s
        self._total_s = total_s

    async def hand_off(
        self, wanted: cmd.HandOff, case: Case, warm: Warm | None = None
    ) -> AsyncGenerator[ev.HandoffUpdate, None]:
        """Updates until one of `go`, `connected`, `refused`. `warm` is None where the call did not come over ARI.

        Close it (or cancel who waits for it) when the caller hangs up: nobody is rung any longer. A target that
        refuses is followed by its `next`; when the time is up, by the PBX's dialplan. What cannot be found is refused
        without a target: nothing of its name is told on.
        """
        until = asyncio.get_running_loop().time() + self._total_s
        tried: list[str] = []
        cause = ""
        name = wanted.target
        while True:
            in_time = asyncio.get_running_loop().time() < until
            found = self.directory.resolve(name, self._clock(), can_warm=warm is not None and in_time, tried=tried)
            tried += found.passed
            if found.destination is None:
                cause = cause or found.cause or "failed"
                break
            there = found.destination
            tried.append(there.name)
            if warm is None or not found.warm:
                yield self._told("go", wanted, case, there)
                return
            yield self._told("calling", wanted, case, there)
            state = await self._ring(warm, there, case, until)
            if state == "connected":
                yield self._told("connected", wanted, case, there)
                return
            cause = state
            name = there.target.next
        yield self._told("refused", wanted, case, self.directory.destination(tried[-1]) if tried else None, cause)

    def _told(
        self,
        state: Literal["go", "calling", "connected", "refused"],
        wanted: cmd.HandOff,
        case: Case,
        there: Destination | None,
        cause: str = "",
    ) -> ev.HandoffUpdate:
        name = there.name if there is not None else ""
        log.info("call=%s handoff=%d %s target=%s cause=%s", case.call_id, wanted.handoff, state, name, cause or "-")
        if self._webhook is not None:
            label = there.label if there is not None else ""
            self._webhook.post(
                Delivery(
                    state, case.call_id, name, label, wanted.reason, cause, case.caller, case.agent, case.summary,
                    self._clock(),
                )
            )
        speaks = there is not None and there.target.strategy != "blind" and state in ("go", "calling")
        say = there.target.announce if there is not None and speaks else ""
        return ev.HandoffUpdate(wanted.handoff, state, name, say, cause)

    async def _ring(self, warm: Warm, there: Destination, case: Case, until: float) -> WarmState:
        """How calling the human ended."""
        limit = min(until, asyncio.get_running_loop().time() + there.target.ring_s + self._decide_s)
        summary = case.summary
        try:
            async with (
                asyncio.timeout_at(limit),
                aclosing(
                    warm.call(
                        there.target.dial, briefing=summary.spoken, line=summary.line, ring_s=there.target.ring_s
                    )
                ) as states,
            ):
                async for state in states:
                    if state != "calling":
                        return state
        except TimeoutError:
            log.warning("call=%s target=%s: no decision in time", case.call_id, there.name)
            return "no_answer"
        except Exception:  # a fault in how a human is called must not cost the caller his place
            log.exception("call=%s target=%s: calling failed", case.call_id, there.name)
        return "failed"
