"""`voicebridge store`: how the store of calls is, bringing it up to date, and moving it to another database."""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.trace.store import StoreError
from voicebridge.trace.store.copying import copy as copy_calls
from voicebridge.trace.store.link import opened
from voicebridge.trace.store.status import Status, status

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.group()
def store() -> None:
    """Where calls are kept: SQLite in `[store] dir`, or the PostgreSQL of `[store] url`."""


@store.command("status")
@config_option
@json_option
def show(path: Path | None, as_json: bool) -> None:
    """What is kept and what waits. Exits with 1 where records wait or the database cannot be used."""
    kept = settings_or_exit(path).config.store
    found = status(kept.dir, kept.url)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(found), "healthy": found.healthy}))
    else:
        _print(found, kept.keep_days)
    sys.exit(0 if found.healthy else 1)


def _print(found: Status, keep_days: int) -> None:
    console = Console(highlight=False, soft_wrap=True)

    def line(name: str, text: str) -> None:
        console.print(f"{name:<12}{text}", markup=False)

    line("database", found.where)
    if found.problem:
        line("problem", found.problem)
    else:
        size = f", {found.bytes / 1e6:.1f} MB" if found.bytes else ""
        line("calls", f"{found.calls} ({found.recordings} recorded{size}), kept for {keep_days} days")
        line("oldest", "-" if found.oldest is None else f"{datetime.fromtimestamp(found.oldest):%Y-%m-%d %H:%M}")
        line("tables", f"version {found.version or 'none yet'}")
    line("waiting", f"{found.waiting} records{f', {found.refused} refused' if found.refused else ''}")
    line("secret", f"{found.secret or 'none yet'} (the same on all nodes that share the database)")
    for erasure in found.erasures:
        when = f"{datetime.fromtimestamp(erasure.at):%Y-%m-%d %H:%M}"
        line("erased", f"{when} by {erasure.why}: {erasure.calls} calls, {erasure.files} files")


@store.command()
@config_option
@json_option
def migrate(path: Path | None, as_json: bool) -> None:
    """Make the tables or bring them up to date; `voicebridge run` does so too."""
    kept = settings_or_exit(path).config.store
    try:
        with opened(kept.dir, kept.url, make=True) as (_, where):
            pass
    except (StoreError, OSError) as error:
        fail(error)
    click.echo(json.dumps({"database": where}) if as_json else f"{where} is up to date")


@store.command()
@config_option
@click.option("--from", "source", default="", metavar="URL", help="Where from; SQLite in `[store] dir` if not said.")
@click.option("--to", "target", default=None, metavar="URL", help="Where to; `[store] url` if not said.")
@json_option
def copy(path: Path | None, source: str, target: str | None, as_json: bool) -> None:
    """Copy all calls into another database, e.g. from SQLite to PostgreSQL.

    Safe to repeat, also while the daemon runs: copy, set `[store] url`, restart, copy once more.
    """
    kept = settings_or_exit(path).config.store
    target = kept.url if target is None else target
    columns = (TextColumn("copying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("calls")
            done = copy_calls(
                kept.dir, source, target, lambda so_far, total: progress.update(task, completed=so_far, total=total)
            )
    except (StoreError, OSError) as error:
        fail(error)
    click.echo(json.dumps({"copied": done}) if as_json else f"{done} calls copied")


def fail(error: Any) -> NoReturn:
    click.echo(f"voicebridge: {error}", err=True)
    sys.exit(1)
