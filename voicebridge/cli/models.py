"""`voicebridge models`: what models there are, fetch, verify and remove them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Column, Table

from voicebridge.config import cache_dir
from voicebridge.modelstore.catalogue import Model, UnknownModel, catalogue, chosen
from voicebridge.modelstore.fetch import FetchError, fetch


@click.group()
def models() -> None:
    """Models on this machine."""


def _chosen(names: tuple[str, ...]) -> tuple[Model, ...]:
    try:
        return chosen(names)
    except UnknownModel as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)


@models.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ls(as_json: bool) -> None:
    """List the catalogue and what of it is here."""
    cache = cache_dir()
    rows = [
        {
            "name": model.name, "kind": model.kind, "licence": model.licence, "size": model.size,
            "here": model.present(cache), "path": str(model.path(cache) or ""), "about": model.about,
        }
        for model in catalogue()
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    table = Table(Column("name", no_wrap=True), "kind", "licence", "MB", "here", "what it is")
    for row in rows:
        size, here = f"{int(str(row['size'])) / 1e6:.1f}", "[green]yes[/]" if row["here"] else "no"
        table.add_row(str(row["name"]), str(row["kind"]), str(row["licence"]), size, here, str(row["about"]))
    Console().print(table)


@models.command(name="fetch")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--from", "mirror", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="A folder that holds the downloads; nothing else is asked.")
def fetch_command(names: tuple[str, ...], mirror: Path | None) -> None:
    """Fetch the named models, or those of the embedded profile. Resumes what was broken off."""
    failed = False
    console = Console(stderr=True)
    rate, left = TransferSpeedColumn(), TimeRemainingColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), rate, left)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        for model in _chosen(names):
            task = bar.add_task(model.name, total=sum(source.size for source in model.source[:1]) or model.size)

            def show(done: int, total: int, task: object = task) -> None:
                bar.update(task, completed=done, total=total)  # type: ignore[arg-type]

            try:
                path = fetch(model, cache_dir(), show, mirror=mirror)
            except FetchError as error:
                click.echo(f"voicebridge: {error}", err=True)
                failed = True
                continue
            bar.update(task, completed=bar.tasks[task].total)
            click.echo(f"{model.name}: {path} ({model.licence})")
    sys.exit(1 if failed else 0)


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Check files against their SHA-256. Exit code 1 where one is missing or damaged."""
    states = {model.name: model.verify(cache_dir()) for model in _chosen(names)}
    if as_json:
        click.echo(json.dumps(states))
    else:
        for name, state in states.items():
            cure = "" if state == "ok" else f": voicebridge models fetch {name}"
            click.echo(f"{name}: {state}{cure}")
    sys.exit(0 if all(state == "ok" for state in states.values()) else 1)


@models.command()
@click.argument("name")
def rm(name: str) -> None:
    """Delete a fetched model."""
    (model,) = _chosen((name,))
    path = model.path(cache_dir())
    if model.module or path is None or not path.is_file():
        click.echo(f"voicebridge: {name} is not among the fetched models", err=True)
        sys.exit(1)
    path.unlink()
    click.echo(f"{name}: deleted {path}")
