"""`voicebridge report`: the weekly review: what was asked, what failed, where the time went, what to do."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import click
from rich.console import Console

from voicebridge.cli.calls import fail, opened
from voicebridge.cli.export import written
from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.cli.when import when_option
from voicebridge.trace.report.markdown import markdown
from voicebridge.trace.report.page import page
from voicebridge.trace.review import DAY_S, Review, review, unknown_rules
from voicebridge.trace.store import Calls

HOUR_S = 3_600.0
ENDINGS = {".html": "html", ".htm": "html", ".json": "json", ".md": "md"}


@click.command()
@config_option
@when_option("--since", "The beginning: 24h, 7d, 4w, a date, today, yesterday.", default="7d")
@when_option("--until", "The end; now without it.")
@click.option("--agent", default="", metavar="NAME", help="Only this agent's calls.")
@click.option("--format", "form", type=click.Choice(["md", "html", "json"]), default=None,
              help="Markdown, a page with plots, or all numbers; by the ending of --output, else md.")
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-",
              help="A file that only you may read; standard output without it.")
def report(
    path: Path | None, since: float, until: float | None, agent: str, form: str | None, output: Path
) -> None:  # fmt: skip
    """Review the calls of a time: what was asked, what failed, why callers were handed off, the slowest turns and why,
    and what would help, with the evidence. Compared with the same time before."""
    end = time.time() if until is None else until
    if end <= since:
        raise click.BadParameter("--until lies before --since")
    form = form or ENDINGS.get(output.suffix.lower(), "md")
    now, before = _reviews(path, since, end, agent)
    try:
        with written(output) as out:
            out.write(_made(form, now, before, agent))
    except OSError as error:
        fail(f"{error.filename or output}: {error.strerror or error}")
    if str(output) != "-":
        told = f"{now.calls} call{'' if now.calls == 1 else 's'}, {len(now.fixes)} to do: {output}"
        Console(stderr=True, highlight=False).print(told, markup=False)


def _reviews(path: Path | None, since: float, until: float, agent: str) -> tuple[Review, Review]:
    """Of the time, and of the same length before it."""
    unknown = unknown_rules(settings_or_exit(path).agents)
    bucket_s = HOUR_S if until - since <= 2 * DAY_S else DAY_S
    errors = Console(stderr=True, highlight=False)

    def made(kept: Calls, begin: float, end: float) -> Review:
        records, origin = kept.records(begin, end, agent), _round(begin, bucket_s)
        return review(records, since=begin, until=end, bucket_s=bucket_s, origin=origin, unknown=unknown)

    with opened(path) as kept, errors.status("reading calls"):
        return made(kept, since, until), made(kept, 2 * since - until, since)


def _round(at: float, bucket_s: float) -> float:
    """The midnight or the full hour before, on this machine's clock."""
    moment = datetime.fromtimestamp(at).replace(minute=0, second=0, microsecond=0)
    return (moment.replace(hour=0) if bucket_s >= DAY_S else moment).timestamp()


def _made(form: str, now: Review, before: Review, agent: str) -> str:
    if form == "json":
        return json.dumps({"agent": agent, **now.as_dict(), "before": before.as_dict()}, indent=1) + "\n"
    if form == "html":
        made_at = f"Made {datetime.now():%d %b %Y, %H:%M} by voicebridge report."
        return page(now, before, agent=agent, made_at=made_at)
    return markdown(now, before, agent=agent)
