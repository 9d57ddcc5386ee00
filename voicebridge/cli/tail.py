"""`voicebridge calls tail`: what is said in calls, while it is said."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.cli.transcript import Transcript
from voicebridge.control.client import Control, NoDaemon

AGAIN_S = 1.0


@click.command()
@config_option
@click.option("--call", "wanted", metavar="ID", default="", help="Only this call, to its end; the beginning of an id.")
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each thing that happens.")
def tail(path: Path | None, wanted: str, as_json: bool) -> None:
    """Show what is said in calls while they go on, until Ctrl-C. A daemon that is started again is found again."""
    try:
        control = Control.of(settings_or_exit(path))
        found = _found(control, wanted)
        asyncio.run(follow(control, JsonLines() if as_json else Lines(), call_id=found))
    except NoDaemon as error:
        click.echo(f"voicebridge: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo(err=True)
    except BrokenPipeError:  # `... | head`
        sys.stdout = None


def _found(control: Control, wanted: str) -> str:
    """The id of the running call that begins like this; "" where none is wanted."""
    running = [call["call_id"] for call in control.calls(turns=False)]
    matching = [call_id for call_id in running if call_id.startswith(wanted)]
    if wanted and len(matching) != 1:
        known = ", ".join(running) or "none"
        why = f"no running call begins with {wanted!r}" if not matching else f"several calls begin with {wanted!r}"
        click.echo(f"voicebridge: {why}; running: {known}", err=True)
        sys.exit(1)
    return str(matching[0]) if wanted else ""


class Lines:
    """For people."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(soft_wrap=True, highlight=False)
        self._transcript = Transcript()

    def running(self, call: dict[str, Any]) -> None:
        self._print(*self._transcript.running(call))

    def happened(self, happening: dict[str, Any]) -> None:
        self._print(*self._transcript.lines(happening))

    def gone(self, why: str) -> None:
        cut = len(self._transcript.forget())
        calls = f" ({cut} call{'' if cut == 1 else 's'} cut off)" if cut else ""
        self._print(Text(f"{why}{calls}; waiting for it", "yellow"))

    def back(self) -> None:
        self._print(Text("connected again", "yellow"))

    def _print(self, *lines: Text) -> None:
        for line in lines:
            self._console.print(line)


class JsonLines:
    """For programs: happenings as they came. What concerns the daemon goes to standard error."""

    def running(self, call: dict[str, Any]) -> None:
        click.echo(json.dumps({"event": "running", "call": call}))

    def happened(self, happening: dict[str, Any]) -> None:
        click.echo(json.dumps(happening))

    def gone(self, why: str) -> None:
        click.echo(f"voicebridge: {why}; waiting for it", err=True)

    def back(self) -> None:
        click.echo("voicebridge: connected again", err=True)


async def follow(control: Control, show: Lines | JsonLines, *, call_id: str = "", again_s: float = AGAIN_S) -> None:
    """Until the call has ended, or for ever. Raises NoDaemon where there was none from the beginning on."""
    connected = away = False
    while True:
        try:
            async with aclosing(control.events(call_id)) as events:
                async for happening in events:
                    if happening["event"] != "heartbeat":
                        show.happened(happening)
                    elif not connected or away:
                        if away:
                            show.back()
                        connected, away = True, False
                        await _show_running(control, show, call_id)
                    if call_id and happening["event"] == "call_ended":
                        return
        except NoDaemon as error:
            if not connected or call_id:
                raise
            if not away:
                show.gone(str(error))
            away = True
        await asyncio.sleep(again_s)


async def _show_running(control: Control, show: Lines | JsonLines, call_id: str) -> None:
    for call in await control.live():
        if call_id in ("", call["call_id"]):
            show.running(call)
