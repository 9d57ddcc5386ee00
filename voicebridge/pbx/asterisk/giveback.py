"""Giving a caller back: variables set, then out of Stasis and on in the dialplan."""

from __future__ import annotations

import re
from collections.abc import Mapping

from voicebridge.pbx.asterisk.ari import Ari, AriError, AriGone

Place = tuple[str, str, int]

_NAME = re.compile(r"[A-Za-z0-9_.*#+-]{1,80}")


async def give_back(ari: Ari, channel: str, variables: Mapping[str, str]) -> None:
    """To the step behind `Stasis()`, or to VB_RETURN (`context,extension,priority`) where that is set.

    Raises AriError; AriGone and AriConflict mean that the caller is not ours any more.
    """
    for name, value in variables.items():
        await ari.set_variable(channel, name, value)
    place = place_of(await ari.get_variable(channel, "VB_RETURN"))
    try:
        await ari.go_on(channel, place)
    except AriGone:
        raise
    except AriError:
        if place is None:
            raise
        await ari.go_on(channel)  # a place that does not exist must not keep him here


def place_of(text: str) -> Place | None:
    """None for what is no `context,extension,priority`; the priority may be left out."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (2, 3) or not all(_NAME.fullmatch(part) for part in parts[:2]):
        return None
    priority = parts[2] if len(parts) == 3 else "1"
    return (parts[0], parts[1], int(priority)) if priority.isdigit() and len(priority) < 6 else None
