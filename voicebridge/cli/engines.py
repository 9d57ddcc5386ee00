"""`voicebridge engines`: what listens, thinks and speaks here, and how well it does on this machine."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from voicebridge.choice import SCHEMES, Choice
from voicebridge.cli.checks.profile import processor
from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.cli.serve_engine import serve
from voicebridge.config import ConfigError, Settings
from voicebridge.engines.base import EngineKind
from voicebridge.engines.trial import Trial, tried
from voicebridge.lineup import make_engine
from voicebridge.plugins import Plugin, PluginError, lacking, load_all

KINDS: tuple[EngineKind, ...] = get_args(EngineKind)
STYLES = {"in use": "bold green", "usable": "green", "not configured": "dim", "unusable": "dim"}
STATE_WIDTH, NAME_WIDTH = max(map(len, STYLES)) + 2, 22
ADDRESS = {"wyoming": "uri", "openai": "urls"}
"""The option without which an engine that somebody else runs is not configured."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An engine by its configured name. `why` it cannot be used here, with the cure; empty where it can.

    `unset`: only because nobody has said where it is.
    """

    choice: Choice
    package: str
    used: bool
    why: str = ""
    unset: bool = False

    @property
    def name(self) -> str:
        return f"{self.choice.kind}/{self.choice.name}"

    @property
    def state(self) -> str:
        if self.unset and not self.used:
            return "not configured"
        return "unusable" if self.why else "in use" if self.used else "usable"


@click.group()
def engines() -> None:
    """What listens, thinks and speaks: what there is, how well it does here, and serving it to other machines."""


engines.add_command(serve)


@engines.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ls(path: Path | None, as_json: bool) -> None:
    """List the installed and the configured engines, and why one cannot be used here.

    An engine that the configuration uses has to be usable: exit code 1 otherwise.
    """
    entries = list(examined(settings_or_exit(path)))
    if as_json:
        rows = [
            {"kind": entry.choice.kind, "name": entry.choice.name, "plugin": entry.choice.plugin,
             "package": entry.package, "state": entry.state, "used": entry.used, "why": entry.why}
            for entry in entries
        ]  # fmt: skip
        click.echo(json.dumps(rows))
    else:
        console = Console(highlight=False, soft_wrap=True)
        width = max([NAME_WIDTH, *(len(entry.name) for entry in entries)]) + 2
        for entry in entries:
            style = "bold red" if entry.why and entry.used else STYLES[entry.state]
            state, name = (f"{entry.state:<{STATE_WIDTH}}", style), (f"{entry.name:<{width}}", "bold")
            console.print(Text.assemble(state, name, entry.package))
            if entry.why:
                console.print(Text(f"{'':<{STATE_WIDTH}}{entry.why}", "cyan" if entry.used else "dim"))
    sys.exit(1 if any(entry.used and entry.why for entry in entries) else 0)


@engines.command()
@config_option
@click.argument("names", nargs=-1, metavar="[KIND/NAME]...")
@click.option("--all", "everything", is_flag=True, help="All that are usable here, not only those in use.")
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=20.0, show_default=True, help="About so long an engine."
)
@click.option("--at-most", type=click.IntRange(min=1), default=64, show_default=True, help="Callers at once, at most.")
@click.option("--language", default="en", show_default=True, help="What it is asked to hear or say it in.")
@click.option(
    "--option", "given", multiple=True, metavar="KEY=VALUE", help="An option for the named engine, as in TOML."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def bench(
    path: Path | None, names: tuple[str, ...], everything: bool, seconds: float, at_most: int, language: str,
    given: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Measure engines on this machine: load time, memory, first output, speed, and how many callers at once.

    Without names those in use. First output is what a caller waits for: from the end of his words to the transcript,
    to a clause's speech, to a model's first words. Exit code 1 where one fails.
    """
    settings = settings_or_exit(path)
    entries = wanted(list(examined(settings)), names, everything, options_of(given))
    with shown_progress(len(entries)) as tell:
        trials = asyncio.run(measured(settings, entries, tell, seconds=seconds, at_most=at_most, language=language))
    where = {
        "machine": f"{processor()}, {len(os.sched_getaffinity(0))} cores",
        "load": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
    }
    if as_json:
        click.echo(json.dumps({**where, "engines": [asdict(trial) for trial in trials]}))
    else:
        show(trials, f"{where['machine']}, {where['date']}")
    sys.exit(1 if any(trial.error for trial in trials) else 0)


# ---- which there are


def examined(settings: Settings) -> Iterator[Entry]:
    """Those in use first, then every other installed one, by kind."""
    config = settings.config.engines
    for kind in KINDS:
        plugins = {
            plugin.name: plugin for plugin in load_all(kind) if not plugin.refused.endswith("the first one is used")
        }
        used = config.chosen(kind)
        taken = {choice.name for choice in used} | {choice.plugin for choice in used if choice.plugin in ADDRESS}
        others = [Choice(kind, name, name, dict(config.options.get(name, {}))) for name in plugins if name not in taken]
        for choice in (*used, *others):
            plugin = plugins.get(choice.plugin)
            package = f"{plugin.package} {plugin.version}" if plugin is not None else ""
            unset = choice.plugin in ADDRESS and ADDRESS[choice.plugin] not in choice.options
            why = why_not(settings, choice, plugin)
            if unset and choice not in used:
                why = f'an engine elsewhere: in [engines] {kind} = "{SCHEMES[choice.plugin][1].partition(" ")[0]}"'
            yield Entry(choice, package, choice in used, why, unset)


def why_not(settings: Settings, choice: Choice, plugin: Plugin | None) -> str:
    """Why an engine cannot be used here, and the cure; "" where nothing is known against it. Nothing is started."""
    if plugin is not None and plugin.refused:
        return plugin.refused
    if plugin is not None and (missing := lacking(plugin)):
        return missing
    try:
        engine = make_engine(settings, choice)
    except (ConfigError, PluginError) as error:
        return str(error)
    asyncio.run(engine.stop())
    return ""


def wanted(entries: Sequence[Entry], names: Sequence[str], everything: bool, options: dict[str, Any]) -> list[Entry]:
    """Those to measure. Raises click.UsageError."""
    if options and len(names) != 1:
        raise click.UsageError("--option is for one engine: name it, as KIND/NAME")
    if not names:
        return [entry for entry in entries if entry.used or (everything and not entry.why)]
    found = []
    for name in names:
        same = [entry for entry in entries if name in (entry.name, entry.choice.name)]
        if len(same) != 1:
            known = ", ".join(entry.name for entry in same or entries)
            raise click.UsageError(f"{'several engines are' if same else 'no engine is'} named {name!r}: {known}")
        found += same
    if options:
        (entry,) = found
        given = {key: beside_us(value) for key, value in options.items()}
        choice = replace(entry.choice, options={**entry.choice.options, **given})
        return [replace(entry, choice=choice, why="")]
    return found


def beside_us(value: Any) -> Any:
    """A path on the command line is from where we are, not from the configuration's folder."""
    if isinstance(value, str) and "/" in value and not value.startswith("~") and Path(value).exists():
        return str(Path(value).absolute())
    return value


def options_of(given: Sequence[str]) -> dict[str, Any]:
    """KEY=VALUE, with values as TOML has them, or else as text. Raises click.UsageError."""
    options: dict[str, Any] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            raise click.UsageError(f"--option {pair!r}: write KEY=VALUE")
        try:
            options[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            options[key] = value
    return options


# ---- measuring


async def measured(
    settings: Settings, entries: Sequence[Entry], tell: Callable[[str], None], *,
    seconds: float, at_most: int, language: str,
) -> list[Trial]:  # fmt: skip
    """One after the other; one that cannot be used is a trial with its cause."""
    trials = []
    for entry in entries:
        kind: EngineKind = entry.choice.kind  # type: ignore[assignment]
        failed = Trial(kind, entry.choice.name)
        tell(entry.name)
        if entry.why:
            trials.append(replace(failed, error=entry.why))
            continue
        try:
            engine = make_engine(settings, entry.choice)
        except (ConfigError, PluginError) as error:
            trials.append(replace(failed, error=str(error)))
            continue
        trials.append(
            await tried(
                kind, engine, seconds=seconds, language=language, at_most=at_most,
                tell=lambda text, name=entry.name: tell(f"{name}: {text}"),  # type: ignore[misc]
            )
        )  # fmt: skip
    return trials


@contextmanager
def shown_progress(count: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error, on a terminal; the engines' log lines would stand in it."""
    console = Console(stderr=True)
    log = logging.getLogger("voicebridge")
    before = log.propagate
    log.propagate = logging.getLogger().level <= logging.DEBUG
    if not log.propagate:
        log.addHandler(logging.NullHandler())
    columns = (SpinnerColumn(), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("", total=count)
            seen: list[str] = []

            def tell(text: str) -> None:
                name = text.partition(":")[0]
                if name not in seen:
                    seen.append(name)
                bar.update(task, description=text, completed=len(seen) - 1)

            yield tell
    finally:
        log.propagate = before


# ---- showing


def show(trials: Sequence[Trial], title: str) -> None:
    right = {"justify": "right", "no_wrap": True}
    table = Table(
        "engine", *(Column(name, **right) for name in ("load", "memory", "first p50", "p95", "speed", "at once")),  # type: ignore[arg-type]
        title=title,
    )  # fmt: skip
    for trial in trials:
        table.add_row(f"{trial.kind}/{trial.name}", *cells(trial))
        for crowd in trial.crowds if trial.kind in ("llm", "embed", "turn") else ():
            if crowd.at_once > 1:
                rate = f"{crowd.per_s:.0f}/s"
                first = (seconds_of(crowd.first_p50_s), seconds_of(crowd.first_p95_s))
                table.add_row(f"  {crowd.at_once} at once", "", "", *first, rate, "", style="dim")
    console = Console()
    console.print(table)
    for trial in trials:
        if trial.error:
            console.print(Text(f"{trial.kind}/{trial.name}: {trial.error}", "bold red"), soft_wrap=True)
    if any(not trial.error for trial in trials):
        told = (
            "first: what a caller waits for. speed: of real time (stt, tts), tokens, sentences, judgements a second"
        )
        console.print(Text(f"{told}. at once: callers who still have it in time.", "dim"), soft_wrap=True)


def cells(trial: Trial) -> tuple[str, ...]:
    memory = "" if trial.rss_mb is None else f"{trial.rss_mb:.0f} MB"
    rate = "" if trial.per_s is None else f"{trial.per_s:.0f}/s"
    speed = rate if trial.factor is None else f"{trial.factor:.2g} x"
    at_once = "" if trial.at_once is None else f"{trial.at_once}{'+' if trial.more else ''}"
    first = (seconds_of(trial.first_p50_s), seconds_of(trial.first_p95_s))
    return ("failed" if trial.error else seconds_of(trial.load_s), memory, *first, speed, at_once)


def seconds_of(value: float | None) -> str:
    """Milliseconds below a second."""
    if value is None:
        return ""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
