"""`voicebridge models`: what models there are, fetch, verify and remove them."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from voicebridge.cli.run import config_option
from voicebridge.config import ConfigError, cache_dir, load
from voicebridge.modelstore import record
from voicebridge.modelstore.catalogue import KINDS, Model, UnknownModel, catalogue, chosen, offered
from voicebridge.modelstore.fetch import FetchError, fetch, remove

MIRROR = "VOICEBRIDGE_MIRROR"
MIRROR_SCHEMES = ("https", "http", "file")
NAME_WIDTH, LICENCE_WIDTH = 26, 29
TERMS = {"open": "", "restricted": "its terms restrict what you may do", "unclear": "whether you may use it is unclear"}


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the catalogue for the shell; to remove and verify, those that are here."""
    only_here = ctx.info_name in ("rm", "verify")
    return [
        CompletionItem(model.name, help=model.about)
        for model in catalogue()
        if model.name.startswith(incomplete) and not (only_here and not model.present(cache_dir()))
    ]


@click.group()
def models() -> None:
    """Models on this machine."""


def _chosen(names: tuple[str, ...]) -> tuple[Model, ...]:
    try:
        return chosen(names)
    except UnknownModel as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)


# ---- ls


@models.command()
@click.option("--kind", type=click.Choice(KINDS), default=None, help="Only those for one job.")
@click.option("--language", default="", metavar="TAG", help="Only those for a language: en, de, pt-BR ...")
@click.option("--here", "only_here", is_flag=True, help="Only those that are on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ls(kind: str | None, language: str, only_here: bool, as_json: bool) -> None:
    """List the catalogue and what of it is here."""
    rows = [
        _row(model)
        for model in offered(kind=kind or "", language=language)
        if not only_here or model.present(cache_dir())
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    last = ""
    for row in sorted(rows, key=lambda row: KINDS.index(row["kind"])):
        if row["kind"] != last:
            click.secho(f"{row['kind']:<{NAME_WIDTH}} language     MB  licence", bold=True)
        last = row["kind"]
        _show(row)
    if not rows:
        click.echo("nothing in the catalogue fits; all of it: voicebridge models ls", err=True)


def _show(row: dict[str, Any]) -> None:
    """Two lines or three, of at most 80 columns where the names allow."""
    tags = row["languages"]
    shown = f"{len(tags)} of them" if len(tags) > 2 else ",".join(tags) or "any"
    here = click.style("here  ", "green") if row["here"] else ""
    licence = row["licence"][:LICENCE_WIDTH]
    click.echo(f"{row['name']:<{NAME_WIDTH}} {shown:<9}{row['size'] / 1e6:6.0f}  {here}{licence}")
    notes = [row["about"], f"some {row['memory_mb']} MB of memory" if row["memory_mb"] else "", row["speed"]]
    told = "" if row["terms"] == "open" else f"({TERMS[row['terms']]}) "
    text = textwrap.wrap(told + "; ".join(note for note in notes if note), 76)
    click.secho(textwrap.indent("\n".join(text), "  "), dim=True)


def _row(model: Model) -> dict[str, Any]:
    cache = cache_dir()
    sources = [source.label for source in model.source] + [each.label for each in model.beside]
    return {
        "name": model.name, "kind": model.kind, "languages": model.languages, "licence": model.licence,
        "terms": model.terms, "size": model.download_size or model.size, "memory_mb": model.memory_mb,
        "speed": model.speed, "checksum": _checksum(model), "tried": model.tried, "profile": model.profile,
        "here": model.present(cache), "path": str(model.path(cache) or ""), "about": model.about, "sources": sources,
    }  # fmt: skip


def _checksum(model: Model) -> str:
    if model.sha256 or any(source.sha256 for source in model.source):
        return "sha256"
    return "md5" if model.checked else "none"


# ---- fetch


@models.command(name="fetch")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete)
@click.option("--from", "mirror", default=None, metavar="FOLDER|URL",
              help=f"Where the files are instead; nothing else is asked. Also {MIRROR}, and [models] mirror.")
@click.option("--accept-licence", is_flag=True, help="Also what is not free for everybody and every use.")
@click.option("--print", "only_print", is_flag=True, help="Print what would be fetched, as JSON, and fetch nothing.")
@config_option
def fetch_command(
    names: tuple[str, ...], mirror: str | None, accept_licence: bool, only_print: bool, path: Path | None
) -> None:
    """Fetch the named models, or those of the embedded profile. Resumes what was broken off."""
    wanted = _chosen(names)
    if only_print:
        click.echo(json.dumps([_plan(model) for model in wanted], indent=1))
        return
    mirror = _mirror(mirror, path)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        failed = [model.name for model in wanted if not _fetched(model, mirror, accept_licence, bar)]
    sys.exit(1 if failed else 0)


def _mirror(given: str | None, config: Path | None) -> str:
    """The mirror of the command line, the environment or the configuration."""
    if given is None:
        given = os.environ.get(MIRROR)
    try:
        mirror = given if given is not None else load(config).config.models.mirror
    except ConfigError as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)
    scheme, _, _ = mirror.partition("://") if "://" in mirror else ("", "", "")
    if scheme and scheme not in MIRROR_SCHEMES:
        told = f"the mirror {mirror}: {scheme}:// cannot be fetched from; a folder, or one of"
        click.echo(f"voicebridge: {told} {', '.join(f'{each}://' for each in MIRROR_SCHEMES)}", err=True)
        sys.exit(2)
    if mirror and not scheme and not Path(mirror).expanduser().is_dir():
        click.echo(f"voicebridge: the mirror {mirror} is no folder (nor an address with https:// or file://)", err=True)
        sys.exit(2)
    return mirror


def _fetched(model: Model, mirror: str, accepted: bool, bar: Progress) -> bool:
    """One of them, and what is to be said of it."""
    cache = cache_dir()
    terms = TERMS[model.terms]
    if terms and not accepted and not model.present(cache):
        click.echo(f"voicebridge: {model.name}: {model.licence}: {terms}. Read it; then: "
                   f"voicebridge models fetch {model.name} --accept-licence", err=True)  # fmt: skip
        return False
    if not model.module and not model.present(cache):
        click.echo(f"{model.name}: {model.licence}{': ' + terms if terms else ''}; "
                   f"{(model.download_size or model.size) / 1e6:.0f} MB", err=True)  # fmt: skip
    task = bar.add_task(model.name, total=model.download_size or None)

    def show(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total or None)

    try:
        path = fetch(model, cache, show, mirror=mirror)
    except FetchError as error:
        click.echo(f"voicebridge: {error}", err=True)
        return False
    bar.update(task, completed=bar.tasks[task].total)
    click.echo(f"{model.name}: {path} ({model.licence})")
    kept = record.read(model, cache)
    for url in kept.pinned if kept else ():
        told = kept.downloads.get(url, "") if kept else ""
        pin = f"; its SHA-256 is {told} (pinned now)" if told else "; what came is pinned now"
        click.echo(f"{model.name}: no published checksum of {url}: size and structure were checked{pin}", err=True)
    return True


def _plan(model: Model) -> dict[str, Any]:
    files = [] if model.module else [*model.source[:1], *model.beside]
    return {
        "name": model.name, "licence": model.licence, "terms": model.terms, "here": model.present(cache_dir()),
        "path": str(model.path(cache_dir()) or ""), "tried": model.tried,
        "files": [
            {"file": each.download_name, "from": each.label, "size": each.size, "exact": not each.rounded,
             "sha256": each.sha256, "md5": each.md5, "seen": each.seen}
            for each in files
        ],
    }  # fmt: skip


# ---- verify, rm


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=_complete)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def verify(names: tuple[str, ...], as_json: bool) -> None:
    """Check files against their SHA-256: the catalogue's, or the one that was pinned when they were fetched.

    Exit code 1 where one is missing or damaged, or nothing tells what it should be.
    """
    states = {model.name: record.verify(model, cache_dir()) for model in _chosen(names)}
    if as_json:
        click.echo(json.dumps(states))
    else:
        for name, state in states.items():
            cure = "" if state == "ok" else f": voicebridge models fetch {name}"
            click.echo(f"{name}: {state}{cure}")
    sys.exit(0 if all(state == "ok" for state in states.values()) else 1)


@models.command()
@click.argument("name", shell_complete=_complete)
def rm(name: str) -> None:
    """Delete a fetched model, and what was pinned of it."""
    (model,) = _chosen((name,))
    try:
        gone = remove(model, cache_dir())
    except OSError as error:
        click.echo(f"voicebridge: {name}: {error.filename}: {error.strerror}", err=True)
        sys.exit(1)
    if not gone:
        click.echo(f"voicebridge: {name} is not among the fetched models", err=True)
        sys.exit(1)
    click.echo(f"{name}: deleted {model.home(cache_dir())}")
