"""Orphans: what a daemon that died has left in Asterisk. Callers go on to their fallback, the rest is put away.

Asterisk never lets a channel go whose Stasis application has gone (40 s seen, and no end), so somebody else must:
the daemon when it starts, before its engines load, and `voicebridge run` while the daemon won't start. Channels that
have gone on into the dialplan, such as a caller and a human who talk, are not touched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from voicebridge.config import Settings
from voicebridge.pbx.asterisk import ownership
from voicebridge.pbx.asterisk.ari import Ari, AriConflict, AriError, AriGone, access_of
from voicebridge.pbx.asterisk.ari_events import Channel
from voicebridge.pbx.asterisk.giveback import give_back

log = logging.getLogger(__name__)

SWEEP_S = 4.0
REQUEST_S = 2.0
UNMARKED_S = 0.3
ORPHANED = {"VB_REASON": "daemon_lost", "VB_RESULT": "FALLBACK"}


async def sweep(settings: Settings) -> int:
    """How many callers were sent on; 0 where ARI is not configured. Takes at most SWEEP_S. Raises AriError."""
    access = access_of(settings.config)
    if access is None:
        return 0
    async with Ari(access, timeout_s=REQUEST_S) as ari:
        try:
            async with asyncio.timeout(SWEEP_S):
                return await sweep_orphans(ari)
        except TimeoutError:
            raise AriError(f"ARI at {access.url} is too slow: not all orphans were found in {SWEEP_S:.0f} s") from None


async def sweep_orphans(ari: Ari, *, is_kept: Callable[[str], bool] = lambda found: False) -> int:
    """`is_kept`: whether a channel or bridge (by id) is somebody's; asked again at the last moment.

    Raises AriError where Asterisk cannot be asked.
    """
    app = ari.access.app
    orphans = [found for found in await ari.channels() if is_in_app(found, app) and not is_kept(found.id)]
    sent_on = await asyncio.gather(*(_put_away(ari, orphan, is_kept) for orphan in orphans))
    for bridge, owner in await ari.bridges():
        ours = bridge.startswith(ownership.BRIDGE_PREFIX)
        if ours and not ownership.is_other_living(owner) and not is_kept(bridge):
            await _quietly(ari.destroy_bridge(bridge))
    return sum(sent_on)


def is_in_app(channel: Channel, app: str) -> bool:
    """Whether it waits for our application: in Stasis, or a human of ours that is still being rung."""
    if channel.running == "Stasis":
        return channel.running_args.split(",")[0] == app
    return channel.id.startswith(ownership.HUMAN_PREFIX) and channel.state != "Up"


async def _put_away(ari: Ari, orphan: Channel, is_kept: Callable[[str], bool]) -> bool:
    """True where it was a caller, who is on his way to the fallback."""
    try:
        owner = await ari.get_variable(orphan.id, ownership.VARIABLE)
        if not owner:  # just coming in at a daemon that is about to mark it, perhaps
            await asyncio.sleep(UNMARKED_S)
            owner = await ari.get_variable(orphan.id, ownership.VARIABLE)
        if ownership.is_other_living(owner) or is_kept(orphan.id):
            return False
        if orphan.id.startswith(ownership.OURS):
            await ari.hang_up(orphan.id)
            return False
        await give_back(ari, orphan.id, ORPHANED)
    except (AriGone, AriConflict):  # gone meanwhile, or in the dialplan
        return False
    except AriError as error:
        log.warning("ari channel=%s is left where it is: %s", orphan.id, error)
        return False
    log.warning("ari channel=%s was orphaned, sent on to its fallback", orphan.id)
    return True


async def _quietly(request: Awaitable[None]) -> None:
    try:
        await request
    except AriError as error:
        log.info("ari sweep: %s", error)
