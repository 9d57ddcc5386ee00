"""A PostgreSQL that restarts, freezes, is not there yet, or wants a password."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from voicebridge_sql import SQL
from voicebridge_sql.database import BadStatement, Job
from voicebridge_sql.statement import Statement

COUNT = {"name": "count_repairs", "sql": "SELECT count(*) AS n FROM repairs", "say": "{n}", "deadline_s": 2}


def backends(postgres) -> list[int]:
    return [pid for (pid,) in postgres.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'voicebridge'"
    )]  # fmt: skip


async def test_connections_are_kept_and_used_again(postgres, bench):
    (tool,) = SQL.create(postgres.queries(COUNT))
    before = backends(postgres)
    assert len(before) == 1
    for number in range(3):
        assert (await bench.run(tool, number=number)).say == "2"
    assert backends(postgres) == before


async def test_a_connection_that_died_while_it_was_idle_is_replaced_unnoticed(postgres, bench):
    (tool,) = SQL.create(postgres.queries(COUNT))
    (pid,) = backends(postgres)
    postgres.execute(f"SELECT pg_terminate_backend({pid}, 2000)")
    outcome = await bench.run(tool)
    assert (outcome.say, outcome.attempts) == ("2", 1)


async def test_a_server_that_freezes_holds_no_thread(postgres, bench):
    (tool,) = SQL.create(postgres.queries({**COUNT, "deadline_s": 0.5}))
    (pid,) = backends(postgres)
    os.kill(pid, signal.SIGSTOP)
    try:
        outcome = await bench.run(tool)
        assert (outcome.ok, outcome.cause) == (False, "timeout")
        assert await bench.idle()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await bench.run(tool, number=2)).say == "2"


async def test_a_server_that_is_not_there_does_not_keep_the_daemon_from_starting(server, postgres, bench, caplog):
    settings = postgres.queries(COUNT)
    server.stop()
    try:
        (tool,) = SQL.create(settings)
        assert "query count_repairs is not checked" in caplog.text
        outcome = await bench.run(tool)
        assert (outcome.ok, outcome.cause) == (False, "error")
    finally:
        server.start()
    assert (await bench.run(tool, number=2)).say == "2"


async def test_a_lock_is_waited_for_until_the_deadline(postgres, bench):
    query = {"name": "add", "write": True, "sql": "UPDATE repairs SET price = 1", "deadline_s": 0.5}
    (tool,) = SQL.create(postgres.queries(query, read_only=False))
    postgres.execute("BEGIN")
    postgres.execute("LOCK TABLE repairs")
    outcome = await bench.run(tool)
    assert (outcome.ok, outcome.cause) == (False, "timeout")
    postgres.execute("ROLLBACK")
    assert (await bench.run(tool, number=2)).data == '{"changed":2}'


@pytest.mark.parametrize("read_only", [True, False])
def test_a_lookup_s_transaction_is_read_only_in_the_server(postgres, read_only):
    postgres.execute("CREATE FUNCTION sly() RETURNS integer AS 'DELETE FROM repairs; SELECT 1' LANGUAGE sql")
    (tool,) = SQL.create(postgres.queries({"name": "sly", "sql": "SELECT sly() AS x"}, read_only=read_only))
    database = tool.function.__self__._database
    with pytest.raises(BadStatement, match="read-only transaction"):
        database.run(Job(Statement.of("SELECT sly() AS x"), {}, False, 10, time.monotonic() + 2))
    database.close()
    assert postgres.execute("SELECT count(*) FROM repairs") == [(2,)]


async def test_rows_beyond_the_limit_never_leave_the_server(postgres, bench):
    query = {"name": "many", "rows": True, "deadline_s": 3,
             "sql": "SELECT i, j FROM generate_series(1, 10000) AS i, generate_series(1, 10000) AS j"}  # fmt: skip
    (tool,) = SQL.create(postgres.queries(query))
    outcome = await bench.run(tool)
    assert outcome.ok
    assert '"more":true' in outcome.data


async def test_closing_ends_every_connection(postgres, bench):
    (tool,) = SQL.create(postgres.queries(COUNT))
    await tool.close()
    for _ in range(250):
        if not backends(postgres):
            break
        await asyncio.sleep(0.02)
    assert backends(postgres) == []


def test_the_password_comes_from_a_file(postgres, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr("psycopg.connect", lambda *a, **more: seen.update(more) or (_ for _ in ()).throw(
        __import__("psycopg").OperationalError("no")
    ))  # fmt: skip
    (tmp_path / "pw").write_text("s3cret\n")
    SQL.create(postgres.queries(COUNT) | {"password_file": str(tmp_path / "pw")})
    assert seen["password"] == "s3cret"
