"""What SQLite itself is told not to allow, and a database that others use, too."""

from __future__ import annotations

import sqlite3
import time

import pytest

from voicebridge.tools import SetupError
from voicebridge_sql import SQL
from voicebridge_sql.database import BadStatement, Job
from voicebridge_sql.sqlite import Sqlite
from voicebridge_sql.statement import Statement

COUNT = {"name": "count_repairs", "sql": "SELECT count(*) AS n FROM repairs", "say": "{n}"}
ADD = {"name": "add", "write": True, "sql": "INSERT INTO repairs VALUES ('1', 'b', 's', NULL, 1)"}


def job(text: str, *, write: bool, seconds: float = 2.0) -> Job:
    """A statement that has slipped through every check at the beginning."""
    return Job(Statement(text, frozenset(), "select"), {}, write, 10, time.monotonic() + seconds)


@pytest.fixture
def path(sqlite, tmp_path):
    return tmp_path / "shop.db"


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO repairs VALUES ('1', 'b', 's', NULL, 1)", "DELETE FROM repairs", "PRAGMA query_only = OFF",
        "ATTACH '/tmp/other.db' AS other", "DROP TABLE repairs", "CREATE TABLE x(a)", "BEGIN", "VACUUM",
    ],
)  # fmt: skip
@pytest.mark.parametrize("read_only", [True, False])
def test_a_lookup_can_only_read(path, text, read_only):
    with pytest.raises(BadStatement):
        Sqlite(path, read_only=read_only).run(job(text, write=False))


@pytest.mark.parametrize(
    "text", ["PRAGMA journal_mode = OFF", "ATTACH '/tmp/other.db' AS other", "DROP TABLE repairs", "CREATE TABLE x(a)",
             "ALTER TABLE repairs ADD x", "CREATE TRIGGER t DELETE ON repairs BEGIN SELECT 1; END", "COMMIT"]
)  # fmt: skip
def test_a_write_can_only_change_rows(path, text):
    with pytest.raises(BadStatement):
        Sqlite(path, read_only=False).run(job(text, write=True))


def test_a_read_only_database_is_never_opened_for_writing(path):
    path.chmod(0o444)
    database = Sqlite(path, read_only=True)
    with pytest.raises(BadStatement, match="read_only"):
        database.run(job("DELETE FROM repairs", write=True))


async def test_a_database_that_another_holds_is_waited_for_until_the_deadline(sqlite, path, bench):
    (tool,) = SQL.create(sqlite.queries({**ADD, "deadline_s": 0.5}, read_only=False))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    outcome = await bench.run(tool)
    assert (outcome.ok, outcome.cause) == (False, "timeout")
    other.execute("ROLLBACK")
    other.close()
    assert (await bench.run(tool, number=2)).ok


async def test_lookups_go_on_while_another_writes_in_wal_mode(sqlite, path, bench):
    sqlite.execute("PRAGMA journal_mode = WAL")
    (tool,) = SQL.create(sqlite.queries(COUNT))
    sqlite.execute("BEGIN IMMEDIATE")
    sqlite.execute("DELETE FROM repairs")
    assert (await bench.run(tool)).say == "2"
    sqlite.execute("ROLLBACK")


async def test_a_huge_value_is_an_error_and_not_a_gigabyte(sqlite, bench):
    (tool,) = SQL.create(sqlite.queries({"name": "big", "sql": "SELECT hex(zeroblob(100000000)) AS x FROM repairs"}))
    outcome = await bench.run(tool)
    assert (outcome.ok, outcome.cause) == (False, "error")


async def test_what_is_no_text_is_left_out(sqlite, bench):
    (tool,) = SQL.create(sqlite.queries({"name": "blob", "sql": "SELECT x'00ff' AS x, 1 AS y"}))
    assert (await bench.run(tool)).data == '{"found":true,"x":null,"y":1}'


async def test_foreign_keys_hold(sqlite, bench):
    sqlite.execute("CREATE TABLE notes(repair text NOT NULL REFERENCES repairs(number), note text)")
    sql = "INSERT INTO notes VALUES (:number, :note)"
    query = {"name": "note", "write": True, "sql": sql, "arguments": {"number": "its number", "note": "what to note"},
             "conflict": "There is no such repair."}  # fmt: skip
    (tool,) = SQL.create(sqlite.queries(query, read_only=False))
    assert (await bench.run(tool, '{"number":"9999","note":"x"}')).say == "There is no such repair."
    assert (await bench.run(tool, '{"number":"4407","note":"x"}', number=2)).ok


def test_a_folder_or_garbage_is_no_database(tmp_path):
    with pytest.raises(SetupError, match="there is no file"):
        Sqlite(tmp_path, read_only=True)
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    with pytest.raises(SetupError, match="not a database"):
        Sqlite(tmp_path / "x.db", read_only=True)
