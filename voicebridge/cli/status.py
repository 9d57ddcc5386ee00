"""`voicebridge status` and `voicebridge reload`: how the running daemon stands, and agents read anew."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.control.client import Control, NoDaemon, Refused
from voicebridge.trace.reading import plain


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def status(path: Path | None, as_json: bool) -> None:
    """Show how the running daemon stands. Exit code 1 where none runs, or it takes no calls (yet, or any more)."""
    try:
        found = Control.of(settings_or_exit(path)).status()
    except (NoDaemon, Refused) as error:
        if as_json:
            click.echo(json.dumps({"ready": False, "error": str(error)}))
        else:
            click.echo(f"voicebridge: {error}", err=True)
        sys.exit(1)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for line in told(found):
            Console(highlight=False).print(line, soft_wrap=isinstance(line, Text))
    if not found["ready"] or found["draining"]:
        sys.exit(1)


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def reload(path: Path | None, as_json: bool) -> None:
    """Have the running daemon read its agents anew. Running calls keep theirs; a faulty file changes nothing."""
    try:
        done = Control.of(settings_or_exit(path)).reload()
    except (NoDaemon, Refused) as error:
        if as_json:
            click.echo(json.dumps({"ok": False, "error": str(error)}))
        else:
            click.echo(f"voicebridge: {error}", err=True)
        sys.exit(1 if isinstance(error, NoDaemon) else 2)
    if as_json:
        click.echo(json.dumps({"ok": True, **done}))
        return
    changed, gone = (", ".join(done[key]) for key in ("changed", "gone"))
    click.echo(f"changed: {changed or 'none'}; {len(done['agents'])} agents" + (f"; gone: {gone}" if gone else ""))
    for note in done["notes"]:
        click.echo(note, err=True)


def told(found: dict[str, Any]) -> list[Table | Text]:
    """The picture for people."""
    if found["draining"]:
        state, style = "takes no new calls", "bold yellow"
    elif found["ready"]:
        state, style = "serves", "bold green"
    else:
        state, style = "is starting", "bold yellow"
    since = datetime.fromtimestamp(found["started_at"]).astimezone()
    hours = (time.time() - found["started_at"]) / 3600
    head = Text(f"voicebridge {found['version']} ").append(state, style)
    head.append(f", pid {found['pid']}, since {since:%Y-%m-%d %H:%M} ({hours:.1f} h), {plain(found['config'])}")
    clock, store = found["clock"], found["store"]
    grid = Table.grid(padding=(0, 2))
    grid.add_row("calls", f"{found['calls']} of {found['max_calls']}")
    grid.add_row("agents", Text(plain(", ".join(found["agents"]))))
    grid.add_row("clock", f"late {clock['late_p99_ms']:.0f} ms at p99, {clock['late_max_ms']:.0f} ms at most")
    waits = store["queued"] + store["spilled"]
    waiting = f"{store['queued']} in memory, {store['spilled']} on disk" if waits else "none"
    trouble = f"; {plain(store['last_error'])}" if store.get("last_error") else ""
    grid.add_row("store", Text(f"{store['written']} written, waiting: {waiting}, lost: {store['lost']}{trouble}"))
    for name, engine in found["engines"].items():
        ready = engine["state"] == "ready"
        line = Text(engine["state"], "green" if ready else "bold red")
        if engine["restarts"]:
            line.append(f", started again {engine['restarts']} times: {plain(engine['last_error'])}", "yellow")
        grid.add_row(Text(plain(name)), line)
    return [head, grid]
