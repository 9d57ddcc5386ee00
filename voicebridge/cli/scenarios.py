"""`voicebridge test`: conversations that an agent must get right."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import click
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.config import ConfigError, Settings, split_address
from voicebridge.engines.base import Embedder, EngineError
from voicebridge.phone import PhoneError
from voicebridge.plugins import PluginError
from voicebridge.scenario import report
from voicebridge.scenario.conductor import LiveError
from voicebridge.scenario.script import EXAMPLE
from voicebridge.scenario.source import ScriptError
from voicebridge.scenario.suite import Result, Suite, files, open_suite

EMBEDDER_READY_S = 60.0


def _example(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(EXAMPLE.read_text(encoding="utf-8"), nl=False)
        ctx.exit()


@click.command(name="test")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--example", is_flag=True, is_eager=True, expose_value=False, callback=_example,
              help="Print a scenario file that shows all it can say.")
@config_option
@click.option("-k", "pattern", default="", metavar="TEXT", help="Only calls that have this in their name.")
@click.option("--by-meaning", is_flag=True, help="Match rules with the embedding model, as the daemon does.")
@click.option("--live", is_flag=True, help="With real engines: a daemon on free ports is started and called.")
@click.option("--daemon", "address", metavar="HOST:PORT", help="Call this daemon, as it runs; needs --store.")
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), help="That daemon's folder of calls.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML here, too.")
def test(
    paths: tuple[Path, ...],
    path: Path | None,
    pattern: str,
    by_meaning: bool,
    live: bool,
    address: str | None,
    store: Path | None,
    as_json: bool,
    junit: Path | None,
) -> None:
    """Play the calls of scenario files against their agents and check what the agents do.

    A FILE is a scenario file, an agent's desk.toml (its scenarios stand in desk.test.yaml beside it), a folder, or the
    name of an embedded agent (demo). Without --live the conversation core runs on a virtual clock: a call takes some
    milliseconds. Exit code 1 where an expectation is not met, 2 where a file cannot be used.

    A daemon that runs already (--daemon) has to keep event logs (voicebridge run --event-log) below --store on this
    machine. Calls that set their date, caller, variables, tools or the model's answers are skipped there.
    """
    if (address is None) != (store is None):
        raise click.UsageError("--daemon and --store go together: what the agent did is read from the daemon's store")
    logging.getLogger("voicebridge").setLevel(logging.ERROR)
    suites = _opened(paths, settings_or_exit(path), pattern)
    console = Console(stderr=as_json, highlight=False)
    try:
        source = _remote(suites, address, store) if address and store else _live(suites) if live else None
        results = uvloop.run(_played(suites, console, source or _virtual(suites, by_meaning=by_meaning)))
        if junit is not None:
            report.write_junit(results, junit)
    except (PluginError, ConfigError, EngineError, PhoneError, LiveError, OSError, ValueError) as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(2)
    report.show_summary(console, results)
    if as_json:
        click.echo(report.as_json(results))
    sys.exit(1 if any(result.status == "failed" for result in results) else 0)


def _opened(paths: Sequence[Path], base: Settings, pattern: str) -> list[Suite]:
    """All files or none: exits with every broken one named."""
    suites, problems = [], []
    for given in paths:
        try:
            found = list(files([given]))
        except ScriptError as error:
            problems.append(str(error))
            continue
        for file in found:
            try:
                suites.append(open_suite(file, base, pattern=pattern))
            except ScriptError as error:
                problems.append(str(error))
    if not problems and not any(suite.calls for suite in suites):
        problems.append(f"-k {pattern}: no call has this in its name")
    if problems:
        for line in "\n".join(problems).splitlines():
            click.echo(f"voicebridge: {line}", err=True)
        sys.exit(2)
    return suites


async def _played(suites: Sequence[Suite], console: Console, source: AsyncIterator[Result]) -> list[Result]:
    results = []
    total = sum(len(suite.calls) for suite in suites)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("calls", total=total)
        async for result in source:
            results.append(result)
            report.show_result(progress.console, result)
            progress.advance(task)
    return results


def _live(suites: Sequence[Suite]) -> AsyncIterator[Result]:
    from voicebridge.scenario import live

    return live.rehearse(suites)


def _remote(suites: Sequence[Suite], address: str, store: Path) -> AsyncIterator[Result]:
    from voicebridge.scenario import live

    return live.remote(suites, *split_address(address), store)


async def _virtual(suites: Sequence[Suite], *, by_meaning: bool) -> AsyncIterator[Result]:
    from voicebridge.lineup import make_engine
    from voicebridge.scenario.rehearsal import rehearse

    async with contextlib.AsyncExitStack() as stack:
        embedder = None
        if by_meaning:
            settings = suites[0].settings
            if not (choices := settings.config.engines.chosen("embed")):
                raise ConfigError("--by-meaning needs an engine for embeddings: [engines] embed")
            embedder = make_engine(settings, choices[0])
            stack.push_async_callback(embedder.stop)
            await embedder.start()
            await _until_ready(embedder)
        async for result in rehearse(suites, embedder):
            yield result


async def _until_ready(embedder: Embedder) -> None:
    """Raises EngineError: matching by words instead would be another test."""
    until = time.monotonic() + EMBEDDER_READY_S
    while not embedder.ready:
        if time.monotonic() > until:
            raise EngineError("embed", embedder.name, "timeout", "--by-meaning needs it; see `voicebridge doctor`")
        await asyncio.sleep(0.05)
