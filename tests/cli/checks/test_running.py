"""What doctor says of a running daemon, of the store and of the service."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from voicebridge.cli.checks import running
from voicebridge.config import Config, Settings, Store
from voicebridge.control.place import socket_path
from voicebridge.trace.store import CallStore

STATUS = {
    "version": "0.1.0", "pid": 7, "started_at": 1_700_000_000.0, "ready": True, "draining": False, "calls": 2,
    "max_calls": 50, "agents": ["demo"], "engines": {"moonshine": {"state": "ready", "restarts": 0, "last_error": ""}},
    "clock": {"late_p99_ms": 1.2, "late_max_ms": 4.0}, "store": {}, "reloads": 0,
}  # fmt: skip


def settings(folder: Path, **store: object) -> Settings:
    return Settings(config=Config(store=Store(dir=folder, **store)), agents={}, source="none")


@contextmanager
def daemon(wanted: Settings, status: dict) -> Iterator[None]:
    """The wire of one that tells this of itself, once."""
    path = socket_path(wanted.config)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen()

        def answer() -> None:
            link, _ = door.accept()
            with link:
                link.recv(4096)
                body = json.dumps(status).encode()
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                             b"Content-Length: %d\r\n\r\n%s" % (len(body), body))  # fmt: skip

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield
        thread.join(5)


def changed(**fields: object) -> dict:
    return {**STATUS, **fields}


@pytest.mark.parametrize(
    ("status", "state", "words"),
    [
        (STATUS, "ok", "2 of 50 calls"),
        (changed(draining=True), "warn", "no new calls"),
        (changed(ready=False), "warn", "not ready yet"),
        (changed(calls=50), "warn", "full"),
    ],
    ids=["well", "draining", "starting", "full"],
)
def test_how_a_daemon_stands_is_told(tmp_path, status, state, words):
    with daemon(settings(tmp_path), status):
        found = next(iter(running.daemon(settings(tmp_path))))
    assert (found.check, found.state) == ("daemon", state)
    assert words in found.found


def test_a_broken_engine_and_a_late_clock_are_named(tmp_path):
    engines = {
        "espeak": {"state": "pausing", "restarts": 4, "last_error": "exited with status 1"},
        "moonshine": {"state": "ready", "restarts": 2, "last_error": "killed by SIGSEGV"},
    }
    status = changed(engines=engines, clock={"late_p99_ms": 31.0, "late_max_ms": 300.0})
    with daemon(settings(tmp_path), status):
        found = {f.check: f for f in running.daemon(settings(tmp_path))}
    assert (found["engine espeak"].state, "exited with status 1" in found["engine espeak"].found) == ("fail", True)
    assert (found["engine moonshine"].state, "SIGSEGV" in found["engine moonshine"].found) == ("warn", True)
    assert found["media clock"].state == "warn"


def test_without_a_daemon_nothing_is_wrong(tmp_path):
    (found,) = running.daemon(settings(tmp_path))
    assert found.state == "skip"


def test_a_store_that_is_well_and_one_that_waits(tmp_path):
    store = CallStore(tmp_path, keep_days=30)
    store.prepare()
    call_id = "00000000-0000-4000-8000-000000000001"
    store.write(call_id, {"call_id": call_id, "agent": "a", "began_at": time.time(), "seconds": 1.0, "turns": []})
    assert store.flush()
    store.close()
    found = {f.check: f for f in running.store(settings(tmp_path))}
    assert found["store"].state == "ok", found
    assert "1 calls" in found["store"].found
    assert "1 calls a day" in found["retention"].found
    unreachable = settings(tmp_path, url="postgresql+psycopg://nobody@127.0.0.1:9/none")
    (problem, *_) = running.store(unreachable)
    assert (problem.check, problem.state) == ("store", "fail")


def test_a_store_that_is_not_there_yet_is_none_of_doctors_worries(tmp_path):
    (found,) = running.store(settings(tmp_path / "new"))
    assert found.state == "ok"


def test_a_unit_without_watchdog_is_found(tmp_path):
    assert running.unit((tmp_path,)).state in ("warn", "skip")
    unit = tmp_path / "voicebridge.service"
    unit.write_text("[Service]\nType=simple\n")
    states = {running.unit((tmp_path,)).state}
    unit.write_text("[Service]\nType=notify\nWatchdogSec=10\n")
    states.add(running.unit((tmp_path,)).state)
    assert states in ({"warn", "ok"}, {"skip"})
