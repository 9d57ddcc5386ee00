"""The response gap, measured outside the daemon from the frames on the wire.

    python -m bench.turns                     one call at a time, 26 questions that the language model answers
    python -m bench.turns --calls 8           eight calls in conversation
    python -m bench.turns --agent demo        answered by rules
    python -m bench.turns --barge-in 1.2      every question is said so long into the answer before
    python -m bench.turns --calls 8 --turns 12 --compare-deadlines
                                              with deadlines and without, in turns, on two daemons

A daemon is started for it (embedded engines, a process of its own), unless --to names one. The callers are the voices
of bench/exam. The gap is from the last voiced sample that was sent to the first voiced one received (`audio.measure`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.calls import MODEL_QUESTIONS, Round, Spread, lines, spread
from bench.machine import machine
from voicebridge.cli.testcall import running_daemon, wait_for_record
from voicebridge.config import split_address
from voicebridge.phone import Heard, Line, Phone
from voicebridge.trace.render import percentile
from voicebridge.trace.store import CallStore

STAGGER_S = 0.7
BLOCKS = 4
"""Of a comparison, each with and without: what else the machine does should hit both."""
ON, OFF = "with deadlines", "without"
PATH = click.Path(exists=True, dir_okay=False, path_type=Path)


def dealt(asked: Sequence[Line], calls: int, turns: int, barge_in: float | None) -> list[list[Line]]:
    """`turns` questions for each call; every call begins elsewhere in the list."""
    made = []
    for number in range(calls):
        begin = number * len(asked) // calls
        picked = [asked[(begin + index) % len(asked)] for index in range(turns)]
        made.append([Line(line.label, line.pcm, barge_in if index else None) for index, line in enumerate(picked)])
    return made


async def talk(port: int, host: str, plan: Sequence[Sequence[Line]], tick: Any) -> list[Heard]:
    async def one(number: int, said: Sequence[Line]) -> Heard:
        await asyncio.sleep(number * STAGGER_S)
        return await Phone(host, port, on_event=tick).call(said)

    return list(await asyncio.gather(*(one(number, said) for number, said in enumerate(plan))))


def by_stage(rounds: Sequence[Round]) -> dict[str, Spread]:
    """When each stage was reached, in seconds from the last voiced sample, by the daemon's own timeline."""
    reached: dict[str, list[float]] = {}
    for made in rounds:
        for turn in (made.record or {}).get("turns", []):
            if turn["gap_s"] is None or turn["last_voice"] is None:
                continue
            for name, at in turn["marks"].items():
                reached.setdefault(name, []).append(at - turn["last_voice"])
    return {name: spread(values) for name, values in reached.items()}


def by_source(rounds: Sequence[Round]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for made in rounds:
        for turn in (made.record or {}).get("turns", []):
            if turn["gap_s"] is not None:
                counts[turn["source"]] = counts.get(turn["source"], 0) + 1
    return counts


def report(rounds: Sequence[Round]) -> dict[str, Any]:
    spoken = [line for made in rounds for line in made.heard.lines]
    frames = [gap for made in rounds for gap in made.heard.frame_gaps()]
    stops = [line.agent_stopped - line.first_voice for line in spoken if line.agent_stopped is not None]
    return {
        "gap_s": spread([gap for made in rounds for gap in made.gaps()]),
        "fillers": sum(made.fillers() for made in rounds),
        "unanswered": [line.line.label for line in spoken if line.gap is None],
        "barge_in_stop_s": spread(stops),
        "frame_gap_s": {**spread(frames), "p99.9": round(percentile(frames, 99.9), 4) if frames else 0.0},
        "answered_by": by_source(rounds),
        "stages_s": by_stage(rounds),
        **machine(),
    }


def show(console: Console, made: dict[str, Any]) -> None:
    table = Table("seconds", "n", "p50", "p95", "p99", "max", title=f"{made['machine']}, {made['date']}")
    rows = {
        "response gap": made["gap_s"],
        "barge-in to silence": made["barge_in_stop_s"],
        "frame gap": made["frame_gap_s"],
    }
    stages = sorted(made["stages_s"].items(), key=lambda item: item[1]["p50"])
    for name, row in [*rows.items(), *((f"  {name}", row) for name, row in stages)]:
        if row["n"]:
            table.add_row(name, str(row["n"]), *(f"{row[key]:.3f}" for key in ("p50", "p95", "p99", "max")))
    console.print(table)
    late = made["frame_gap_s"]["p99.9"] * 1000
    console.print(f"answered by {made['answered_by']}, {made['fillers']} fillers; frame gap p99.9 {late:.1f} ms")
    if made["unanswered"]:
        console.print(f"[red]not answered: {', '.join(made['unanswered'])}[/]")


def compared(made: dict[str, list[Round]]) -> dict[str, Any]:
    """Reports of the rounds with deadlines and without, and how many times longer the gap is without."""
    reports = {name: report(rounds) for name, rounds in made.items()}
    on, off = (reports[name]["gap_s"] for name in (ON, OFF))
    shares = [key for key in ("p50", "p95", "p99") if on.get(key) and key in off]
    return {**reports, "without_to_with": {key: round(off[key] / on[key], 2) for key in shares}}


def show_compared(console: Console, made: dict[str, Any]) -> None:
    table = Table("response gap, seconds", "n", "p50", "p95", "p99", "max", title=f"{made[ON]['machine']}")
    for name in (ON, OFF):
        row = made[name]["gap_s"]
        if row["n"]:
            table.add_row(name, str(row["n"]), *(f"{row[key]:.3f}" for key in ("p50", "p95", "p99", "max")))
    ratios = made["without_to_with"]
    shown = (f"{ratios[key]:.2f}" if key in ratios else "" for key in ("p50", "p95", "p99"))
    table.add_row("without : with", "", *shown)
    console.print(table)
    for name in (ON, OFF):
        one = made[name]
        late = len(one["unanswered"])
        console.print(f"{name}: answered by {one['answered_by']}, {one['fillers']} fillers, {late} not answered")


@contextlib.contextmanager
def daemon(address: str | None, options: Sequence[str], config: Path | None) -> Iterator[tuple[str, int, Path | None]]:
    if address is not None:
        host, port = split_address(address)
        yield host, port, None
    else:
        with running_daemon(config, options) as (port, store):
            yield "127.0.0.1", port, store


Place = tuple[str, int, Path | None]
"""Host, port and store of a daemon."""


def rounds_on(there: Place, plan: Sequence[Sequence[Line]], tick: Any) -> list[Round]:
    host, port, folder = there
    heard = uvloop.run(talk(port, host, plan, tick))
    store = CallStore(folder, keep_days=1) if folder is not None else None
    return [Round(one, wait_for_record(store, one.call_id) if store else None) for one in heard]


def in_turns(
    asked: Sequence[Line], calls: int, turns: int, barge_in: float | None, options: Sequence[str], config: Path | None
) -> dict[str, list[Round]]:
    """The same questions on two daemons, block by block, each of them first as often as the other."""
    each = max(1, turns // BLOCKS)
    made: dict[str, list[Round]] = {ON: [], OFF: []}
    with (
        daemon(None, [*options, "--deadlines"], config) as on,
        daemon(None, [*options, "--no-deadlines"], config) as off,
        progress(2 * BLOCKS * calls * each) as tick,
    ):
        for block in range(BLOCKS):
            shift = block * each % len(asked)
            plan = dealt([*asked[shift:], *asked[:shift]], calls, each, barge_in)
            both = [(ON, on), (OFF, off)]
            for name, there in both if block % 2 == 0 else reversed(both):
                made[name] += rounds_on(there, plan, tick)
    return made


@contextlib.contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Yields what a phone tells; a line of a caller is one step."""
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{total} questions", total=total)
        yield lambda text: bar.advance(task, 1 if text.startswith("caller:") else 0)


@click.command()
@click.option("--calls", default=1, show_default=True, help="Calls in conversation at the same time.")
@click.option("--turns", default=26, show_default=True, help="Questions in each call.")
@click.option("--agent", default="open", show_default=True)
@click.option("--questions", "file", type=PATH, default=MODEL_QUESTIONS)
@click.option("--barge-in", type=float, help="Seconds into the answer at which the next question begins.")
@click.option("--to", "address", help="A daemon that runs already.")
@click.option("--config", type=PATH, help="Configuration for the daemon.")
@click.option("--no-deadlines", is_flag=True, help="Who comes first is served first.")
@click.option("--compare-deadlines", is_flag=True, help="With and without, interleaved; calls of TURNS/4 questions.")
@click.option("--json", "as_json", is_flag=True)
def main(
    calls: int,
    turns: int,
    agent: str,
    file: Path,
    barge_in: float | None,
    address: str | None,
    config: Path | None,
    no_deadlines: bool,
    compare_deadlines: bool,
    as_json: bool,
) -> None:
    """Measure the response gap."""
    options = ["--agent", agent]
    if compare_deadlines:
        if address is not None or no_deadlines:
            raise click.UsageError("--compare-deadlines starts its own daemons: no --to, no --no-deadlines")
        made = compared(in_turns(lines(file), calls, turns, barge_in, options, config))
    else:
        options += ["--no-deadlines"] if no_deadlines else []
        plan = dealt(lines(file), calls, turns, barge_in)
        with daemon(address, options, config) as there, progress(calls * turns) as tick:
            made = report(rounds_on(there, plan, tick))
    if as_json:
        click.echo(json.dumps(made))
    elif compare_deadlines:
        show_compared(Console(), made)
    else:
        show(Console(), made)


if __name__ == "__main__":
    main()
