"""Tells another system of a handoff: JSON by POST, signed, tried again in the background. Nothing waits for it.

    {"event": "handoff", "state": "go" | "calling" | "connected" | "refused", "call_id": ..., "target": ...,
     "label": ..., "reason": ..., "cause": ..., "caller": ..., "agent": ..., "summary": ..., "briefing": ...,
     "transcript": [{"caller": ..., "agent": ...}], "at": "2026-12-01T10:00:00+01:00"}

How it is signed, and what is tried again: `delivery`. What was said stands only in the body, never in the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from voicebridge.delivery import FIRST_PAUSE_S, Sender, pause_s, secret_of, signature, warn_of_clear_text
from voicebridge.handoff.summary import Summary
from voicebridge.targets import HandoffSettings

__all__ = ["Delivery", "Webhook", "signature", "webhook_for"]

log = logging.getLogger(__name__)

MAX_PENDING = 200
"""Deliveries under way; what comes on top of them is dropped and logged: the receiver has been down for long."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to tell. `at` is aware."""

    state: str
    call_id: str
    target: str
    label: str
    reason: str
    cause: str
    caller: str
    agent: str
    summary: Summary
    at: datetime

    def body(self) -> bytes:
        told = {
            "event": "handoff",
            "state": self.state,
            "call_id": self.call_id,
            "target": self.target,
            "label": self.label,
            "reason": self.reason,
            "cause": self.cause,
            "caller": self.caller,
            "agent": self.agent,
            "summary": self.summary.line,
            "briefing": self.summary.spoken,
            "transcript": [{"caller": turn.caller, "agent": turn.agent} for turn in self.summary.transcript],
            "at": self.at.isoformat(),
        }
        return json.dumps(told, ensure_ascii=True).encode()


def webhook_for(settings: HandoffSettings) -> Webhook | None:
    """As configured; None where there is none. ConfigError where the secret cannot be read."""
    if not settings.webhook:
        return None
    warn_of_clear_text("handoff.webhook", settings.webhook)
    secret = secret_of("handoff.secret_file", settings.secret_env, settings.secret_file)
    return Webhook(settings.webhook, secret=secret, timeout_s=settings.timeout_s, attempts=settings.attempts)


class Webhook:
    """Belongs to the event loop in which `post` is called."""

    def __init__(
        self,
        url: str,
        *,
        secret: bytes = b"",
        timeout_s: float = 5.0,
        attempts: int = 6,
        first_pause_s: float = FIRST_PAUSE_S,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self.sender = Sender(url, secret=secret, timeout_s=timeout_s)
        self._attempts = attempts
        self._first_pause_s = first_pause_s
        self._spread = spread
        self._tasks: set[asyncio.Task[None]] = set()
        self.delivered = 0
        self.failed = 0

    @property
    def pending(self) -> int:
        return len(self._tasks)

    def post(self, delivery: Delivery) -> None:
        """At once, in the background. Never raises on what the receiver does, never waits."""
        if len(self._tasks) >= MAX_PENDING:
            self.failed += 1
            log.error("call=%s webhook: %d deliveries wait already, this one is dropped", delivery.call_id, MAX_PENDING)
            return
        task = asyncio.get_running_loop().create_task(self._deliver(delivery), name=f"webhook {delivery.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def close(self, grace_s: float = 5.0) -> None:
        """What is under way gets `grace_s`, then it is given up."""
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=grace_s)
        for task in list(self._tasks):
            self.failed += 1
            log.error("%s: given up at the end of the daemon", task.get_name())
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.sender.close()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed += 1
            log.error("%s failed: %s", task.get_name(), type(error).__name__)

    async def _deliver(self, delivery: Delivery) -> None:
        number, body, host = str(uuid.uuid4()), delivery.body(), self.sender.host
        began = time.monotonic()
        for attempt in range(1, self._attempts + 1):
            made = await self.sender.attempt(number, body)
            if not made.trouble:
                self.delivered += 1
                ms = round(1000 * (time.monotonic() - began))
                log.info("call=%s webhook: %s told, attempt %d, %d ms", delivery.call_id, host, attempt, ms)
                return
            log.warning("call=%s webhook: %s: attempt %d: %s", delivery.call_id, host, attempt, made.trouble)
            if made.final or attempt == self._attempts:
                break
            await asyncio.sleep(pause_s(attempt, self._spread(), self._first_pause_s))
        self.failed += 1
        log.error("call=%s webhook: %s was not told: %s", delivery.call_id, host, made.trouble)
