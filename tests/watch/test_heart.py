"""What the daemon's heart writes in each phase, with the real media clock."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from voicebridge.audio.clock import Ticker
from voicebridge.watch.heart import EVERY_S, STALE_S, VARIABLE, Heart
from voicebridge.watch.notify import Notify


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The parent's end; the other is inherited."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    os.set_inheritable(theirs, True)
    monkeypatch.setenv(VARIABLE, str(theirs))
    yield ours
    os.close(ours)
    os.close(theirs)


def beats(pipe: int) -> str:
    try:
        return os.read(pipe, 65536).decode()
    except BlockingIOError:
        return ""


async def test_each_phase_has_its_byte(pipe):
    ticker = Ticker()
    heart = Heart.inherited(ticker)
    heart.start()
    await asyncio.sleep(2 * EVERY_S)
    assert set(beats(pipe)) == {"s"}
    ticker.start()
    await asyncio.sleep(2 * EVERY_S)
    assert beats(pipe).endswith("t")
    heart.ready()
    assert beats(pipe).endswith("r")
    await asyncio.sleep(2 * EVERY_S)
    assert set(beats(pipe)) == {"t"}
    ticker.stop()
    await asyncio.sleep(2 * EVERY_S)
    assert beats(pipe).endswith("e")


async def test_a_media_clock_that_stands_still_is_no_heartbeat_though_the_event_loop_runs(pipe):
    class Standing:
        running = True
        last_tick = time.monotonic() - STALE_S - 0.1

    clock = Standing()
    heart = Heart.inherited(clock)
    heart.start()
    await asyncio.sleep(2 * EVERY_S)
    assert beats(pipe) == ""
    clock.last_tick = time.monotonic()
    await asyncio.sleep(1.5 * EVERY_S)
    assert beats(pipe) != ""


async def test_a_blocked_event_loop_is_no_heartbeat(pipe):
    ticker = Ticker()
    ticker.start()
    Heart.inherited(ticker).start()
    await asyncio.sleep(EVERY_S)
    beats(pipe)
    time.sleep(3 * EVERY_S)  # noqa: ASYNC251 - that is what is tried
    assert beats(pipe) == ""
    ticker.stop()


def test_the_pipe_is_not_handed_on_to_workers(pipe):
    fd = int(os.environ[VARIABLE])
    assert os.get_inheritable(fd)
    assert Heart.inherited(Ticker()).watched
    assert not os.get_inheritable(fd)
    assert VARIABLE not in os.environ


async def test_a_parent_that_does_not_read_or_is_gone_disturbs_nobody(monkeypatch):
    ours, theirs = os.pipe()
    monkeypatch.setenv(VARIABLE, str(theirs))
    heart = Heart.inherited(Ticker())
    with pytest.raises(BlockingIOError):
        while True:
            os.write(theirs, bytes(4096))
    heart.ready()
    os.close(ours)
    heart.ready()
    os.close(theirs)


async def test_without_a_parent_systemd_is_told_by_the_daemon_itself(monkeypatch, tmp_path: Path):
    monkeypatch.delenv(VARIABLE, raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(1.0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "600000")
        ticker = Ticker()
        heart = Heart.inherited(ticker)
        assert not heart.watched
        heart.start()
        assert systemd.recv(100) == b"WATCHDOG=1"
        ticker.start()
        heart.ready()
        assert b"READY=1" in systemd.recv(100)
        await asyncio.sleep(2 * EVERY_S)
        assert systemd.recv(100) == b"WATCHDOG=1"
        ticker.stop()
        await asyncio.sleep(2 * EVERY_S)
        told = b""
        while b"STOPPING=1" not in told:
            told = systemd.recv(100)


def test_an_abstract_socket_is_reached():
    name = f"voicebridge-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + name)
        systemd.settimeout(1.0)
        Notify(f"@{name}").tell("READY=1", "STATUS=so far, so good")
        assert systemd.recv(100) == b"READY=1\nSTATUS=so far, so good"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_error(address):
    Notify(address).tell("READY=1")


def test_a_watchdog_that_is_meant_for_another_process_is_not_fed():
    given = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}
    assert Notify.taken(given).watchdog_s == 0.0
    assert given == {}
    mine = {"NOTIFY_SOCKET": "/run/notify", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
    assert Notify.taken(mine).watchdog_s == 30.0
