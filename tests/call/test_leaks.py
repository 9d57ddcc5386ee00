"""After calls full of numbers and addresses none is found in any file; and the search finds what is there."""

from __future__ import annotations

import json
import sqlite3

import pytest

from bench.leaks import CALLS, CARD, MAIL, NEEDLES, PHONE, play, read_out, search
from voicebridge.trace import eventlog
from voicebridge.trace.privacy import Privacy


def records(folder):
    told = map(json.loads, (folder / "told.jsonl").read_text().splitlines())
    return [happening["record"] for happening in told if happening["event"] == "call_ended"]


async def test_nothing_is_left_of_what_callers_told(tmp_path):
    await play(tmp_path)
    assert search(tmp_path) == []
    kept = records(tmp_path)
    text = json.dumps(kept)
    assert len(kept) == len(CALLS)
    for mark in ("[card]", "[number]", "[email]", "***10"):
        assert mark in text
    assert len({record["caller_key"] for record in kept}) == 1
    tools = [run["ok"] for record in kept for turn in record["turns"] for run in turn["tools"]]
    assert tools == [True, True, True], "a tool gets the number itself"
    logs = list((tmp_path / "store" / "calls").glob("*.events.jsonl"))
    assert len(logs) == len(CALLS)
    for log in logs:
        with log.open() as lines:
            assert len(list(eventlog.read(lines)[1])) > 10


async def test_without_redaction_the_search_finds_it_everywhere(tmp_path):
    await play(tmp_path, calls=CALLS[:3], privacy=Privacy((), "full"))
    found = search(tmp_path)
    assert {find.where.rpartition(".")[2] for find in found} >= {"db", "jsonl"}
    assert any(CARD.startswith(find.digits) for find in found)
    assert any(find.digits == MAIL for find in found)


@pytest.mark.parametrize(
    "text",
    [CARD, f"{CARD[:4]} {CARD[4:8]}-{CARD[8:]}", read_out(PHONE), f"a{PHONE[:8]}b", f"the {MAIL}.fox", ", ".join(PHONE),
     read_out(PHONE).upper(), "".join(f'{{"is": "Dtmf", "digit": "{key}"}}\n' for key in CARD)],
    ids=["plain", "grouped", "spoken", "part", "mail", "commas", "loud", "keys"],
)  # fmt: skip
def test_a_planted_needle_is_found(tmp_path, text):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_text(f"12:01:33.250 call=4711 {text} ok\n")
    assert search(tmp_path)


def test_a_needle_in_a_database_is_found(tmp_path):
    with sqlite3.connect(tmp_path / "calls.db") as database:
        database.execute("create table t (x text)")
        database.execute("insert into t values (?)", (read_out(PHONE),))
    database.close()
    assert {find.digits for find in search(tmp_path)} <= {PHONE[at : at + 8] for at in range(len(PHONE))}
    assert search(tmp_path)


def test_what_is_not_there_is_not_found(tmp_path):
    (tmp_path / "log").write_text("2026-11-24 12:01:33 call=23e748a5-1b00-4470 seconds=24.942 one of two")
    assert search(tmp_path, NEEDLES) == []
