"""What is remembered of callers: `remember_fact` and `lookup_facts`, by the number they call from.

    [tools.caller_facts]
    keep_days = 365
    most = 50            # facts a caller; the oldest go first

An SQLite file `<state folder>/facts/facts.db` that only its owner can read. A number can be forged: keep nothing there
that must not be told to whoever calls from it. A caller without a number has no facts.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voicebridge.tools.context import SetupError, ToolContext, ToolError, ToolReply
from voicebridge.tools.tool import Tool, tool

WAIT_S = 2.0
FEWEST_DIGITS = 4
_SCHEMA = """CREATE TABLE IF NOT EXISTS facts (
    caller TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (caller, name)
) WITHOUT ROWID"""


class FactsSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_days: int = Field(default=365, ge=1)
    most: int = Field(default=50, ge=1, le=1000)


class Facts:
    """The file, opened for each piece of work: that is seldom, and two daemons may share it."""

    def __init__(self, folder: Path, settings: FactsSettings) -> None:
        self._path = folder / "facts" / "facts.db"
        self._settings = settings

    def remember(self, caller: str, name: str, value: str, now: datetime) -> None:
        with self._open(now) as db:
            db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", (caller, name, value, now.timestamp()))
            db.execute(
                "DELETE FROM facts WHERE caller = ?1 AND name NOT IN "
                "(SELECT name FROM facts WHERE caller = ?1 ORDER BY at DESC, name LIMIT ?2)",
                (caller, self._settings.most),
            )

    def lookup(self, caller: str, now: datetime) -> dict[str, str]:
        """The newest first."""
        if not self._path.exists():
            return {}
        with self._open(now) as db:
            found = db.execute("SELECT name, value FROM facts WHERE caller = ? ORDER BY at DESC, name", (caller,))
            return {str(name): str(value) for name, value in found}

    @contextlib.contextmanager
    def _open(self, now: datetime) -> Iterator[sqlite3.Connection]:
        """A transaction; what is past its retention goes with every one."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.touch(mode=0o600)
        with contextlib.closing(sqlite3.connect(self._path, timeout=WAIT_S)) as db, db:
            db.execute("PRAGMA secure_delete = ON")
            db.execute(_SCHEMA)
            oldest = now - timedelta(days=self._settings.keep_days)
            db.execute("DELETE FROM facts WHERE at < ?", (oldest.timestamp(),))
            yield db


def caller_key(number: str) -> str:
    """Digits and a leading +, whatever stands between them; ToolError for a caller who has no number."""
    digits = re.sub(r"[^0-9]", "", number)
    if len(digits) < FEWEST_DIGITS:
        raise ToolError("I can't see the number you are calling from, so I have nothing about you.")
    return ("+" if number.strip().startswith("+") else "") + digits


class CallerFacts:
    """The entry point `caller_facts`."""

    def create(self, settings: dict[str, Any]) -> Sequence[Tool]:
        try:
            wanted = FactsSettings.model_validate(settings)
        except ValidationError as error:
            raise SetupError("; ".join(f"{e['loc'][-1]}: {e['msg']}" for e in error.errors())) from None

        @tool(on_hangup="complete")
        def remember_fact(
            ctx: ToolContext,
            name: Annotated[str, Field(min_length=1, max_length=60)],
            value: Annotated[str, Field(min_length=1, max_length=500)],
        ) -> ToolReply:
            """Remember something about this caller for his next calls.

            name: what it is about, in one or two words, such as "bicycle"
            value: what is to be remembered
            """
            Facts(ctx.folder, wanted).remember(caller_key(ctx.caller), name.strip().lower(), value, ctx.now())
            return ToolReply("I will remember that." if ctx.language.startswith("en") else "", {"remembered": True})

        @tool(idempotent=True, retries=1)
        def lookup_facts(ctx: ToolContext) -> dict[str, dict[str, str]]:
            """Look up what is known about this caller from earlier calls."""
            return {"facts": Facts(ctx.folder, wanted).lookup(caller_key(ctx.caller), ctx.now())}

        return [remember_fact, lookup_facts]


CALLER_FACTS = CallerFacts()
