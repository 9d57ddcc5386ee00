"""The table of the README: `voicebridge load` on a real Asterisk with 1, 2, 4 and 8 calls, embedded engines.

    python -m bench.loads                     60 s a step, and the calls that are on then to their end
    python -m bench.loads --steps 1,8 --duration 30 --html /tmp/load

Everything runs on this machine: Asterisk, the daemon with its engines, SIPp and the callers. Fails where a caller was
lost.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench.machine import machine
from tests.pbx import corpus
from tests.pbx.asterisk import Asterisk
from tests.pbx.daemon import DaemonError, VoiceDaemon
from tests.pbx.install import Unavailable, provide
from voicebridge.audio.g711 import LAWS, Law
from voicebridge.load.behaviour import deal, shares
from voicebridge.load.outcome import Call
from voicebridge.load.records import matched
from voicebridge.load.report import Report, counted, report
from voicebridge.load.run import Load, Plan, Run, Target
from voicebridge.load.script import Script
from voicebridge.load.show import page
from voicebridge.load.voices import demo_lines

BETWEEN_S = 3.0
SEED = 1


def step(
    asterisk: Asterisk, daemon: VoiceDaemon, law: Law, profile: str, calls: int, duration: float, bar: Progress
) -> tuple[Run, Report]:
    *lines, goodbye = demo_lines()
    dealt = deal(shares(profile), lines, seed=SEED, turns=3, goodbye=goodbye)
    script = Script(law, headers=(f"X-VB-Media: {daemon.media}",))
    plan = Plan(Target("agent", "127.0.0.1", asterisk.sip_port), script, dealt, calls, 1.0, duration,
                roots={"daemon": [daemon.pid], "pbx": [asterisk.pid]})  # fmt: skip
    task = bar.add_task(f"{calls} calls at once", total=duration)
    load = Load(plan, lambda now: bar.update(task, completed=min(now.elapsed_s, duration)))
    run = uvloop.run(load.run())
    asked = {"target": "sip:agent@127.0.0.1", "at_once": calls, "rate": 1.0, "duration_s": duration,
             "profile": profile, "seed": SEED, "codec": law.name}  # fmt: skip
    return run, report(run, recorded(run, daemon), asked)


def recorded(run: Run, daemon: VoiceDaemon) -> list[Call]:
    """With what the daemon's records know."""
    found = []
    for call in run.calls:
        try:
            found += [daemon.record(UUID(call.call_id), limit_s=2.0)] if call.answered else []
        except DaemonError:
            continue  # it shows as a call without an outcome
    return matched(counted(run), found, run.started_at)


def show(console: Console, steps: list[Report]) -> None:
    columns = ("calls at once", "offered", "answered", "lost", "gap p50", "p95", "p99", "longest silence",
               "jitter p95", "packets lost", "daemon cores", "daemon MB", "Asterisk cores")  # fmt: skip
    table = Table(*columns, title=f"{steps[0]['machine']}, {steps[0]['date']}")
    for made in steps:
        table.add_row(*cells(made))
    console.print(table)
    console.print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns), markup=False, soft_wrap=True)
    for made in steps:
        console.print("| " + " | ".join(cells(made)) + " |", markup=False, soft_wrap=True)


def cells(made: Report) -> list[str]:
    gap = made["answer_gap_s"] if made["answer_gap_s"]["n"] else made["gap_s"]
    used: dict[str, Any] = made["usage"]
    daemon, pbx = used.get("daemon", {}), used.get("pbx", {})
    return [
        str(made["at_once"]), str(made["offered"]), str(made["answered"]), str(made["lost"]),
        *(f"{gap[key]:.2f} s" if gap["n"] else "" for key in ("p50", "p95", "p99")),
        f"{made['longest_silence_s'].get('max', 0):.2f} s", f"{made['jitter_ms'].get('p95', 0):.1f} ms",
        str(made["packets_lost"]), f"{daemon.get('cores_mean', 0):.2f}", f"{daemon.get('memory_mb_max', 0):.0f}",
        f"{pbx.get('cores_mean', 0):.2f}",
    ]  # fmt: skip


@click.command()
@click.option("--steps", default="1,2,4,8", show_default=True, help="How many calls at once, step by step.")
@click.option("--duration", default=60.0, show_default=True, help="Seconds in which new calls come, a step.")
@click.option("--profile", default="mixed", show_default=True)
@click.option("--codec", type=click.Choice(["PCMU"]), default="PCMU", help="What the bench's Asterisk allows.")
@click.option("--html", "folder", type=click.Path(file_okay=False, path_type=Path), help="Write pages of it there.")
@click.option("--json", "as_json", is_flag=True)
def main(steps: str, duration: float, profile: str, codec: str, folder: Path | None, as_json: bool) -> None:
    """Calls under load, step by step."""
    console = Console(stderr=True)
    try:
        install = provide(lambda text: console.print(f"pbx: {text}"))
        waiting = corpus.prompts(install)["all-circuits-busy-now"].path
    except (Unavailable, corpus.CorpusError) as reason:
        raise click.ClickException(str(reason)) from reason
    reports: list[Report] = []
    with (
        tempfile.TemporaryDirectory(prefix="voicebridge-bench-") as name,
        Asterisk(install, waiting) as asterisk,
        VoiceDaemon(Path(name) / "daemon") as daemon,
        Progress(console=console) as bar,
    ):
        for calls in map(int, steps.split(",")):
            run, made = step(asterisk, daemon, LAWS[codec], profile, calls, duration, bar)
            reports.append(made)
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"load-{calls}.html").write_text(page(run, made), encoding="utf-8")
            time.sleep(BETWEEN_S)
    if as_json:
        click.echo(json.dumps({"steps": reports, **machine()}))
    else:
        show(Console(width=200), reports)
    if any(made["lost"] for made in reports):
        for made in reports:
            console.print(f"{made['at_once']} calls: lost {made['lost_why']}", markup=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
