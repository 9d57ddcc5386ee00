"""`voicebridge calls purge`: erase calls by age, by caller, or one."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from pathlib import Path

import click

from voicebridge.cli.run import config_option, settings_or_exit
from voicebridge.cli.store import fail
from voicebridge.trace.store import StoreError
from voicebridge.trace.store.erase import Erased, Wanted, erase

UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "w": 7 * 86_400}
CALL_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Age(click.ParamType[float]):
    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d{1,6})([dhmw])", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no age: write e.g. 30d, 12h or 4w", param, ctx)
        return float(int(found[1]) * UNITS_S[found[2]])


@click.command()
@config_option
@click.option("--older-than", "age", type=Age(), help="Calls that began longer ago, e.g. 30d, 12h.")
@click.option("--caller", metavar="NUMBER", help="All calls of a caller, by the number as the PBX tells it.")
@click.option("--call", "call_id", metavar="ID", help="One call, by its whole id.")
@click.option("--dry-run", is_flag=True, help="Only tell how many it would be.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def purge(
    path: Path | None,
    age: float | None,
    caller: str | None,
    call_id: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase calls for good: records, recordings, event logs.

    That something was erased is noted, by age, caller or call and how many, never who. A call that still runs is
    recorded when it ends: for a caller who is on the line, purge again after. Backups, and where calls were sent to,
    are not reached.
    """
    wanted = _wanted(age, caller, call_id)
    kept = settings_or_exit(path).config.store
    try:
        found = erase(kept.dir, kept.url, wanted, dry_run=True)
        if not dry_run and found:
            if not yes:
                click.confirm(f"Erase {_told(found)} for good?", abort=True, err=True)
            found = erase(kept.dir, kept.url, wanted)
    except (StoreError, OSError) as error:
        fail(error)
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(found), "dry_run": dry_run}))
    else:
        click.echo(f"{_told(found)} {'would be erased' if dry_run else 'erased'}")
    sys.exit(0)


def _wanted(age: float | None, caller: str | None, call_id: str | None) -> Wanted:
    if sum(given is not None for given in (age, caller, call_id)) != 1:
        raise click.UsageError("say one of --older-than, --caller and --call")
    if call_id is not None and not CALL_ID.fullmatch(call_id.lower()):
        cure = f"voicebridge calls show {call_id} has it in its first line"
        raise click.UsageError(f"{call_id} is not a call's whole id: {cure}")
    if caller is not None and not caller.strip():
        raise click.UsageError("--caller wants a number")
    before = None if age is None else time.time() - age
    return Wanted(before=before, caller=caller or "", call_id=(call_id or "").lower())


def _told(found: Erased) -> str:
    waiting = f" ({found.waiting} more waited to be written)" if found.waiting else ""
    calls, files = (f"{count} {what}{'' if count == 1 else 's'}" for count, what in
                    ((found.calls, "call"), (found.files, "file")))  # fmt: skip
    return f"{calls}{waiting} and {files}"
