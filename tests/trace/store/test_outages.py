"""A real PostgreSQL that is killed, frozen and stopped, and a disk that is full: no record lost, their order kept."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from uuid import UUID

import pytest

from voicebridge.trace.store import CallStore
from voicebridge.trace.store.mending import mended
from voicebridge.trace.store.reader import Calls


def call_id(number: int) -> str:
    return str(UUID(int=number))


def record(number: int, size: int = 0) -> dict[str, object]:
    return {
        "call_id": call_id(number),
        "began_at": 1000.0 + number,
        "turns": [{"turn": 1, "caller": f"number {number}" + "x" * size}],
    }


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """The same, with shorter limits."""
    monkeypatch.setattr("voicebridge.trace.store.link.WRITE_S", 0.6)
    monkeypatch.setattr("voicebridge.trace.store.database.CONNECT_S", 2)
    monkeypatch.setattr("voicebridge.trace.store.writer.BACKOFF_S", (0.1, 0.3))
    monkeypatch.setattr("voicebridge.trace.store.writer.REST_S", 0.005)


def wait(store: CallStore, what: str, limit_s: float = 20.0) -> None:
    until = time.monotonic() + limit_s
    while not getattr(store.stats(), what):
        assert time.monotonic() < until, store.stats()
        time.sleep(0.01)


def written_in_order(folder: Path, url: str) -> list[str]:
    """Ids of the calls as the database numbered them."""
    from sqlalchemy import select

    from voicebridge.trace.store import database
    from voicebridge.trace.store.schema import calls

    engine = database.reading(database.address(folder, url))
    with engine.connect() as connection:
        return list(connection.execute(select(calls.c.call_id).order_by(calls.c.id)).scalars())


def all_there(folder: Path, url: str, count: int) -> None:
    assert written_in_order(folder, url) == list(map(call_id, range(count)))
    calls = Calls(folder, url)
    for number in range(count):
        assert calls.record(call_id(number)) == mended("", record(number))


def some(store: CallStore, begin: int, end: int) -> float:
    """How long taking one took at most."""
    worst = 0.0
    for number in range(begin, end):
        began = time.monotonic()
        store.write(call_id(number), record(number))
        worst = max(worst, time.monotonic() - began)
        time.sleep(0.002)
    return worst


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_server_that_is_gone_and_comes_back_costs_no_record(server, postgres, tmp_path, how):
    store = CallStore(tmp_path, keep_days=1, url=postgres)
    store.prepare()
    some(store, 0, 10)
    (server.kill if how == "killed" else server.stop)()
    try:
        worst = some(store, 10, 50)
        wait(store, "spilled")
    finally:
        server.start()
    some(store, 50, 60)
    assert store.flush(20), store.stats()
    all_there(tmp_path, postgres, 60)
    assert worst < 0.5, "taking a record waited for the server"
    assert store.stats().last_error == ""
    store.close()


def test_a_frozen_server_is_given_up_and_costs_no_record(server, postgres, tmp_path):
    store = CallStore(tmp_path, keep_days=1, url=postgres)
    store.prepare()
    some(store, 0, 5)
    assert store.flush()
    server.freeze()
    try:
        worst = some(store, 5, 30)
        wait(store, "spilled")
        assert store.stats().errors >= 1
    finally:
        server.thaw()
    some(store, 30, 35)
    assert store.flush(20), store.stats()
    all_there(tmp_path, postgres, 35)
    assert worst < 0.5, "taking a record waited for the server"
    store.close()


def test_a_daemon_that_starts_while_the_server_is_away_keeps_records_for_it(server, postgres, tmp_path, caplog):
    server.kill()
    try:
        store = CallStore(tmp_path, keep_days=1, url=postgres)
        store.prepare()
        some(store, 0, 5)
        wait(store, "spilled")
        store.close()
        assert len(list((tmp_path / "spill").glob("*.json"))) == 5
        assert mended("", store.read(call_id(3))) == mended("", record(3))
    finally:
        server.start()
    later = CallStore(tmp_path, keep_days=1, url=postgres)
    later.prepare()
    assert later.flush(20)
    all_there(tmp_path, postgres, 5)
    later.close()
    assert "owner" in caplog.text and "number 3" not in caplog.text


def test_tables_that_somebody_has_dropped_are_made_again(server, postgres, tmp_path):
    import psycopg

    store = CallStore(tmp_path, keep_days=1, url=postgres)
    store.prepare()
    some(store, 0, 1)
    assert store.flush()
    with psycopg.connect(postgres.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    some(store, 1, 3)
    assert store.flush(20), store.stats()
    assert written_in_order(tmp_path, postgres) == [call_id(1), call_id(2)]
    store.close()


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1M,mode=700", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"a full disk was NOT tried: no right to mount here ({made.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_costs_no_record(small_disk, caplog):
    store = CallStore(small_disk, keep_days=1)
    store.prepare()
    some(store, 0, 5)
    assert store.flush()
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    some(store, 5, 45)
    wait(store, "last_error")
    time.sleep(0.5)
    stats = store.stats()
    assert stats.queued + stats.spilled + stats.written == 45 and stats.queued > 0 and stats.lost == 0
    assert mended("", store.read(call_id(44))) == mended("", record(44))
    assert list((small_disk / "spill").glob("*.part")) == []
    ballast.unlink()
    some(store, 45, 50)
    assert store.flush(20), store.stats()
    all_there(small_disk, "", 50)
    assert "records stay in memory" in caplog.text
    store.close()
