"""`voicebridge load`: many callers on a PBX, and what they were served."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar

from voicebridge.audio.g711 import LAWS
from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.config import Settings
from voicebridge.load.behaviour import deal, shares
from voicebridge.load.outcome import Call
from voicebridge.load.records import Record, matched
from voicebridge.load.report import counted, report
from voicebridge.load.run import MOST_CALLS, Load, Plan, Progress, Run, Target
from voicebridge.load.script import Account, Script
from voicebridge.load.show import page, show
from voicebridge.load.sipp import LoadError
from voicebridge.load.voices import demo_lines, recorded
from voicebridge.phone import PhoneError
from voicebridge.trace.store import NoStoreError, StoreError, open_calls

RECORDS_S = 3.0
AROUND_S = 5.0
LOST, CANNOT = 1, 2


@click.command()
@click.argument("target", metavar="sip:EXTENSION@HOST[:PORT]")
@click.option("--calls", "at_once", type=click.IntRange(1, 1000), default=1, show_default=True, help="Calls at once.")
@click.option("--rate", type=click.FloatRange(0.01, 100), default=1.0, show_default=True, help="New calls a second.")
@click.option("--duration", type=click.FloatRange(1, 86_400), default=60.0, show_default=True, metavar="SECONDS",
              help="So long new calls come; those that are on then may end by themselves.")
@click.option("--total", type=click.IntRange(1, MOST_CALLS), help="Not more calls than that.")
@click.option("--profile", default="mixed", show_default=True,
              help="How callers behave: mixed, talkers, barge-ins, keys, early, silent, or shares: talk=70,early=30.")
@click.option("--voices", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="FOLDER",
              help="WAV files to say instead of the demo's questions.")
@click.option("--turns", type=click.IntRange(1, 50), default=3, show_default=True, help="Questions in a call.")
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed deals the same callers.")
@click.option("--codec", type=click.Choice(list(LAWS)), default="PCMU", show_default=True)
@click.option("--user", help="SIP user, where the PBX asks for one.")
@click.option("--password", envvar="VB_SIP_PASSWORD", help="Its password; better in VB_SIP_PASSWORD.")
@click.option("--caller", default="voicebridge-load", show_default=True, help="The caller's number or name.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A SIP header of each INVITE.")
@click.option("--rtp-ports", "first_port", type=click.IntRange(1024, 65_000), metavar="FIRST",
              help="First port of our media, two a call (any free ones without it).")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with plots.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@config_option
def load(
    target: str, at_once: int, rate: float, duration: float, total: int | None, profile: str, voices: Path | None,
    turns: int, seed: int, codec: str, user: str | None, password: str | None, caller: str, headers: tuple[str, ...],
    first_port: int | None, html: Path | None, as_json: bool, path: Path | None,
) -> None:  # fmt: skip
    """Call TARGET over and over with callers who talk, interrupt, press keys, stay silent or leave early, and report
    what they were served, measured from the RTP that came back.

    SIPp signals (Debian's package sip-tester). Exit code 1: callers were lost; 2: the run could not be made.
    """
    console = Console(stderr=as_json, highlight=False)
    settings = settings_or_exit(path)
    try:
        whom = Target.parsed(target)
        account = Account(user, password or "") if user else None
        script = Script(LAWS[codec], caller=caller, account=account, headers=headers)
        *lines, goodbye = demo_lines()
        said = recorded(voices) if voices is not None else lines
        dealt = deal(shares(profile), said, seed=seed, turns=turns, goodbye=None if voices else goodbye)
        plan = Plan(whom, script, dealt, at_once, rate, duration, most=total or MOST_CALLS, first_port=first_port or 0)
        with _bar(Console(stderr=True), plan) as tell:
            run = uvloop.run(placed(plan, tell))
    except (LoadError, PhoneError, ValueError) as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(CANNOT)
    asked = {
        "target": target, "at_once": at_once, "rate": rate, "duration_s": duration, "profile": profile, "seed": seed,
        "codec": codec,
    }  # fmt: skip
    calls = with_records(run, settings, console)
    made = report(run, calls, asked)
    if as_json:
        click.echo(json.dumps(made))
    else:
        show(console, made)
    if html is not None:  # last: a page that cannot be written does not cost the numbers
        try:
            html.write_text(page(run, made), encoding="utf-8")
        except OSError as error:
            click.echo(f"voicebridge: the page with plots is not written: {html}: {error.strerror}", err=True)
            sys.exit(CANNOT)
        console.print(f"the page with plots: {html}", markup=False)
    sys.exit(LOST if made["lost"] else 0)


async def placed(plan: Plan, tell: Callable[[Progress], None]) -> Run:
    """Ctrl-C ends the calls, not the report. Raises LoadError."""
    made = Load(plan, tell)
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(sign, made.stop)
    try:
        return await made.run()
    finally:
        for sign in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(sign)


def with_records(run: Run, settings: Settings, console: Console) -> list[Call]:
    """The calls with what the daemon's store knows of them, where it is on this machine."""
    calls = counted(run)
    wanted = sum(call.answered for call in calls)
    found: list[Record] = []
    until = time.monotonic() + RECORDS_S
    try:
        store = open_calls(settings)
        while len(found) < wanted and time.monotonic() < until:
            found = list(store.records(run.started_at - AROUND_S, time.time() + AROUND_S))
            time.sleep(0.2)
    except NoStoreError:
        return calls
    except StoreError as error:
        console.print(f"the daemon's records cannot be read: {error}", markup=False)
    return matched(calls, found, run.started_at)


@contextlib.contextmanager
def _bar(console: Console, plan: Plan) -> Iterator[Callable[[Progress], None]]:
    columns: Sequence[Any] = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[said]}")
    )  # fmt: skip
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("calling", total=plan.duration_s, said="")

        def tell(now: Progress) -> None:
            refused = f", {now.refused} refused" if now.refused else ""
            said = f"{now.live} on, {now.answered} answered of {now.offered}{refused}"
            over = now.elapsed_s > plan.duration_s
            bar.update(
                task, completed=min(now.elapsed_s, plan.duration_s), said=said,
                description="the last calls end" if over else "calling",
            )  # fmt: skip

        yield tell
