"""`voicebridge replay`: run a recorded call through the core again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape

from voicebridge.conversation.core import Conversation
from voicebridge.trace import eventlog


@click.command()
@click.argument("log", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Only the verdict.")
def replay(log: Path, as_json: bool, quiet: bool) -> None:
    """Feed LOG (an .events.jsonl of the store) to the conversation core and compare what it wants done.

    Exit code 1 where this version decides otherwise than the one that recorded the call.
    """
    try:
        with log.open(encoding="utf-8") as lines:
            head, source = eventlog.read(lines)
            steps = list(source)
    except (eventlog.LogError, UnicodeDecodeError) as error:
        click.echo(f"voicebridge: {log}: {error}", err=True)
        sys.exit(2)
    core = Conversation(
        head.agent, context_tokens=head.context_tokens, judged=head.judged, recorded=head.recorded
    )
    again = [tuple(core.handle(step.event, step.now)) for step in steps]
    differences = eventlog.differences(steps, again)
    if as_json:
        click.echo(json.dumps({"log": str(log), "steps": len(steps), "differences": differences}))
    else:
        _show(steps, differences, quiet)
    sys.exit(1 if differences else 0)


def _show(steps: list[eventlog.Step], differences: list[str], quiet: bool) -> None:
    console = Console(highlight=False)
    if not quiet:
        zero = steps[0].now if steps else 0.0
        for step in steps:
            console.print(f"[bold]{step.now - zero:8.3f}[/] [cyan]{escape(repr(step.event))}[/]", soft_wrap=True)
            for command in step.commands:
                console.print(f"           -> {command!r}", soft_wrap=True, markup=False)
    for text in differences:
        console.print(text, style="red", markup=False, soft_wrap=True)
    verdict = "the same decisions" if not differences else f"{len(differences)} steps differ"
    console.print(f"{len(steps)} events replayed: {verdict}")
