"""The database away for a minute while calls end: what becomes of their records, and whether the media clock notices.

    python -m bench.store_outage                        a real PostgreSQL stopped for 60 s, 5 calls a second ending
    python -m bench.store_outage --how freeze           it keeps its sockets and answers nothing; or --how kill (-9)
    python -m bench.store_outage --seconds 10 --json

The store is the daemon's own, on uvloop with the 20 ms ticker. Gaps between its ticks are told by phase: without
records, with the database there, while it is away, and while what waited is written.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import uvloop
from rich.console import Console
from rich.table import Table
from sqlalchemy import select

from bench.machine import machine
from bench.pretence import some_calls
from tests.trace.store.server import Server, programs, serving
from voicebridge.audio.clock import Ticker
from voicebridge.trace.record import Record
from voicebridge.trace.store import Calls, CallStore, database
from voicebridge.trace.store.schema import calls

CALM_S = 10.0
REPLAY_LIMIT_S = 120.0
SHAPES = 200
"""So many different records, under new ids each time."""


@dataclass(frozen=True)
class Phase:
    """`gap_*`: between two ticks of the media clock, milliseconds; 20 is right. `put_max_ms`: the longest that a record
    took to be taken."""

    name: str
    seconds: float
    records: int
    gap_p50_ms: float
    gap_p99_ms: float
    gap_max_ms: float
    put_max_ms: float


@dataclass(frozen=True)
class Outcome:
    """`lost`: records that are not in the database at the end, or are not what they were; `in_order`: as they came."""

    how: str
    phases: list[Phase]
    records: int
    lost: int
    in_order: bool
    spilled_most: int
    queued_most: int

    @property
    def good(self) -> bool:
        return not self.lost and self.in_order


class Run:
    """`rate`: calls that end in a second."""

    def __init__(self, store: CallStore, rate: float) -> None:
        self._store = store
        self._rate = rate
        self._ticks: list[float] = []
        self._shapes = itertools.cycle(list(some_calls(SHAPES, time.time())))
        self.written: list[Record] = []
        self.spilled = self.queued = 0

    def tick(self, now: float) -> None:
        """The loop's clock counts whole milliseconds: the real one is asked."""
        self._ticks.append(time.monotonic())

    async def phase(
        self, name: str, seconds: float, *, until: Callable[[], bool] = lambda: False, silent: bool = False
    ) -> Phase:
        self._ticks.clear()
        puts, began, before = [0.0], time.monotonic(), len(self.written)
        for number in itertools.count(1):
            if not silent:
                puts.append(self._put())
            await asyncio.sleep(max(0.0, began + number / self._rate - time.monotonic()))
            stats = self._store.stats()
            self.spilled, self.queued = max(self.spilled, stats.spilled), max(self.queued, stats.queued)
            if time.monotonic() - began >= seconds or until():
                break
        p50, p99, worst = np.percentile(np.diff(self._ticks) * 1000, [50, 99, 100])
        return Phase(
            name, round(time.monotonic() - began, 1), len(self.written) - before, round(float(p50), 2),
            round(float(p99), 2), round(float(worst), 2), round(max(puts) * 1000, 2),
        )  # fmt: skip

    def _put(self) -> float:
        number = len(self.written)
        record = {**next(self._shapes), "call_id": f"{number:08d}-0000-4000-8000-000000000000"}
        self.written.append(record)
        began = time.perf_counter()
        self._store.write(record["call_id"], record)
        return time.perf_counter() - began


async def measured(server: Server, how: str, seconds: float, rate: float) -> Outcome:
    """Raises RuntimeError where the server cannot be stopped or started."""
    away, back = {
        "stop": (server.stop, server.start), "kill": (server.kill, server.start), "freeze": (server.freeze, server.thaw)
    }[how]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="vb-outage-") as name:
        folder = Path(name)
        store = CallStore(folder, keep_days=1, url=server.url)
        store.prepare()
        ticker, run = Ticker(), Run(store, rate)
        ticker.add(run.tick)
        ticker.start()
        phases = [await run.phase("no records", CALM_S, silent=True), await run.phase("database there", CALM_S)]
        await asyncio.to_thread(away)
        try:
            phases.append(await run.phase("database away", seconds))
        finally:
            await asyncio.to_thread(back)
        phases.append(await run.phase("back", REPLAY_LIMIT_S, until=lambda: store.flush(0)))
        await asyncio.to_thread(store.flush, REPLAY_LIMIT_S)
        ticker.stop()
        await asyncio.to_thread(store.close)
        lost, in_order = _compare(folder, server.url, run.written)
    return Outcome(how, phases, len(run.written), lost, in_order, run.spilled, run.queued)


def _compare(folder: Path, url: str, written: list[Record]) -> tuple[int, bool]:
    wanted = {record["call_id"]: record for record in written}
    kept = {record["call_id"]: record for record in Calls(folder, url).records()}
    with database.reading(database.address(folder, url)).connect() as connection:
        order = list(connection.execute(select(calls.c.call_id).order_by(calls.c.id)).scalars())
    return sum(kept.get(call_id) != record for call_id, record in wanted.items()), order == list(wanted)


def _rows(phases: list[Phase]) -> Iterator[tuple[str, ...]]:
    for one in phases:
        yield (
            one.name, f"{one.seconds:.0f} s", str(one.records), f"{one.gap_p50_ms:.1f}", f"{one.gap_p99_ms:.1f}",
            f"{one.gap_max_ms:.1f}", f"{one.put_max_ms:.2f}",
        )  # fmt: skip


@click.command()
@click.option("--how", type=click.Choice(["stop", "kill", "freeze"]), default="stop", show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="How long the database is away.")
@click.option("--rate", default=5.0, show_default=True, help="Calls that end in a second.")
@click.option("--json", "as_json", is_flag=True)
def main(how: str, seconds: float, rate: float, as_json: bool) -> None:
    """Exits with 1 where a record was lost or the order was not kept."""
    tools = programs()
    if tools is None:
        raise click.ClickException("no PostgreSQL here: apt install postgresql")
    with serving(tools) as server:
        found = uvloop.run(measured(server, how, seconds, rate))
    if as_json:
        click.echo(json.dumps({**machine(), **asdict(found), "good": found.good}))
    else:
        _print(found)
    sys.exit(0 if found.good else 1)


def _print(found: Outcome) -> None:
    console, here = Console(highlight=False), machine()
    table = Table("", "", "records", "gap p50", "p99", "max ms", "taken ms", title=f"PostgreSQL: {found.how}")
    for row in _rows(found.phases):
        table.add_row(*row)
    console.print(table)
    console.print(
        f"{found.records} records, {found.lost} lost, {'in order' if found.in_order else 'NOT IN ORDER'}; "
        f"at most {found.spilled_most} in files, {found.queued_most} in memory\n{here['machine']}, {here['date']}"
    )


if __name__ == "__main__":
    main()
