"""Lookups and writes against real databases: what comes back, what is said, and all that can go wrong."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from voicebridge.tools import SetupError, Tool
from voicebridge_sql import SQL

FIND = {
    "name": "find_repair", "sql": "SELECT bike, status, ready_on FROM repairs WHERE number = :number",
    "arguments": {"number": {"description": "four digits", "pattern": "[0-9]{4}"}},
    "say": ["Your {bike} is {status}, since {ready_on}.", "Your {bike} is {status}."],
    "empty": "I can't find number {number}.",
}  # fmt: skip
BOOK = {
    "name": "book", "write": True, "returning": ["id"],
    "sql": "INSERT INTO appointments(work, day, time, name, key) VALUES (:work, :day, :time, :name, :voicebridge_key)",
    "arguments": {"work": "what is to be done", "day": {"type": "date"}, "time": {"type": "string"},
                  "name": {"optional": True}},
    "conflict": "That time is taken already.",
}  # fmt: skip
ARGUMENTS = '{"work":"full service","day":"2026-12-01","time":"15:00","name":"Anna"}'
SLOW = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS most FROM n",
    "postgres": "SELECT pg_sleep(30)",
}


def made(database: Any, query: dict[str, Any], *, read_only: bool | None = None) -> Tool:
    writes = not query.get("write", False) if read_only is None else read_only
    (tool,) = SQL.create(database.queries(query, read_only=writes))
    return tool


async def test_a_row_is_found_and_said(database, bench):
    tool = made(database, FIND)
    assert json.loads(tool.schema)["required"] == ["number"]
    outcome = await bench.run(tool, '{"number":"4407"}')
    assert outcome.say == "Your red city bike is ready, since Saturday, November 28th."
    assert json.loads(outcome.data) == {
        "found": True, "bike": "red city bike", "status": "ready", "ready_on": "2026-11-28"
    }  # fmt: skip
    assert not tool.consequential


async def test_the_first_wording_that_has_all_its_fields_is_said(database, bench):
    outcome = await bench.run(made(database, FIND), '{"number":"4412"}')
    assert outcome.say == "Your tandem is waiting."


async def test_wordings_by_a_column_s_value(database, bench):
    say = {"ready": ["It costs ${price}."], "other": "Not yet."}
    query = {**FIND, "sql": FIND["sql"].replace("bike", "price"), "say": say, "say_by": "status"}
    tool = made(database, query)
    assert (await bench.run(tool, '{"number":"4407"}')).say == "It costs $45."
    assert (await bench.run(tool, '{"number":"4412"}')).say == "Not yet."


async def test_nothing_found_is_an_answer_and_no_failure(database, bench):
    outcome = await bench.run(made(database, {**FIND, "empty": "No such number."}), '{"number":"9999"}')
    assert (outcome.ok, outcome.say, outcome.data) == (True, "No such number.", '{"found":false}')


async def test_arguments_are_bound_and_never_part_of_the_statement(database, bench):
    query = {**FIND, "arguments": {"number": "any text"}}
    outcome = await bench.run(made(database, query), json.dumps({"number": "4407' OR '1'='1"}))
    assert outcome.data == '{"found":false}'
    outcome = await bench.run(made(database, query), json.dumps({"number": "'; DROP TABLE repairs; --"}))
    assert outcome.data == '{"found":false}'
    assert database.execute("SELECT count(*) FROM repairs")[0][0] == 2


async def test_what_does_not_fit_the_pattern_never_reaches_the_database(database, bench):
    outcome = await bench.run(made(database, FIND), '{"number":"44071"}')
    assert (outcome.ok, outcome.cause) == (False, "invalid_arguments")


async def test_rows_are_limited_in_number_and_bytes_and_told_to_be_more(database, bench):
    for number in range(30):
        database.execute(f"INSERT INTO repairs VALUES ('{number:04}', 'bike {number:02}', 'ready', NULL, {number})")
    query = {
        "name": "ready", "sql": "SELECT bike, price FROM repairs WHERE number < '2000' ORDER BY number", "rows": True,
        "max_rows": 5, "say": "{bike} for ${price}.", "most_said": 2,
    }  # fmt: skip
    outcome = await bench.run(made(database, query))
    told = json.loads(outcome.data)
    assert [row["price"] for row in told["rows"]] == [0, 1, 2, 3, 4]
    assert told["more"] is True
    assert outcome.say == "bike 00 for $0. bike 01 for $1."
    outcome = await bench.run(made(database, {**query, "max_bytes": 100}))
    assert (len(json.loads(outcome.data)["rows"]), json.loads(outcome.data)["more"]) == (3, True)


async def test_a_long_text_loses_its_tail(database, bench):
    database.execute(f"INSERT INTO repairs VALUES ('7777', '{'x' * 100_000}', 'ready', NULL, 1)")
    outcome = await bench.run(made(database, {**FIND, "say": ""}), '{"number":"7777"}')
    assert outcome.ok
    assert len(outcome.data) < 4_200


async def test_a_write_writes_and_gives_what_it_wrote(database, bench):
    tool = made(database, BOOK)
    assert tool.spec().consequential
    assert (tool.idempotent, tool.retries, tool.on_hangup) == (False, 0, "complete")
    outcome = await bench.run(tool, ARGUMENTS)
    assert (outcome.ok, outcome.data) == (True, '{"changed":1,"id":1}')
    (row,) = database.execute("SELECT work, day, time, name, key FROM appointments")
    assert [str(value) for value in row] == [
        "full service", "2026-12-01", "15:00", "Anna", f"{bench.call.call_id}-1"
    ]  # fmt: skip


async def test_a_unique_time_that_is_taken_is_said(database, bench):
    tool = made(database, BOOK)
    assert (await bench.run(tool, ARGUMENTS)).ok
    outcome = await bench.run(tool, ARGUMENTS.replace("Anna", "Ben"), number=2)
    assert (outcome.ok, outcome.say, outcome.cause) == (False, "That time is taken already.", "error")
    assert len(database.execute("SELECT * FROM appointments")) == 1
    outcome = await bench.run(tool, ARGUMENTS.replace("15:00", "08:00"), number=3)
    assert outcome.say == "That time is taken already."  # a CHECK


async def test_each_rule_of_the_database_s_has_its_own_words(database, bench):
    tool = made(database, {**BOOK, "conflict": {"early": "We open at nine.", "other": "That is taken."}})
    assert (await bench.run(tool, ARGUMENTS.replace("15:00", "08:00"))).say == "We open at nine."
    assert (await bench.run(tool, ARGUMENTS, number=2)).ok
    assert (await bench.run(tool, ARGUMENTS, number=3)).say == "That is taken."


async def test_what_a_trigger_says_may_have_its_own_words(sqlite, bench):
    sqlite.execute(
        "CREATE TRIGGER full BEFORE INSERT ON appointments WHEN (SELECT count(*) FROM appointments) >= 1 "
        "BEGIN SELECT RAISE(ABORT, 'full'); END"
    )
    tool = made(sqlite, {**BOOK, "conflict": {"full": "We are full."}})
    assert (await bench.run(tool, ARGUMENTS)).ok
    assert (await bench.run(tool, ARGUMENTS, number=2)).say == "We are full."


@pytest.mark.parametrize(
    ("language", "said"), [("en", "On Tuesday, December 1st at 3 pm: 12."), ("de", "On 2026-12-01 at 15:00: 12.")]
)
async def test_dates_and_times_are_said_as_people_say_them(database, bench, language, said):
    object.__setattr__(bench.call, "language", language)
    sql = "SELECT '2026-12-01' AS day, '15:00' AS at, 12.0 AS n"
    query = {"name": "next", "sql": sql, "say": "On {day} at {at}: {n}."}
    assert (await bench.run(made(database, query))).say == said


async def test_a_refused_write_opens_no_breaker(database, bench):
    tool = made(database, BOOK)
    runner = bench.runner(tool)
    for number in range(1, 9):
        await runner.run(bench.call, number, "book", ARGUMENTS)
    assert runner.breaker("book") == "closed"


async def test_the_same_key_writes_once_where_the_statement_says_so(database, bench):
    sql = f"{BOOK['sql']} ON CONFLICT (key) DO UPDATE SET key = excluded.key"
    tool = made(database, {**BOOK, "sql": sql, "idempotent": True})
    assert (tool.idempotent, tool.retries) == (True, 1)
    for _ in range(2):
        assert (await bench.run(tool, ARGUMENTS)).data == '{"changed":1,"id":1}'
    assert len(database.execute("SELECT * FROM appointments")) == 1


async def test_an_optional_argument_that_is_not_given_is_null(database, bench):
    assert (await bench.run(made(database, BOOK), ARGUMENTS.replace(',"name":"Anna"', ""))).ok
    assert database.execute("SELECT name FROM appointments") == [(None,)]


async def test_nothing_to_change_is_said(database, bench):
    query = {
        "name": "collect", "write": True, "arguments": {"number": "the number"}, "empty": "There is no such number.",
        "sql": "UPDATE repairs SET status = 'collected' WHERE number = :number", "say": "Number {number} is collected.",
    }  # fmt: skip
    tool = made(database, query)
    assert (await bench.run(tool, '{"number":"9999"}')).say == "There is no such number."
    outcome = await bench.run(tool, '{"number":"4407"}')
    assert (outcome.say, outcome.data) == ("Number 4407 is collected.", '{"changed":1}')


async def test_a_write_that_would_change_too_many_rows_changes_none(database, bench):
    query = {"name": "wipe", "write": True, "sql": "UPDATE repairs SET status = 'gone'", "max_rows": 1}
    outcome = await bench.run(made(database, query))
    assert (outcome.ok, outcome.cause) == (False, "error")
    assert database.execute("SELECT count(*) FROM repairs WHERE status = 'gone'")[0][0] == 0


async def test_a_call_s_own_facts_may_be_used(database, bench):
    sql = "SELECT CAST(:voicebridge_caller AS text) AS who, CAST(:voicebridge_now AS text) AS now"
    outcome = await bench.run(made(database, {"name": "who", "sql": sql, "say": "{who}"}))
    assert outcome.say == "+49891234567"


async def test_an_agent_s_own_words_beat_the_query_s(database, bench):
    object.__setattr__(bench.call, "settings", {"find_repair": {"say": "{bike}: {status}!"}})
    assert (await bench.run(made(database, FIND), '{"number":"4407"}')).say == "red city bike: ready!"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_slow_statement_is_ended_in_the_database(kind, request, bench):
    database = request.getfixturevalue(kind)
    tool = made(database, {"name": "slow", "sql": SLOW[kind], "deadline_s": 0.6})
    began = time.monotonic()
    outcome = await bench.run(tool)
    assert (outcome.ok, outcome.cause) == (False, "timeout")
    assert time.monotonic() - began < 5
    assert await bench.idle()  # no thread is left behind
    if kind == "postgres":
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND state = 'active'"
        assert database.execute(running)[0][0] == 1  # the one that asks


# ---- refused when the daemon starts


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sql": "SELECT bike FROM repairz WHERE number = :number", "say": ""}, "repairz"),
        ({"sql": "SELECT colour FROM repairs WHERE number = :number", "say": ""}, "colour"),
        ({"sql": "DELETE FROM repairs WHERE number = :number"}, "set write = true"),
        ({"sql": "SELECT 1 AS a; DELETE FROM repairs WHERE number = :number"}, "more than one statement"),
        ({"sql": "DROP TABLE repairs"}, "begins with DROP"),
        ({"sql": "SELECT bike FROM repairs"}, "the statement has no :number"),
        ({"sql": "SELECT bike FROM repairs WHERE number = :nmber"}, ":nmber is not among its arguments"),
        ({"say": "It is {colour}."}, "there is no 'colour' among its columns"),
        ({"say_by": "status"}, "say_by"),
        ({"say": {"ready": "Yes."}, "say_by": "state"}, "there is no 'state'"),
        ({"sql": "SELECT bike, bike FROM repairs WHERE number = :number", "say": ""}, "two columns"),
        ({"returning": ["id"]}, "only of a query with write = true"),
        ({"write": True}, "set read_only = false"),
        ({"sql": "-- nothing"}, "there is no statement"),
        ({"name": "Find Repair"}, "lower-case"),
        ({"arguments": {"number": {"type": "integer", "pattern": "[0-9]"}}}, "are for strings"),
        ({"arguments": {"number": {"pattern": "["}}}, "not a regular expression"),
        ({"confirm": "Number {nmber}?"}, "{nmber} is not among its parameters"),
        ({"sqll": "x"}, "sqll"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_with_the_query_s_name(database, change, told):
    with pytest.raises(SetupError) as caught:
        SQL.create(database.queries({**FIND, **change}))
    assert told in str(caught.value)
    assert change.get("name", "find_repair") in str(caught.value) or "queries: " in str(caught.value)


@pytest.mark.parametrize(
    "sql",
    [
        "WITH gone AS (DELETE FROM repairs RETURNING bike) SELECT * FROM gone",
        "WITH old AS (SELECT 1) DELETE FROM repairs",
        "SELECT 1 AS a UNION SELECT 2; ",
    ],
)
def test_a_lookup_cannot_write_however_it_begins(database, sql):
    before = database.execute("SELECT count(*) FROM repairs")
    query = {"name": "look", "sql": sql}
    if "DELETE" in sql:
        with pytest.raises(SetupError):
            SQL.create(database.queries(query, read_only=False))
    else:
        assert len(SQL.create(database.queries(query))) == 1
    assert database.execute("SELECT count(*) FROM repairs") == before


async def test_checking_a_write_does_not_do_it(database):
    made(database, {**BOOK, "sql": "DELETE FROM repairs", "arguments": {}, "returning": ()})
    assert database.execute("SELECT count(*) FROM repairs")[0][0] == 2


async def test_tables_that_change_under_the_daemon_are_a_failure_and_no_crash(database, bench):
    tool = made(database, FIND)
    database.execute("DROP TABLE repairs")
    outcome = await bench.run(tool, '{"number":"4407"}')
    assert (outcome.ok, outcome.cause, outcome.say) == (False, "error", "")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "name a database"),
        ({"database": "shop.db", "queries": [FIND]}, "relative"),
        ({"database": "sqlite:///shop.db", "queries": [FIND]}, "relative"),
        ({"database": "mysql://root@localhost/shop", "queries": [FIND]}, "mysql:// is not supported"),
        ({"database": "/nowhere/shop.db", "queries": [FIND]}, "there is no file /nowhere/shop.db"),
        ({"database": "{env:VB_NOT_SET}", "queries": [FIND]}, "env VB_NOT_SET is empty or not set"),
        ({"database": "/etc/hostname", "queries": []}, "queries"),
        ({"database": "/etc/hostname", "queries": [FIND, FIND]}, "two are called 'find_repair'"),
        ({"database": "/etc/hostname", "queries": [FIND]}, "not a database"),
        ({"database": "postgresql://a:b@localhost/shop", "queries": [FIND]}, "no password belongs here"),
        ({"database": "postgresql://[::1/shop", "queries": [FIND]}, "write postgresql://user@host/name"),
        ({"database": "postgresql:///a", "password_env": "VB_NOT_SET", "queries": [FIND]}, "VB_NOT_SET is empty"),
        ({"database": "postgresql:///a", "password_file": "pw", "queries": [FIND]}, "write the whole path"),
    ],
)
def test_settings_that_cannot_be_used_name_the_key_and_the_cure(settings, told):
    with pytest.raises(SetupError) as caught:
        SQL.create(settings)
    assert told in str(caught.value)


def test_postgresql_without_psycopg_names_the_cure(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    monkeypatch.delitem(__import__("sys").modules, "voicebridge_sql.postgres", raising=False)
    with pytest.raises(SetupError, match=r"pip install 'voicebridge-sql\[postgresql\]'"):
        SQL.create({"database": "postgresql://localhost/shop", "queries": [FIND]})
