"""Giving a caller back: variables set, then out of Stasis and on in the dialplan."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping

from voicebridge.pbx.asterisk.ari import Ari

log = logging.getLogger(__name__)

Place = tuple[str, str, int]

_NAME = re.compile(r"[A-Za-z0-9_.*#+-]{1,80}")


async def give_back(ari: Ari, channel: str, variables: Mapping[str, str]) -> None:
    """To the step behind `Stasis()`, or to VB_RETURN (`context,extension,priority`) where that is set.

    Raises AriError; AriGone and AriConflict mean that the caller is not ours any more.
    """
    for name, value in variables.items():
        await ari.set_variable(channel, name, value)
    place = place_of(await ari.get_variable(channel, "VB_RETURN"))
    if place is not None and not await exists(ari, channel, place):
        log.error("channel=%s VB_RETURN=%s,%s,%d: there is no such place in the dialplan", channel, *place)
        place = None
    await ari.go_on(channel, place)


async def exists(ari: Ari, channel: str, place: Place) -> bool:
    """Whether the dialplan has this place: Asterisk hangs up who is sent to one that it has not.

    True, too, where it cannot tell (no func_dialplan). Raises AriError.
    """
    context, extension, priority = place
    return await ari.get_variable(channel, f"DIALPLAN_EXISTS({context},{extension},{priority})") != "0"


def place_of(text: str) -> Place | None:
    """None for what is no `context,extension,priority`; the priority may be left out."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (2, 3) or not all(_NAME.fullmatch(part) for part in parts[:2]):
        return None
    priority = parts[2] if len(parts) == 3 else "1"
    return (parts[0], parts[1], int(priority)) if priority.isdigit() and len(priority) < 6 else None
