"""take_message: what a caller wants passed on, as a JSON file that only its owner can read, and to a webhook.

    [tools.take_message]
    webhook = "https://crm.example/messages"     # optional: a POST with the same JSON
    headers = { Authorization = "Bearer {env:CRM_TOKEN}" }
    say = "I have noted that and will pass it on."

The file stands below `<state folder>/messages`, named by time and call. The message is taken when it is either on disk
or with the webhook.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, ConfigDict, Field

from voicebridge.tools.context import SetupError, ToolContext, ToolError, ToolReply
from voicebridge.tools.template import secret
from voicebridge.tools.tool import tool

log = logging.getLogger(__name__)

WEBHOOK_S = 4.0


class MessageSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    webhook: str = Field(default="", pattern=r"^(https?://.+)?$")
    headers: dict[str, str] = Field(default_factory=dict)
    say: str = ""


@tool(
    deadline_s=WEBHOOK_S + 1, on_hangup="complete", settings=MessageSettings,
    failed="I'm sorry, I could not save your message.",
)  # fmt: skip
async def take_message(
    ctx: ToolContext,
    message: Annotated[str, Field(min_length=1, max_length=4000)],
    name: Annotated[str, Field(max_length=200)] = "",
    phone: Annotated[str, Field(max_length=40)] = "",
) -> ToolReply:
    """Take a message for the people here, who will call back.

    message: what the caller wants to have passed on, in his words
    name: the caller's name
    phone: the number to call back
    """
    settings = MessageSettings.model_validate(dict(ctx.settings))
    record = {
        "id": ctx.key, "at": ctx.now().isoformat(timespec="seconds"), "call": ctx.call_id, "agent": ctx.agent,
        "language": ctx.language, "caller": ctx.caller, "dialled": ctx.dialled, "name": name, "phone": phone,
        "message": message,
    }  # fmt: skip
    kept = await asyncio.to_thread(_keep, ctx.folder / "messages", record)
    told = bool(settings.webhook) and await _post(settings, record, ctx)
    if not kept and not told:
        raise ToolError(transient=True)
    said = "I have noted your message and will pass it on." if ctx.language.startswith("en") else ""
    return ToolReply(settings.say or said, {"taken": True})


def _keep(folder: Path, record: dict[str, Any]) -> bool:
    """Whether it is on disk. A second attempt of the same run writes the same file."""
    at = re.sub(r"[^0-9]", "", str(record["at"])[:19])
    name = f"{at}-{re.sub(r'[^0-9A-Za-z-]', '_', str(record['id']))[:80]}"
    part = folder / f".{name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(record, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / f"{name}.json")
    except OSError as error:
        log.error("call=%s message not written to %s: %s", record["call"], folder, error)  # noqa: TRY400
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        return False
    return True


async def _post(settings: MessageSettings, record: dict[str, Any], ctx: ToolContext) -> bool:
    headers = {"Idempotency-Key": ctx.key}
    try:
        headers |= {name: secret(value, f"headers.{name}") for name, value in settings.headers.items()}
        async with asyncio.timeout(min(WEBHOOK_S, ctx.left())):
            async with httpx.AsyncClient(trust_env=False, verify=_tls()) as client:
                answer = await client.post(settings.webhook, json=record, headers=headers)
        answer.raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, SetupError) as error:
        log.warning("call=%s message not delivered to the webhook: %s", ctx.call_id, type(error).__name__)
        return False
    return True


@lru_cache(maxsize=1)
def _tls() -> Any:
    """Reading the certificates takes some 20 ms: once is enough."""
    return httpx.create_ssl_context(trust_env=False)
