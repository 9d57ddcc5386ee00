"""Tells another system of a handoff: JSON by POST, signed, tried again in the background. Nothing waits for it.

    POST <url>
    Content-Type: application/json
    X-Voicebridge-Delivery: 0e5c...            the same in every attempt: who has seen it may drop it
    X-Voicebridge-Timestamp: 1796126400        seconds since 1970, of this attempt
    X-Voicebridge-Signature: sha256=6b1f...    HMAC-SHA256 of "<timestamp>.<body>" with the secret, where there is one

    {"event": "handoff", "state": "go" | "calling" | "connected" | "refused", "call_id": ..., "target": ...,
     "label": ..., "reason": ..., "cause": ..., "caller": ..., "agent": ..., "summary": ..., "briefing": ...,
     "transcript": [{"caller": ..., "agent": ...}], "at": "2026-12-01T10:00:00+01:00"}

2xx is success. Other answers than 408, 429 and 5xx are final. What was said stands only in the body, never in the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from voicebridge.config import ConfigError, is_loopback
from voicebridge.handoff.summary import Summary
from voicebridge.targets import HandoffSettings

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
"""Before the second attempt; it doubles with each, and is spread by half."""
LONGEST_PAUSE_S = 60.0
MAX_PENDING = 200
"""Deliveries under way; what comes on top of them is dropped and logged: the receiver has been down for long."""
TRY_AGAIN = frozenset({408, 429})


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
    address = urlsplit(settings.webhook)
    if address.scheme == "http" and not is_loopback(address.hostname or ""):
        log.warning("handoff.webhook: what callers say goes to %s in the clear: use https", address.hostname)
    secret = os.environ.get(settings.secret_env, "") if settings.secret_env else ""
    if settings.secret_file is not None:
        try:
            secret = settings.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"handoff.secret_file: {settings.secret_file} cannot be read: {error}") from None
        if not secret:
            raise ConfigError(f"handoff.secret_file: {settings.secret_file} is empty: write the secret into it")
    return Webhook(
        settings.webhook, secret=secret.encode(), timeout_s=settings.timeout_s, attempts=settings.attempts
    )


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
        self._url = url
        self._host = urlsplit(url).hostname or ""
        self._secret = secret
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._first_pause_s = first_pause_s
        self._spread = spread
        # Made here, when the daemon starts: reading the certificates would stop the media clock of a call.
        self._client = httpx.AsyncClient(timeout=None, follow_redirects=False)
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
        await self._client.aclose()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failed += 1
            log.error("%s failed: %s", task.get_name(), type(error).__name__)

    async def _deliver(self, delivery: Delivery) -> None:
        number, body = str(uuid.uuid4()), delivery.body()
        began = time.monotonic()
        for attempt in range(1, self._attempts + 1):
            trouble, final = await self._attempt(number, body)
            if not trouble:
                self.delivered += 1
                ms = round(1000 * (time.monotonic() - began))
                log.info("call=%s webhook: %s told, attempt %d, %d ms", delivery.call_id, self._host, attempt, ms)
                return
            log.warning("call=%s webhook: %s: attempt %d: %s", delivery.call_id, self._host, attempt, trouble)
            if final or attempt == self._attempts:
                break
            pause = min(LONGEST_PAUSE_S, self._first_pause_s * 2.0 ** (attempt - 1))
            await asyncio.sleep(pause * (0.75 + self._spread() / 2))
        self.failed += 1
        log.error("call=%s webhook: %s was not told: %s", delivery.call_id, self._host, trouble)

    async def _attempt(self, number: str, body: bytes) -> tuple[str, bool]:
        """(what went wrong or "", whether another attempt is pointless)."""
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "X-Voicebridge-Delivery": number,
            "X-Voicebridge-Timestamp": stamp,
        }
        if self._secret:
            headers["X-Voicebridge-Signature"] = f"sha256={signature(self._secret, stamp, body)}"
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                status = answer.status_code  # the body is of no interest, however long it is
        except TimeoutError:
            return f"no answer in {self._timeout_s:g} s", False
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return type(error).__name__, isinstance(error, httpx.InvalidURL)
        if 200 <= status < 300:
            return "", True
        return f"answered {status}", status not in TRY_AGAIN and status < 500


def signature(secret: bytes, timestamp: str, body: bytes) -> str:
    """Hexadecimal; what a receiver compares with the header."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
