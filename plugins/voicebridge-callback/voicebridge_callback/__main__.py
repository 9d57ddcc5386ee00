"""`python -m voicebridge_callback`: who waits to be called, and ticking them off."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from voicebridge.config import ConfigError, load
from voicebridge_callback.book import FILE, Book

config_option = click.option(
    "--config", "-c", "config", type=click.Path(path_type=Path, dir_okay=False),
    help="voicebridge.toml; without one /etc/voicebridge/voicebridge.toml, else where voicebridge keeps its state.",
)  # fmt: skip


@click.group()
def main() -> None:
    """Callers who want to be called back."""


@main.command()
@config_option
@click.option("--all", "all_of_them", is_flag=True, help="Those who were called, too.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ls(config: Path | None, all_of_them: bool, as_json: bool) -> None:
    """List who waits, the first one first."""
    with _told():
        wishes = _book(config).read(all_of_them=all_of_them)
    if as_json:
        click.echo(json.dumps([{"number": number, **asdict(wish)} for number, wish in wishes], ensure_ascii=False))
        return
    table = Table("no.", "since", "phone", "convenient", "name", "called from", "agent", "done")
    for number, wish in wishes:
        since = wish.at[:16].replace("T", " ")
        row = (wish.phone, wish.convenient, wish.name, wish.caller, wish.agent, wish.done[:16].replace("T", " "))
        table.add_row(str(number), since, *(Text(field) for field in row))
    Console().print(table if wishes else "Nobody waits to be called.")


@main.command()
@config_option
@click.argument("numbers", nargs=-1, required=True, type=int, metavar="NUMBER...")
@click.option("--undo", is_flag=True, help="They still wait.")
def done(config: Path | None, numbers: tuple[int, ...], undo: bool) -> None:
    """Tick off callers who were called. Exit code 1 where there is no such number."""
    when = None if undo else datetime.now().astimezone()
    with _told():
        unknown = [number for number in numbers if not _book(config).tick(number, when)]
    for number in unknown:
        click.echo(f"there is no number {number}", err=True)
    sys.exit(1 if unknown else 0)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors in words, with exit code 2."""
    try:
        yield
    except (ConfigError, OSError, sqlite3.Error) as error:
        click.echo(str(error), err=True)
        sys.exit(2)


def _book(config: Path | None) -> Book:
    """The one that the daemon writes. Raises ConfigError."""
    settings = load(config).config
    named = settings.fallbacks.get("callback", {}).get("file")
    return Book(Path(named) if named else settings.store.dir / FILE)


if __name__ == "__main__":
    main()
