"""`voicebridge calls export`: records and recordings, for spreadsheets and other programs."""

from __future__ import annotations

import csv
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

import click
from rich.console import Console
from rich.progress import track

from voicebridge.cli.calls import fail, opened
from voicebridge.cli.run import config_option
from voicebridge.cli.when import when_option
from voicebridge.trace.reading import handoff_text, turns_of
from voicebridge.trace.record import Record, Turn
from voicebridge.trace.rows import Query
from voicebridge.trace.store import Calls

COLUMNS = (
    "call_id", "began_at", "agent", "caller", "dialled", "seconds", "outcome", "ended_by", "target", "turn", "at_s",
    "caller_said", "agent_heard", "source", "rule", "gap_s", "slow", "interrupted", "tools", "handoffs", "troubles",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet would run begins so; a quote before it makes it a text."""
PRIVATE = 0o600


class Sink(Protocol):
    """Where recordings go."""

    def __call__(self, path: Path) -> object: ...


@click.command()
@config_option
@when_option("--since", "Calls from then on: 24h, 7d, 4w, a date, today, yesterday.")
@when_option("--until", "Calls before then.")
@click.option("--agent", default="", metavar="NAME")
@click.option("--format", "form", type=click.Choice(["json", "jsonl", "csv"]), default="jsonl", show_default=True,
              help="One list, a record a line, or a row a turn.")
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True), default="-",
              help="A file that only you may read; standard output without it.")
@click.option("--recordings", type=click.Path(path_type=Path), metavar="FOLDER|FILE.zip",
              help="Put the calls' WAVs there, too.")
def export(
    path: Path | None, since: float | None, until: float | None, agent: str, form: str, output: Path,
    recordings: Path | None,
) -> None:  # fmt: skip
    """Write the records of calls, oldest first, as they are stored: redacted, but with what was said."""
    errors = Console(stderr=True, highlight=False)
    with opened(path) as kept:
        total = kept.find(Query(since=since, until=until, agent=agent, limit=1)).total
        sound = Sound(kept)
        try:
            with ExitStack() as stack:
                records: Iterable[Record] = kept.records(since, until, agent)
                out = stack.enter_context(written(output))
                if recordings is not None:
                    records = sound.taken(records, stack.enter_context(_sink(recordings)))
                quiet = not errors.is_terminal
                records = track(records, "calls", total=total, console=errors, disable=quiet, transient=True)
                number = WRITERS[form](out, records)
        except OSError as error:
            fail(f"{error.filename or output}: {error.strerror or error}")
    told = f"{number} call{'' if number == 1 else 's'}"
    if recordings is not None:
        told += f", {sound.copied} recording{'' if sound.copied == 1 else 's'}"
    errors.print(f"{told}{'' if str(output) == '-' else f' in {output}'}", markup=False)


# ---- records


def _json(out: IO[str], records: Iterable[Record]) -> int:
    number = 0
    out.write("[")
    for number, record in enumerate(records, 1):  # noqa: B007 - the count
        out.write(("\n" if number == 1 else ",\n") + json.dumps(record))
    out.write("\n]\n")
    return number


def _jsonl(out: IO[str], records: Iterable[Record]) -> int:
    number = 0
    for number, record in enumerate(records, 1):  # noqa: B007 - the count
        out.write(json.dumps(record) + "\n")
    return number


def _csv(out: IO[str], records: Iterable[Record]) -> int:
    number = 0
    rows = csv.DictWriter(out, COLUMNS)
    rows.writeheader()
    for number, record in enumerate(records, 1):  # noqa: B007 - the count
        for row in _rows(record):
            rows.writerow({name: _harmless(value) for name, value in row.items()})
    return number


WRITERS = {"json": _json, "jsonl": _jsonl, "csv": _csv}


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    """A row a turn; one row for a call without turns."""
    began = record.get("began_at")
    head = {
        **{name: record.get(name, "") for name in COLUMNS[:9]},
        "began_at": "" if began is None else datetime.fromtimestamp(began).astimezone().isoformat("T", "seconds"),
    }
    turns = turns_of(record)
    for turn in turns:
        yield {**head, **_cells(turn)}
    if not turns:
        yield head


def _cells(turn: Turn) -> dict[str, Any]:
    tools = [
        f"{tool['tool']} {tool['ms'] if tool['ms'] is not None else '?'} ms {'ok' if tool['ok'] else tool['cause']}"
        for tool in turn.get("tools", ())
    ]
    return {
        "turn": turn.get("turn", ""),
        "at_s": turn.get("last_voice"),
        "caller_said": turn.get("caller", ""),
        "agent_heard": " ".join(said["heard"].strip() for said in turn.get("said", ()) if said.get("heard")),
        "source": turn.get("source", ""),
        "rule": turn.get("rule", ""),
        "gap_s": turn.get("gap_s"),
        "slow": (turn.get("slow") or {}).get("text", ""),
        "interrupted": "yes" if turn.get("cut_off") else "",
        "tools": "; ".join(tools),
        "handoffs": "; ".join(handoff_text(step) for step in turn.get("handoffs", ())),
        "troubles": "; ".join(map(str, turn.get("troubles", ()))),
    }


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


@contextmanager
def written(output: Path) -> Iterator[IO[str]]:
    """A file that is there wholly or not at all, for its owner only."""
    if str(output) == "-":
        with click.open_file("-", "w", encoding="utf-8") as out:
            yield out
        return
    if output.exists() and not output.is_file():  # a device or a pipe: it must not be replaced
        with output.open("w", encoding="utf-8", newline="") as out:
            yield out
        return
    output = output.resolve()
    part = output.with_name(f"{output.name}.part")
    part.unlink(missing_ok=True)  # what another has left or put there keeps its own mode
    try:
        with open(part, "x", encoding="utf-8", newline="", opener=_private) as out:  # noqa: PTH123 - needs the opener
            yield out
        part.replace(output)
    finally:
        part.unlink(missing_ok=True)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, PRIVATE)


# ---- recordings


class Sound:
    """The recordings that went along; those on other machines cannot."""

    def __init__(self, kept: Calls) -> None:
        self._kept = kept
        self.copied = 0

    def taken(self, records: Iterable[Record], sink: Sink) -> Iterator[Record]:
        for record in records:
            recording = self._kept.recording(str(record.get("call_id", "")))
            if recording is not None:
                sink(recording)
                self.copied += 1
            yield record


@contextmanager
def _sink(target: Path) -> Iterator[Sink]:
    if target.suffix.lower() == ".zip":
        part = target.with_name(f"{target.name}.part")
        part.unlink(missing_ok=True)
        try:
            part.touch(mode=PRIVATE, exist_ok=False)
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
                yield lambda path: made.write(path, path.name)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return
    target.mkdir(parents=True, exist_ok=True, mode=0o700)

    def copy(path: Path) -> None:
        made = target / path.name
        made.unlink(missing_ok=True)
        made.touch(mode=PRIVATE, exist_ok=False)
        shutil.copyfile(path, made)

    yield copy
