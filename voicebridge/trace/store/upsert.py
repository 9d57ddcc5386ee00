"""A record into the database: whole or not at all, and the same however often it is done."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
import wave
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert
from sqlalchemy.dialects import postgresql, sqlite

from voicebridge.trace.record import Record
from voicebridge.trace.store.callers import caller_key
from voicebridge.trace.store.document import Row, rows
from voicebridge.trace.store.schema import PARTS, calls

log = logging.getLogger(__name__)

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def upsert(
    connection: Connection, folder: Path, call_id: str, record: Record, document: str, *, key: str = ""
) -> None:
    """In the connection's transaction. `folder`: the store's; `key`: the caller's, where it is known. Raises
    sqlalchemy.exc.DBAPIError."""
    made = rows(call_id, record, now=time.time(), caller_key=key or _key(folder, record))
    given = {**made.call, "document": document}
    statement = _INSERT[connection.dialect.name](calls).values(given)
    new_values = {name: statement.excluded[name] for name in given}
    connection.execute(statement.on_conflict_do_update(index_elements=["call_id"], set_=new_values))
    recording = _recording(folder, call_id)
    for table in PARTS:
        connection.execute(delete(table).where(table.c.call_id == call_id))
        new = ([recording] if recording else []) if table.name == "recordings" else made.parts[table.name]
        if new:
            connection.execute(insert(table), new)


def here() -> str:
    """This machine, as records name it."""
    return socket.gethostname()


def _key(folder: Path, record: Record) -> str:
    """For records of before: those of now bring it."""
    caller = record.get("caller")
    if record.get("caller_key") or not isinstance(caller, str) or not caller or "*" in caller:
        return ""
    try:
        return caller_key(folder, caller)
    except OSError as error:
        log.warning("store: a call will not be found by its caller: %s", error)
        return ""


def _recording(folder: Path, call_id: str) -> Row | None:
    path = folder / "calls" / f"{call_id}.wav"
    with contextlib.suppress(OSError, EOFError, wave.Error), wave.open(str(path), "rb") as wav:
        return {
            "call_id": call_id,
            "node": here(),
            "path": str(path),
            "seconds": wav.getnframes() / wav.getframerate(),
            "bytes": path.stat().st_size,
            "channels": wav.getnchannels(),
        }
    return None
