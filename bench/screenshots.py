"""`python -m bench.screenshots [FOLDER]`: pictures of the dashboard's pages, for docs/screenshots.

Light, dark, and on a telephone, of a month of made-up calls and two live ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.chromium import Browser, browser
from bench.pretence import recording, some_calls, the_call, the_slow_call
from bench.pretence_live import House, pretended_daemon
from voicebridge.config import Config, Settings, Store
from voicebridge.operating import Web
from voicebridge.trace.record import Record
from voicebridge.trace.store import CallStore
from voicebridge.web.access import PASSWORD_VARIABLE
from voicebridge.web.serve import Dashboard

FOLDER = Path("docs/screenshots")
CALLS = 300
BATCH = 50
VIEWS = (("light", False, 1200), ("dark", True, 1200), ("phone", False, 390), ("phone-dark", True, 390))
MOST = 1500
"""Pixels of height that are kept of a long page."""
SLOW = ".legend, #turn-1, #turn-2, #turn-3, #turn-4"


def fill(folder: Path, calls: int = CALLS) -> Record:
    """A store with so many calls, a slow one, and the one with everything in it, recorded; returns its record."""
    store = CallStore(folder, keep_days=90)
    store.prepare()
    now = time.time()
    shown = the_call(now - 200)
    store.write(shown["call_id"], shown)
    recording(shown, store.path(shown["call_id"], ".wav"))
    for number, record in enumerate([*some_calls(calls, now - 300), the_slow_call(now - 260)]):
        store.write(record["call_id"], record)
        if number % BATCH == BATCH - 1:
            store.flush()
    store.close()
    return shown


@contextlib.asynccontextmanager
async def dashboard(folder: Path, said: list[str], **web: object) -> AsyncIterator[Dashboard]:
    """Runs in this loop, on a free port."""
    config = Config(store=Store(dir=folder), web=Web(listen="127.0.0.1:0").model_copy(update=web))
    made = Dashboard(Settings(config=config, agents={}, source="a test"), said.append)
    running = asyncio.ensure_future(made.run())
    try:
        yield made
    finally:
        made.stop()
        await running


async def log_in(page: Browser, said: list[str]) -> None:
    """By the link that was printed last."""
    await page.open(said[-1].split()[1])


def two_live_calls(house: House, record: Record) -> None:
    """One in its second turn, and one that has just begun."""
    house.begin("7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a01", caller="***17", ago_s=31)
    for turn in record["turns"][:3]:
        house.turn("7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a01", turn)
    house.begin("7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a02", agent="werkstatt", caller="***80", ago_s=4)
    house.turn("7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a02", record["turns"][0])


async def pictures(target: Path) -> None:
    os.environ.pop(PASSWORD_VARIABLE, None)
    target.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - at the start
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="vb-pictures-") as name:
        folder = Path(name)
        record = fill(folder)
        async with (
            pretended_daemon(folder / "control.sock") as house,
            dashboard(folder, said) as made,
            browser() as page,
        ):
            two_live_calls(house, record)
            pages = {
                "overview": "overview?span=30d",
                "calls": "calls",
                "call": f"calls/{record['call_id']}",
                "slow": f"calls/{the_slow_call(0.0)['call_id']}",
                "live": "live",
            }
            await page.look()
            await page.open(f"{made.url}login")
            await page.picture(target / "login.png")
            await log_in(page, said)
            for view, dark, width in VIEWS:
                await page.look(dark=dark, width=width)
                for title, path in pages.items():
                    if view == "phone-dark" and title not in ("call", "slow"):
                        continue
                    await page.open(made.url + path)
                    if title == "live":
                        await page.until("document.querySelectorAll('#calls article').length == 2")
                    if title == "call":
                        moment = record["turns"][3]["last_voice"] + 1
                        await page.run(f"document.getElementById('seek').value = {moment}")
                        await page.run("document.getElementById('seek').dispatchEvent(new Event('input'))")
                        await asyncio.sleep(0.3)
                    # Of the slow call the slow turns are what is to be seen.
                    await page.picture(target / f"{title}-{view}.png", most=MOST, of=SLOW if title == "slow" else "")
                    print(f"{target / f'{title}-{view}.png'}", flush=True)
            if page.complaints:
                sys.exit(f"the browser complained: {page.complaints}")


if __name__ == "__main__":
    asyncio.run(pictures(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
