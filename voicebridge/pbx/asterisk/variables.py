"""The channel variables that the dialplan and we talk by, over FastAGI or ARI: VB_* in, VB_* out.

In (all optional): VB_AGENT, VB_LANGUAGE, VB_GREETING, VB_FALLBACK (a target's name), VB_MAX_SECONDS, VB_NO_INPUT
(seconds), VB_CALL (a UUID of the administrator's own), and free facts for the agent: VB_DATA_KEYS names them
(`order,customer`), VB_DATA_order and VB_DATA_customer hold them, as no PBX lists its variables over AGI.
Out, by attach: VB_STATUS, VB_CALL, VB_ATTACHED, VB_MEDIA, VB_NODE; by outcome: VB_RESULT, VB_REASON, VB_SUMMARY,
VB_CALL. VB_TARGET, VB_TARGET_KIND and VB_TARGET_DEST say where the caller should go: until the outcome what VB_FALLBACK
names.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from voicebridge.pbx.attach import AttachRequest, CallEnd, Destination, Ticket
from voicebridge.protocol.variables import clean

log = logging.getLogger(__name__)

Get = Callable[[str], Awaitable[str]]
"""Asks for one channel variable; "" where there is none."""

MAX_FACTS: Final = 16
FACT_BYTES: Final = 300
GREETING_BYTES: Final = 600
NAME_BYTES: Final = 80
SUMMARY_BYTES: Final = 250
MAX_CALL_S: Final = 24 * 3600.0
NO_INPUT_S: Final = (1.0, 120.0)

_KEY: Final = re.compile(r"[A-Za-z0-9_]{1,32}")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}([-_][A-Za-z0-9]{2,8})?")


async def read_request(get: Get) -> AttachRequest:
    """What the dialplan has set. A value that is none is left out with a line in the log: a call is not lost by it."""
    call_id = _uuid(await get("VB_CALL"))
    if call_id is not None and call_id == _uuid(await get("VB_ATTACHED")):
        call_id = None  # of this channel's last call, given by us
    return AttachRequest(
        agent=_word(await get("VB_AGENT")),
        call_id=call_id,
        language=_language(await get("VB_LANGUAGE")),
        greeting=_told(await get("VB_GREETING"), GREETING_BYTES),
        fallback=_word(await get("VB_FALLBACK")),
        facts=await _facts(get),
        max_s=_seconds("VB_MAX_SECONDS", await get("VB_MAX_SECONDS"), 1.0, MAX_CALL_S),
        no_input_s=_seconds("VB_NO_INPUT", await get("VB_NO_INPUT"), *NO_INPUT_S),
    )


async def _facts(get: Get) -> tuple[tuple[str, str], ...]:
    keys = [key for key in re.split(r"[,\s]+", await get("VB_DATA_KEYS")) if key]
    if any(not _KEY.fullmatch(key) for key in keys) or len(keys) > MAX_FACTS:
        log.warning("VB_DATA_KEYS: at most %d names of letters, digits and _ are read", MAX_FACTS)
    wanted = list(dict.fromkeys(key for key in keys if _KEY.fullmatch(key)))[:MAX_FACTS]
    found = [(key, _told(await get(f"VB_DATA_{key}"), FACT_BYTES)) for key in wanted]
    return tuple((key, value) for key, value in found if value)


def ticket_variables(ticket: Ticket, *, media: str, node: str) -> dict[str, str]:
    """In the order in which they must be set: VB_STATUS says that all of them are."""
    call_id = str(ticket.call_id)
    return {
        "VB_CALL": call_id,
        "VB_ATTACHED": call_id,
        "VB_MEDIA": media,
        "VB_NODE": node,
        **target_variables(ticket.fallback),
        "VB_STATUS": "OK",
    }


def end_variables(call_id: UUID, end: CallEnd) -> dict[str, str]:
    """In the order in which they must be set: VB_RESULT says that all of them are."""
    return {
        "VB_CALL": str(call_id),
        "VB_REASON": clean(end.reason, NAME_BYTES),
        "VB_SUMMARY": clean(end.summary, SUMMARY_BYTES),
        **target_variables(end.target),
        "VB_RESULT": end.result,
    }


def target_variables(target: Destination) -> dict[str, str]:
    """The destination's own commas stay: configuration is checked when it is read (voicebridge.targets)."""
    return {"VB_TARGET": target.name, "VB_TARGET_KIND": target.kind, "VB_TARGET_DEST": target.dest}


def _word(text: str) -> str:
    return clean(text, NAME_BYTES)


def _told(text: str, limit: int) -> str:
    """Text for the agent: one line, but with its commas: it does not go back to the PBX."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        if text:
            log.warning("VB_CALL is no UUID (${UUID()} makes one): a new id is given")
        return None


def _language(text: str) -> str:
    if text and not _LANGUAGE.fullmatch(text):
        log.warning("VB_LANGUAGE is no language such as en or pt-BR: the agent's own is used")
        return ""
    return text


def _seconds(name: str, text: str, low: float, high: float) -> float | None:
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        log.warning("%s is not between %g and %g seconds: the agent's own limit is used", name, low, high)
        return None
    return value
