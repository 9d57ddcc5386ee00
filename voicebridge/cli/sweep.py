"""`python -m voicebridge.cli.sweep`: send callers that a dead daemon has left in ARI on, every second, until ended.

Started by the parent of the daemon while none is ready. Standard input tells how ARI is reached: an AriAccess as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import NoReturn

from voicebridge.logs import setup_small
from voicebridge.pbx.asterisk.ari import Ari, AriAccess, AriError
from voicebridge.pbx.asterisk.sweep import sweep_orphans

log = logging.getLogger("voicebridge.sweep")

EVERY_S = 1.0
REQUEST_S = 2.0
SWEEP_S = 4.0


async def sweep_for_ever(access: AriAccess) -> NoReturn:
    told = ""
    while True:
        trouble = await _sweep(access)
        if trouble and trouble != told:
            log.warning("callers that wait in ARI cannot be sent on: %s", trouble)
        told = trouble
        await asyncio.sleep(EVERY_S)


async def _sweep(access: AriAccess) -> str:
    """What was in the way; empty where nothing was."""
    try:
        async with asyncio.timeout(SWEEP_S), Ari(access, timeout_s=REQUEST_S) as ari:
            await sweep_orphans(ari)
    except AriError as error:
        return str(error)
    except TimeoutError:
        return f"ARI at {access.url} is too slow: no answer in {SWEEP_S:.0f} s"
    return ""


if __name__ == "__main__":
    setup_small()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    asyncio.run(sweep_for_ever(AriAccess(**json.load(sys.stdin))))
