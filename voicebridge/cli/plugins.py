"""`voicebridge plugins`: what is loaded, from which package, and why one was refused."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.config import ConfigError, Settings
from voicebridge.hooks.catalogue import examined
from voicebridge.lineup import engines_in_use
from voicebridge.plugins import ENGINES, Plugin, lacking, load_all
from voicebridge.tools.catalogue import Entry, Shelf, equip, load_tools

UNNAMED = "not named in the configuration: [events.NAME]"
STYLES = {"ok": "green", "unset": "dim", "missing": "dim", "refused": "bold red"}
"""`missing`: an engine whose libraries are not installed, as `engines ls` says too."""


@click.group()
def plugins() -> None:
    """Engines, tools, fallbacks and who is told of calls: the built-in ones and those of other packages."""


@plugins.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ls(path: Path | None, as_json: bool) -> None:
    """List what is installed, and what each plug-in gives with this configuration."""
    rows, _ = _examined(settings_or_exit(path))
    if as_json:
        click.echo(json.dumps(rows))
    else:
        _show(rows)


@plugins.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def check(path: Path | None, as_json: bool) -> None:
    """Load every plug-in and give each agent its tools. Exit code 1 where something is refused or does not fit.

    A plug-in that only lacks its settings is no fault as long as no agent wants its tools, nor an engine that is not
    installed as long as none is configured.
    """
    settings = settings_or_exit(path)
    rows, shelf = _examined(settings)
    used = {(kind, one.plugin) for kind, choices in engines_in_use(settings).items() for one in choices}
    problems = [row["why"] for row in rows if row["state"] == "refused"]
    problems += [
        f"{row['kind']} engine {row['name']!r}: {row['why']}"
        for row in rows
        if row["state"] == "missing" and (row["kind"], row["name"]) in used
    ]
    for agent in settings.agents.values():
        try:
            equip(agent, shelf)
        except ConfigError as error:
            problems += str(error).splitlines()
    if as_json:
        click.echo(json.dumps({"ok": not problems, "problems": problems, "plugins": rows}))
    else:
        for problem in problems:
            click.echo(problem)
        click.echo(f"{len(rows)} plug-ins, {len(problems) or 'no'} problem{'' if len(problems) == 1 else 's'}")
    sys.exit(1 if problems else 0)


def _examined(settings: Settings) -> tuple[list[dict[str, Any]], Shelf]:
    """A row a plug-in, and the tools that were found."""
    quiet = logging.getLogger("voicebridge.tools.catalogue")
    quiet.disabled = True  # what it would warn of stands in the rows
    try:
        shelf = load_tools(settings.config.tools, settings.config.fallbacks)
    except ConfigError as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)
    finally:
        quiet.disabled = False
    entries = [Entry(_formed(plugin)) for kind in ENGINES for plugin in load_all(kind)] + shelf.entries
    entries += [
        Entry(plugin if wanted or plugin.refused else replace(plugin, refused=UNNAMED), (), not wanted)
        for plugin, wanted in examined(settings)
    ]
    return [_row(entry) for entry in entries], shelf


def _formed(plugin: Plugin) -> Plugin:
    """An engine's entry point has to be something that makes engines."""
    if plugin.refused or callable(getattr(plugin.thing, "create", None)):
        return plugin
    kind = type(plugin.thing).__name__
    why = f"{plugin.kind} engine {plugin.name!r} of package {plugin.package}: a {kind} without create(options)"
    return replace(plugin, refused=why)


def _row(entry: Entry) -> dict[str, Any]:
    plugin = entry.plugin
    missing = lacking(plugin) if plugin.kind in ENGINES and not plugin.refused else ""
    state = "unset" if entry.unset else "refused" if plugin.refused else "missing" if missing else "ok"
    return {
        "kind": plugin.kind, "name": plugin.name, "package": plugin.package, "version": plugin.version, "state": state,
        "gives": list(entry.gives), "why": plugin.refused or missing,
    }  # fmt: skip


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table("kind", "name", "package", "state", "gives, or why not")
    for row in rows:
        last = row["why"] or ", ".join(row["gives"])
        state = Text(row["state"], STYLES[row["state"]])
        table.add_row(row["kind"], row["name"], f"{row['package']} {row['version']}", state, Text(last))
    Console().print(table)
