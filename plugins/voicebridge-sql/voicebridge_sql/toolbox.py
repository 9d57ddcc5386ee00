"""The entry point `sql`: a tool of each configured query, checked when the daemon starts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from pydantic import ValidationError

from voicebridge.tools import SetupError, Tool, ToolContext, ToolDefinitionError, ToolError, ToolReply
from voicebridge.tools.template import secret
from voicebridge_sql.database import BadStatement, Database, DatabaseError, Job, Refused, Rows
from voicebridge_sql.settings import Query, SqlSettings, Words
from voicebridge_sql.statement import READS, WRITES, Statement
from voicebridge_sql.words import Speech, refusal, unknown_fields

log = logging.getLogger("voicebridge.sql")

SPARE_S: Final = 0.1
"""A statement ends so long before its tool is given up, so that the tool itself can tell of it."""
CALL: Final = {
    "voicebridge_key": "key", "voicebridge_call": "call_id", "voicebridge_caller": "caller",
    "voicebridge_dialled": "dialled", "voicebridge_agent": "agent",
}  # fmt: skip
"""Parameters that every statement may use, and the fields of the context that they are."""
NOW: Final = "voicebridge_now"
"""The local date and time, as `YYYY-MM-DD HH:MM:SS`."""


class SqlTool:
    """One query."""

    def __init__(self, query: Query, database: Database) -> None:
        """Raises SetupError."""
        self._query = query
        self._database = database
        try:
            self._statement = Statement.of(query.sql)
        except SetupError as error:
            raise SetupError(f"sql: {error}") from None
        self._check_words()
        self._statement = self._statement.returning(query.returning)

    def tool(self) -> Tool:
        """Raises ToolDefinitionError."""
        query = self._query
        idempotent = query.idempotent or not query.write
        return Tool.of(
            self.run, [query.argument(name).parameter(name) for name in query.arguments], takes_context=True,
            name=query.name, description=query.description, deadline_s=query.deadline_s, idempotent=idempotent,
            retries=int(idempotent), on_hangup="complete" if query.write else "cancel",
            consequential=query.write if query.consequential is None else query.consequential, confirm=query.confirm,
            fillers=query.fillers, failed=query.failed, alternative=query.alternative,
            max_bytes=4 * query.max_bytes, model_bytes=min(4_096, query.max_bytes), settings=Words, close=self.close,
        )  # fmt: skip

    def check(self) -> None:
        """Raises SetupError; only warns where the database cannot be reached now."""
        query, values = self._query, {name: self._query.argument(name).sample for name in self._query.arguments}
        values |= dict.fromkeys(CALL, "") | {NOW: "2026-01-01 00:00:00"}
        values = {name: value for name, value in values.items() if name in self._statement.parameters}
        try:
            columns = self._database.check(self._statement, values, write=query.write)
        except BadStatement as error:
            raise SetupError(f"sql: {error}") from None
        except (DatabaseError, TimeoutError) as error:
            log.warning("tools.sql: query %s is not checked, the database does not answer: %s", query.name, error)
            return
        columns = query.returning if query.write else columns
        if unknown := unknown_fields(query, (*columns, *query.arguments)):
            there = ", ".join((*columns, *query.arguments)) or "none"
            raise SetupError(f"say: there is no {unknown[0]!r} among its columns and arguments: {there}")

    async def close(self) -> None:
        await asyncio.to_thread(self._database.close)

    def run(self, context: ToolContext, /, **arguments: Any) -> ToolReply:
        query = self._query
        words = _words(query, context)
        values = {name: arguments.get(name) for name in query.arguments}
        values |= {name: getattr(context, field) for name, field in CALL.items()}
        values |= {NOW: f"{context.now():%Y-%m-%d %H:%M:%S}"}
        values = {name: value for name, value in values.items() if name in self._statement.parameters}
        deadline = context.deadline - min(SPARE_S, query.deadline_s / 10)
        try:
            found = self._database.run(Job(self._statement, values, query.write, query.max_rows, deadline))
        except Refused as error:
            log.info("call=%s tool=%s refused by the database", context.call_id, query.name)
            raise ToolError(refusal(words, error.rule)) from None
        except (BadStatement, DatabaseError) as error:
            log.warning("call=%s tool=%s failed: %s", context.call_id, query.name, type(error).__name__)
            log.debug("tool=%s: %s", query.name, error)
            raise ToolError(transient=True) from None
        log.info(
            "call=%s tool=%s rows=%d ms=%d", context.call_id, query.name, max(len(found.rows), found.changed),
            round(1000 * (time.monotonic() - context.deadline + query.deadline_s)),
        )  # fmt: skip
        return self._reply(found, words, Speech(words, arguments, context.language, context.now().date()))

    def _reply(self, found: Rows, words: Words, speech: Speech) -> ToolReply:
        """Nothing found is an answer like another: two of them in a row are no reason to give the caller away."""
        query = self._query
        rows = found.as_dicts()
        if query.write:
            if not found.changed:
                return ToolReply(words.empty, {"changed": 0})
            row = rows[0] if rows else {}
            return ToolReply(speech.of([row]), {"changed": found.changed, **row})
        if not rows:
            return ToolReply(words.empty, {"rows": [], "more": False} if query.rows else {"found": False})
        if not query.rows:
            return ToolReply(speech.of(rows[:1]), {"found": True, **rows[0]})
        kept = _within(rows, query.max_bytes)
        said = speech.of(kept[: query.most_said])
        return ToolReply(said, {"rows": kept, "more": found.more or len(kept) < len(rows)})

    def _check_words(self) -> None:
        """What can be seen without the database."""
        query, statement = self._query, self._statement
        kinds = WRITES if query.write else READS
        if statement.first not in kinds:
            cure = "" if query.write or statement.first not in WRITES else "; set write = true if it shall change data"
            wanted = ", ".join(kind.upper() for kind in kinds)
            raise SetupError(f"sql: begins with {statement.first.upper()}, not with one of {wanted}{cure}")
        own = {name for name in query.arguments if name in CALL or name == NOW}
        if own:
            raise SetupError(f"arguments.{min(own)}: is voicebridge's own, and needs no argument")
        for name in sorted(statement.parameters - set(query.arguments) - set(CALL) - {NOW}):
            raise SetupError(f"sql: :{name} is not among its arguments; a call's own are {', '.join([*CALL, NOW])}")
        for name in sorted(set(query.arguments) - statement.parameters):
            raise SetupError(f"arguments.{name}: the statement has no :{name}")
        if query.idempotent and query.write and "voicebridge_key" not in statement.parameters:
            raise SetupError("idempotent: the statement has to tell a second attempt by its :voicebridge_key")


class SqlToolbox:
    """`create` is all that voicebridge needs."""

    def create(self, settings: dict[str, Any]) -> Sequence[Tool]:
        """Raises SetupError, which names the query."""
        if not settings:
            raise SetupError('name a database = "..." and [[tools.sql.queries]]')
        try:
            wanted = SqlSettings.model_validate(settings)
        except ValidationError as error:
            raise SetupError("; ".join(_problem(settings, each) for each in error.errors())) from None
        database = opened(wanted)
        made = []
        for query in wanted.queries:
            try:
                tool = SqlTool(query, database)
                tool.check()
                made.append(tool.tool())
            except (SetupError, ToolDefinitionError) as error:
                database.close()
                raise SetupError(f"query {query.name}: {error}") from None
        return made


def opened(settings: SqlSettings) -> Database:
    """Raises SetupError."""
    address = secret(settings.database, "database")
    if address.startswith(("postgresql://", "postgres://")):
        try:
            from voicebridge_sql.postgres import Postgres  # an extra: SQLite's users need no psycopg
        except ImportError as error:
            cure = "pip install 'voicebridge-sql[postgresql]'"
            raise SetupError(f"database: PostgreSQL needs psycopg ({error}): {cure}") from None
        return Postgres(address, _password(settings), read_only=settings.read_only)
    from voicebridge_sql.sqlite import Sqlite

    scheme, colon, rest = address.partition("://")
    if colon and scheme != "sqlite":
        raise SetupError(f"database: {scheme}:// is not supported; write sqlite:///... or postgresql://...")
    path = Path(unquote(rest.removeprefix("/")) if colon else address)
    if not path.is_absolute():
        raise SetupError(
            f"database: {str(path)!r} is relative, and nobody knows where the daemon will be started: write the whole "
            "path (sqlite:////var/lib/shop.db has four slashes), or {env:NAME} for a variable that holds it"
        )
    return Sqlite(path, read_only=settings.read_only)


def _password(settings: SqlSettings) -> str:
    if settings.password_env:
        return secret(f"{{env:{settings.password_env}}}", "password_env")
    if settings.password_file is not None:
        if not settings.password_file.is_absolute():
            raise SetupError(f"password_file: {str(settings.password_file)!r} is relative: write the whole path")
        return secret(f"{{file:{os.fspath(settings.password_file)}}}", "password_file")
    return ""


def _words(query: Query, context: ToolContext) -> Words:
    """The query's own, and over them what the agent says."""
    theirs = {key: value for key, value in context.settings.items() if key in Words.model_fields}
    if not theirs:
        return query
    return Words.model_validate({**query.model_dump(include=set(Words.model_fields)), **theirs})


def _within(rows: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    """As many rows as fit into `limit` bytes of JSON, at least one."""
    kept, size = rows[:1], len(json.dumps(rows[0], default=str))
    for row in rows[1:]:
        size += len(json.dumps(row, default=str))
        if size > limit:
            break
        kept.append(row)
    return kept


def _problem(settings: dict[str, Any], error: Any) -> str:
    """`queries.find_repair.say: ...`: a query by its name rather than its place."""
    place = list(error["loc"])
    if len(place) > 1 and place[0] == "queries" and isinstance(place[1], int):
        try:
            place[1] = settings["queries"][place[1]]["name"]
        except (KeyError, TypeError, IndexError):
            place[1] += 1
    where = ".".join(str(part) for part in place)
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


SQL = SqlToolbox()
