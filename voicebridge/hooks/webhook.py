"""events.webhook: a POST of each happening as JSON, signed; tried again, over restarts too, until it is taken.

    [events.webhook]
    url = "https://crm.example/calls"
    secret_file = "/etc/voicebridge/webhook.secret"     # or secret_env, a variable's name
    events = ["call_ended"]

    {"event": "call_ended", "call_id": ..., "at": 1796126400.0, "record": {...}}      the record: trace/record.py

Headers, signature, and what is tried again: `delivery`. The same delivery may come twice (its number is the same), and
not in the order in which things happened.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from voicebridge.delivery import Sender, address_problem, secret_of, warn_of_clear_text
from voicebridge.hooks.outbox import Outbox


class WebhookOptions(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    secret_env: str = "VB_EVENTS_SECRET"
    secret_file: Path | None = None
    events: frozenset[str] = frozenset({"call_ended"})
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    keep_h: float = Field(default=72.0, gt=0, le=24 * 30)
    """So many hours a receiver that is down is tried."""

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> str:
        if problem := address_problem(value):
            raise ValueError(problem)
        return value


class EventWebhook:
    def __init__(self, options: WebhookOptions, folder: Path, **pauses: Any) -> None:
        secret = secret_of("secret_file", options.secret_env, options.secret_file)
        sender = Sender(options.url, secret=secret, timeout_s=options.timeout_s)
        self.events = options.events
        self.outbox = Outbox(folder, sender, keep_s=options.keep_h * 3600, **pauses)

    @property
    def queued(self) -> int:
        return self.outbox.queued

    @property
    def delivered(self) -> int:
        return self.outbox.delivered

    @property
    def failed(self) -> int:
        return self.outbox.failed

    async def start(self) -> None:
        self.outbox.start()

    async def handle(self, happening: dict[str, Any]) -> None:
        """Returns when it is kept; it is delivered in the background."""
        await self.outbox.put(await asyncio.to_thread(_body, happening))

    async def close(self) -> None:
        await self.outbox.close()


class Plugin:
    def create(self, options: Mapping[str, Any], folder: Path) -> EventWebhook:
        wanted = WebhookOptions.model_validate(options)
        warn_of_clear_text("events.webhook", wanted.url)
        return EventWebhook(wanted, folder)


def _body(happening: dict[str, Any]) -> bytes:
    return json.dumps(happening).encode()


HOOK = Plugin()
