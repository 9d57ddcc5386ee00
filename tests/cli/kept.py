"""A store with calls in it, as a daemon leaves it, and the command line that reads it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from click.testing import CliRunner, Result

from voicebridge.cli.main import main
from voicebridge.trace.record import Record
from voicebridge.trace.store import CallStore


def filled(folder: Path, records: Iterable[Record], *, wav: bytes = b"") -> Path:
    """`wav`: a recording for each."""
    store = CallStore(folder, keep_days=10_000)
    store.prepare()
    for record in records:
        store.write(record["call_id"], record)
        if wav:
            store.path(record["call_id"], ".wav").write_bytes(wav)
    assert store.flush(20.0)
    store.close()
    return folder


def voicebridge(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])
