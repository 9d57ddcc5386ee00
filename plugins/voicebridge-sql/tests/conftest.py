"""Real databases: an SQLite file a test, and one PostgreSQL server of our own for the session."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from voicebridge.tools import Tool
from voicebridge.tools.context import CallInfo
from voicebridge.tools.outcome import ToolOutcome
from voicebridge.tools.runner import ToolRunner

SCHEMA = """
CREATE TABLE repairs(number text PRIMARY KEY, bike text NOT NULL, status text NOT NULL, ready_on date, price integer);
CREATE TABLE appointments(id integer PRIMARY KEY, work text NOT NULL, day date NOT NULL, time text NOT NULL
  CONSTRAINT early CHECK (time >= '09:00'), name text, key text UNIQUE, UNIQUE (day, time));
INSERT INTO repairs VALUES ('4407', 'red city bike', 'ready', '2026-11-28', 45);
INSERT INTO repairs VALUES ('4412', 'tandem', 'waiting', NULL, NULL);
"""


class Bench:
    """`run` runs a tool for a call that may use all of them; `idle` waits until no thread works any more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runners: list[ToolRunner] = []
        self.call = CallInfo("11111111-2222-3333-4444-555555555555", "desk", "en", "+49891234567", "100")

    def runner(self, *tools: Tool) -> ToolRunner:
        object.__setattr__(self.call, "tools", frozenset(tool.name for tool in tools))
        made = ToolRunner(tools, folder=self.folder, now=lambda: datetime(2026, 11, 23, 10, 15).astimezone())
        self.runners.append(made)
        return made

    async def run(self, tool: Tool, arguments: str = "{}", number: int = 1) -> ToolOutcome:
        return await self.runner(tool).run(self.call, number, tool.name, arguments)

    async def idle(self, limit_s: float = 5.0) -> bool:
        for _ in range(round(limit_s / 0.01)):
            if not self.runners[-1]._threads.busy:
                break
            await asyncio.sleep(0.01)
        return self.runners[-1]._threads.busy == 0


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr("voicebridge.tools.runner.RETRY_S", 0.001)
    made = Bench(tmp_path)
    yield made
    for runner in made.runners:
        await runner.close()


class Sql:
    """A database to look into, and the settings that lead the tools to it."""

    def __init__(self, address: str, execute: Any, **settings: Any) -> None:
        self.address = address
        self.execute = execute
        self.settings = {"database": address, **settings}

    def queries(self, *queries: dict[str, Any], read_only: bool = True) -> dict[str, Any]:
        return {**self.settings, "read_only": read_only, "queries": list(queries)}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Sql]:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.executescript(SCHEMA)
    yield Sql(f"sqlite:///{path}", lambda text: connection.execute(text).fetchall())
    connection.close()


# ---- PostgreSQL


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = shutil.which("initdb")
    return found[-1].parent if found else Path(named).parent if named else None


class Server:
    """A PostgreSQL on a Unix socket, as the user `postgres` where we are root (it refuses to run as root)."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs
        self._user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._user, str(self._programs / program), *arguments]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd="/")

    def create(self) -> None:
        if self._user:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-D", str(self.folder / "data"), "-U", "owner", "-A", "trust", "--no-sync")

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-l", log, "-o", options, "-w", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop")

    @property
    def address(self) -> str:
        return f"postgresql://owner@/postgres?host={self.folder}"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg", reason="pip install 'voicebridge-sql[postgresql]'")
    programs = _programs()
    if programs is None:
        pytest.skip("no PostgreSQL here: apt install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="vb-pg-", dir="/tmp"))  # a socket's path must be short
    made = Server(folder, programs)
    try:
        made.create()
        made.start()
        yield made
        made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(server: Server) -> Iterator[Sql]:
    import psycopg

    with psycopg.connect(server.address, autocommit=True) as connection:
        ours = "FROM pg_stat_activity WHERE application_name = 'voicebridge'"
        connection.execute(f"SELECT pg_terminate_backend(pid, 2000) {ours}".encode())
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        identity = "integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"
        connection.execute(SCHEMA.replace("integer PRIMARY KEY", identity).encode())

        def execute(text: str) -> list[Any]:
            cursor = connection.execute(text.encode())
            return cursor.fetchall() if cursor.description else []

        yield Sql(server.address, execute)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Sql:
    return request.getfixturevalue(request.param)
