"""`voicebridge calls`: the calls that were: list, show. What else can be done with them stands in files of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.table import Table
from rich.text import Text

from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.cli.when import when_option
from voicebridge.config import ConfigError, load
from voicebridge.trace.reading import plain
from voicebridge.trace.record import Record, is_test
from voicebridge.trace.render import show_call
from voicebridge.trace.rows import CallRow, Page, Query
from voicebridge.trace.store import Calls, NoSuchCallError, StoreError, open_calls

ID_CHARS = 8
"""So much of an id is shown in lists; `show` takes any beginning that only one call has."""
COMPLETED = 20
PIPED_WIDTH = 160
LAST = "last"


@click.group()
def calls() -> None:
    """The calls that were: find them, see where the time went, take them elsewhere."""


def fail(why: object) -> NoReturn:
    click.echo(f"voicebridge: {why}", err=True)
    sys.exit(1)


@contextmanager
def opened(path: Path | None) -> Iterator[Calls]:
    """The calls of a configuration; what is wrong with the store ends the command in a sentence."""
    settings = settings_or_exit(path)
    try:
        yield open_calls(settings)
    except (StoreError, NoSuchCallError) as error:
        fail(error)


def console() -> Console:
    """For people; wide where nobody watches, so that nothing is cut off, and no letter of a record ends it."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)


# ---- ls


@calls.command()
@config_option
@when_option("--since", "Calls from then on: 24h, 7d, 4w, a date, today, yesterday.")
@when_option("--until", "Calls before then.")
@click.option("--agent", default="", metavar="NAME")
@click.option("--outcome", type=click.Choice(["hangup", "transfer", "fallback"]), default=None)
@click.option("--ended-by", default="", metavar="WHY", help="As the record has it, e.g. rule_human, no_input, dropped.")
@click.option("--text", default="", metavar="WORDS", help="Calls in which these words were said.")
@click.option("--caller", default="", metavar="NUMBER", help="Calls from this number, whole, however it is stored.")
@click.option("--min-gap", "min_gap_s", type=click.FloatRange(min=0), default=None, metavar="SECONDS",
              help="Calls with a response gap of at least this.")
@click.option("--problems", is_flag=True, help="Calls with a failed tool, engine trouble, a handoff or a gap of 1.5 s.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--offset", type=click.IntRange(0, 10**9), default=0, help="Pass over so many of the newest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ls(path: Path | None, outcome: str | None, as_json: bool, **terms: Any) -> None:
    """List calls, newest first."""
    query = Query(outcome=outcome or "", **terms)
    with opened(path) as kept:
        page = kept.find(query)
    if as_json:
        click.echo(json.dumps({"total": page.total, "calls": [asdict(row) for row in page.calls]}))
        return
    _list(page, query)


def _list(page: Page, query: Query) -> None:
    if not page.calls:
        click.echo("no calls" if query == Query(limit=query.limit) else "no calls that fit")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name, right in (("began", False), ("call", False), ("agent", False), ("caller", False), ("length", True),
                        ("turns", True), ("gap", True), ("max", True), ("", True)):  # fmt: skip
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    table.add_column("ended", overflow="ellipsis", no_wrap=True, ratio=1)
    for row in page.calls:
        table.add_row(*_cells(row))
    shown = console()
    shown.print(table)
    first = query.offset + 1
    if page.total > len(page.calls):
        shown.print(f"{first} to {query.offset + len(page.calls)} of {page.total} calls", style="dim")


def _cells(row: CallRow) -> Iterator[Text]:
    yield Text(f"{datetime.fromtimestamp(row.began_at):%m-%d %H:%M}")
    yield Text(row.call_id[:ID_CHARS], style="bold")
    yield Text(plain(row.agent))
    yield Text("test call", "dim") if is_test({"call_id": row.call_id}) else Text(plain(row.caller))
    yield Text(f"{int(row.seconds) // 60}:{int(row.seconds) % 60:02d}")
    yield Text(str(row.turns))
    yield Text("" if row.gap_p50 is None else f"{row.gap_p50:.2f}")
    slow = row.gap_max is not None and row.gap_max > 1.5
    yield Text("" if row.gap_max is None else f"{row.gap_max:.2f}", style="bold red" if slow else "")
    yield Text(f"{row.problems}!" if row.problems else "", style="bold red")
    target = f" to {plain(row.target)}" if row.target else ""
    style = "" if row.outcome == "hangup" else "yellow"
    yield Text(f"{plain(row.outcome)}{target}, {plain(row.ended_by)}", style=style)


# ---- show


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The newest calls; nothing where there is no store: a completion has nobody to tell."""
    del param
    try:
        found = open_calls(load(ctx.params.get("path"))).find(Query(limit=COMPLETED)).calls
    except (ConfigError, StoreError):
        return []
    made = [CompletionItem(row.call_id, help=f"{datetime.fromtimestamp(row.began_at):%m-%d %H:%M} {row.agent} "
                           f"{row.seconds:.0f} s") for row in found]  # fmt: skip
    return [item for item in (*made, CompletionItem(LAST)) if item.value.startswith(incomplete)]


@calls.command()
@click.argument("call", metavar="ID", shell_complete=_complete)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the record.")
def show(call: str, path: Path | None, as_json: bool) -> None:
    """Show a call: what was said and heard, and where the time of every turn went.

    ID: the beginning of a call's id, or "last".
    """
    with opened(path) as kept:
        record = one(kept, call)
        recording = kept.recording(str(record.get("call_id", "")))
    if as_json:
        click.echo(json.dumps(record, indent=1))
        return
    shown = console()
    show_call(shown, record)
    if recording is not None:
        click.echo(f"\nlisten to it: {recording} (caller left, agent right)")


def one(kept: Calls, name: str) -> Record:
    """The record of an id, of the beginning of one, or of "last". Raises StoreError, NoSuchCallError; ends the command
    where several calls begin so."""
    if name == LAST:
        newest = kept.find(Query(limit=1)).calls
        if not newest:
            fail("no call is kept yet")
        return kept.record(newest[0].call_id)
    found = kept.matching(name, limit=6) if name else []
    if len(found) > 1 and name.lower() not in found:
        more = ", ..." if len(found) > 5 else ""
        fail(f"several calls begin with {name}: {', '.join(found[:5])}{more}: write more of the id")
    return kept.record(found[0] if len(found) == 1 else name.lower())
