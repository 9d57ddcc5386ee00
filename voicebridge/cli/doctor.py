"""`voicebridge doctor`: what is wrong on this machine, and the cure."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.text import Text

from voicebridge.cli.checks import (
    asterisk,
    engines,
    listening,
    machine,
    pbx,
    profile,
    running,
    selfcall,
    system,
    watching,
)
from voicebridge.cli.checks.advice import CALLS
from voicebridge.cli.checks.finding import Finding, Tell, timed
from voicebridge.cli.run import config_option
from voicebridge.config import ConfigError, Settings, load

BAD_CONFIG = 2
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}
CHECK_WIDTH = 22
INDENT = " " * 6
AUDIO = frozenset({"audio", "audio loop", "clock"})
SELF_CALL = frozenset({"self-call", "greeting", "answer", "response", "frames"})
NAGIOS = {"ok": 0, "warn": 1, "fail": 2, "skip": 3}
NAGIOS_WORDS = {"ok": "OK", "warn": "WARNING", "fail": "CRITICAL", "skip": "UNKNOWN"}
NEEDED = frozenset({"packages", "plug-ins", "tools", "models", "engine"})
"""Checks without which a daemon that we start could not answer a call."""


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of {check, state, found, cure, seconds}.")
@click.option("--call/--no-call", default=True, show_default=True, help="Make a test call (some 20 s).")
@click.option("--asterisk", "program", metavar="COMMAND",
              help="How Asterisk's program is run, e.g. 'sudo asterisk'; else AMI is asked, where it is configured.")
@click.option("--only", "only", multiple=True, metavar="CHECK",
              help="Show, and judge by, these alone: the first word of a check; may be repeated.")
@click.option("--monitoring", is_flag=True, help="One line with performance data, as Nagios and Icinga read it.")
@click.option("--profile", "wants_profile", is_flag=True,
              help="Instead: a short benchmark, and which models for how many calls suit this machine.")
@click.option("--language", default="", metavar="TAG", help="With --profile: the callers' (else the default agent's).")
@click.option("--calls", type=click.IntRange(min=1), default=CALLS, show_default=True,
              help="With --profile: so many at once have to fit.")
@click.option("--seconds", type=click.FloatRange(min=1), default=profile.SECONDS, show_default=True,
              help="With --profile: how long to measure, about.")
def doctor(
    path: Path | None, as_json: bool, call: bool, program: str | None, only: tuple[str, ...], monitoring: bool,
    wants_profile: bool, language: str, calls: int, seconds: float
) -> None:
    """Check this machine: what a daemon needs, each engine with its time, and a test call.

    Nothing but the cache is changed. A running daemon is not disturbed: it gets one more call.
    With --profile nothing is checked, but the embedded engines are measured: while nothing else runs, best.

    Exit code, for monitoring: 0 nothing failed (there may be warnings), 1 something failed, 2 the configuration cannot
    be used; with --monitoring the four of Nagios instead.
    """
    if wants_profile:
        _profile(path, as_json, language, calls, seconds)
    console = Console(highlight=False, soft_wrap=True, quiet=as_json or monitoring)
    findings = []
    with _quiet_log(), _status(console) as tell:
        for finding in examine(path, call=call, tell=tell, program=program, only=frozenset(only)):
            if only and not {finding.check, finding.check.split()[0].rstrip(":")} & set(only):
                continue
            findings.append(finding)
            console.print(line(finding))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    elif monitoring:
        click.echo(plugin_line(findings))
        sys.exit(NAGIOS[worst(findings)])
    else:
        console.print(Text(verdict(findings), "bold"))
    sys.exit(exit_code(findings))


def _profile(path: Path | None, as_json: bool, language: str, calls: int, seconds: float) -> NoReturn:
    try:
        language = language or load(path).default_agent.language
    except ConfigError as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(BAD_CONFIG)
    with _quiet_log(), _status(Console(stderr=True)) as tell:
        found = profile.examine(language, calls, seconds, tell)
    lines = [profile.as_json(*found, language)] if as_json else profile.report(*found, language)
    for text in lines:
        click.echo(text)
    sys.exit(1 if all(trial.error for trial in found[1]) else 0)


def examine(
    path: Path | None, *, call: bool, tell: Tell, program: str | None = None, only: Set[str] = frozenset()
) -> Iterator[Finding]:
    """All checks in order, each as soon as it is known. What takes long is left out where `only` does not name it."""
    tell("reading the configuration")
    try:
        settings = load(path)
    except ConfigError as error:
        for text in str(error).splitlines():
            yield Finding("configuration", "fail", text, "correct it and run doctor again")
        return
    failed: set[str] = set()
    for finding in timed(_checks(settings, path, call, tell, failed, program, only)):
        if finding.state == "fail":
            failed.add(finding.check.split()[0].rstrip(":"))
        yield finding


def _checks(
    settings: Settings, path: Path | None, call: bool, tell: Tell, failed: set[str], program: str | None, only: Set[str]
) -> Iterator[Finding]:
    """`failed` names the checks that failed so far: what cannot work after these is not tried."""
    yield from machine.configuration(settings)
    yield from machine.python()
    tell("looking at packages and models")
    for check in (machine.packages, machine.engine_plugins, machine.tools, machine.models, machine.folders):
        yield from check(settings)
    yield from system.check(settings)
    yield from running.store(settings)
    yield running.unit()
    yield from listening.exposure(settings)
    tell("looking at the port")
    seen = listening.look(settings)
    yield from listening.port(settings, seen)
    tell("asking Asterisk")
    yield from asyncio.run(pbx.check(settings))
    yield from asterisk.check(settings, program, tell, audio=call and (not only or bool(only & AUDIO)))
    serves = seen.holder == "voicebridge"
    if serves:
        yield from watching.watching()
        yield from running.daemon(settings)
        yield Finding("engines", "skip", "the daemon has started its own; the test call uses them")
    elif only and not only & {"engine", "engines"}:
        pass
    elif "packages" in failed:
        yield Finding("engines", "skip", "not started: packages are missing")
    else:
        yield from asyncio.run(engines.check(settings, machine.kinds_without_model(settings), tell))
    if not call or (only and not only & SELF_CALL):
        yield Finding("self-call", "skip", "not wanted (--no-call)")
    elif not serves and (broken := failed & NEEDED):
        yield Finding("self-call", "skip", f"not made while these fail: {', '.join(sorted(broken))}")
    else:
        yield from selfcall.check(settings, path, seen, tell)


# ---- showing


def line(finding: Finding) -> Text:
    """`FAIL  models   smollm2 is missing`, and below it the cure."""
    shown = finding.state.upper() if finding.state == "fail" else finding.state
    text = Text.assemble((f"{shown:<6}", STYLES[finding.state]), (f"{finding.check:<{CHECK_WIDTH}}", "bold"))
    text.append(finding.found)
    if finding.cure:
        text.append(f"\n{INDENT}{'':<{CHECK_WIDTH}}-> {finding.cure}", "cyan")
    return text


def verdict(findings: list[Finding]) -> str:
    failures, warnings = (sum(finding.state == state for finding in findings) for state in ("fail", "warn"))
    if not failures and not warnings:
        return "all is well"
    parts = [f"{n} {word}{'s' if n > 1 else ''}" for n, word in ((failures, "failure"), (warnings, "warning")) if n]
    return ", ".join(parts)


def worst(findings: list[Finding]) -> str:
    states = {finding.state for finding in findings}
    return next((state for state in ("fail", "warn", "ok") if state in states), "skip")


def plugin_line(findings: list[Finding]) -> str:
    """`VOICEBRIDGE WARNING - disk: 0.8 GB free | checks=24 failed=0 warned=1 seconds=21.4`."""
    state = worst(findings)
    told = "; ".join(f"{finding.check}: {finding.found}" for finding in findings if finding.state == state)
    counts = {name: sum(f.state == s for f in findings) for name, s in (("failed", "fail"), ("warned", "warn"))}
    data = " ".join(f"{name}={number}" for name, number in counts.items())
    seconds = sum(finding.seconds for finding in findings)
    what = told.replace("|", "/") if state in ("fail", "warn") else verdict(findings)
    return f"VOICEBRIDGE {NAGIOS_WORDS[state]} - {what} | checks={len(findings)} {data} seconds={seconds:.1f}s"


def exit_code(findings: list[Finding]) -> int:
    failed = {finding.check for finding in findings if finding.state == "fail"}
    return BAD_CONFIG if "configuration" in failed else 1 if failed else 0


@contextmanager
def _status(console: Console) -> Iterator[Callable[[str], None]]:
    """What is being done, on a terminal only."""
    if not console.is_terminal or console.quiet:
        yield lambda text: None
        return
    with console.status("...") as status:
        yield lambda text: status.update(f"{text} ...")


@contextmanager
def _quiet_log() -> Iterator[None]:
    """The engines' log lines would stand between the findings; --log-level debug shows them."""
    log = logging.getLogger("voicebridge")
    before = log.propagate, log.handlers[:]
    if logging.getLogger().level > logging.DEBUG:
        log.propagate = False
        log.addHandler(logging.NullHandler())
    try:
        yield
    finally:
        log.propagate, log.handlers[:] = before
