"""The shipped units under a systemd that has booted: started, reloaded, killed, frozen, upgraded, under calls.

It takes root, systemd-nspawn and an overlay. Where that is not to be had these tests are skipped, and say why.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

import pytest

from tests.pbx.install import Unavailable, provide
from tests.service.booted import Booted, CannotBoot

pytestmark = [pytest.mark.asterisk, pytest.mark.models, pytest.mark.timeout(400)]
SOON_S = 60.0


@pytest.fixture(scope="module")
def booted() -> Iterator[Booted]:
    if os.environ.get("VOICEBRIDGE_BOOT") != "1":
        pytest.skip("BOOTS A SYSTEMD: make service-test runs this (VOICEBRIDGE_BOOT=1)")
    try:
        provide()
        made = Booted().__enter__()
    except (CannotBoot, Unavailable) as why:
        pytest.skip(f"NO BOOTED SYSTEMD: {why}")
    try:
        made.run("systemctl", "enable", "--now", "voicebridge-fastagi.socket", "voicebridge.socket",
                 "voicebridge.service")  # fmt: skip
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def running(booted: Booted) -> None:
    """Each test begins with a service that takes calls, and with its start limit unused."""
    booted.run("systemctl", "reset-failed", "voicebridge.service")
    booted.run("systemctl", "start", "voicebridge.service")
    booted.until("StatusText", "taking calls", SOON_S)


def test_it_serves_as_a_user_of_its_own_with_everything_hardened(booted: Booted):
    assert (booted.show("ActiveState"), booted.show("SubState")) == ("active", "running")
    (daemon,) = booted.daemons()
    assert int(booted.run("stat", "-c", "%u", f"/proc/{daemon}")) >= 61184  # systemd's range of dynamic users
    status = booted.run("cat", f"/proc/{daemon}/status")
    assert "NoNewPrivs:\t1" in status and "Seccomp:\t2" in status and "CapEff:\t0000000000000000" in status
    booted.run("systemd-analyze", "security", "--no-pager", "--threshold=15", "voicebridge.service")


def test_a_reload_answers_and_changes_no_process(booted: Booted):
    before = booted.daemons()
    booted.run("systemctl", "reload", "voicebridge", limit_s=30)
    booted.until("StatusText", "taking calls")
    assert booted.show("ActiveState") == "active"
    assert booted.daemons() == before


def test_a_parent_that_is_killed_is_started_again(booted: Booted):
    parent = booted.show("MainPID")
    booted.run("kill", "-KILL", parent)
    booted.until("StatusText", "taking calls", SOON_S)
    assert booted.show("MainPID") not in (parent, "0")


def test_a_frozen_parent_is_killed_by_the_watchdog(booted: Booted):
    parent, restarts = booted.show("MainPID"), int(booted.show("NRestarts"))
    booted.run("kill", "-STOP", parent)
    until = time.monotonic() + SOON_S
    while int(booted.show("NRestarts")) == restarts:
        assert time.monotonic() < until, booted.journal()
        time.sleep(0.5)
    booted.until("StatusText", "taking calls", SOON_S)
    assert "Watchdog timeout" in booted.journal(200)


def test_without_ears_the_watchdog_is_not_fed_and_all_is_started_again(booted: Booted):
    """The recogniser's program is made useless while the daemon serves: its worker dies and cannot come back."""
    restarts = int(booted.show("NRestarts"))
    broken = "/opt/voicebridge/versions/1/lib/broken"
    engines = "/opt/voicebridge/versions/1/lib/*/site-packages/voicebridge/engines"
    source = booted.run("bash", "-c", f"ls {engines}/moonshine.py").strip()
    booted.run("mv", source, broken)
    try:
        booted.run("pkill", "-KILL", "-f", "engines.moonshine:ENGINE")
        booted.until("StatusText", "no engine is ready for: stt", SOON_S)
        until = time.monotonic() + SOON_S
        while int(booted.show("NRestarts")) == restarts:
            assert time.monotonic() < until, booted.journal()
            time.sleep(0.5)
    finally:
        booted.run("mv", broken, source)
    booted.run("systemctl", "reset-failed", "voicebridge.service")
    booted.run("systemctl", "restart", "voicebridge.service")
    booted.until("StatusText", "taking calls", SOON_S)


def test_an_upgrade_and_a_roll_back_go_from_version_to_version_below_one_parent(booted: Booted):
    parent = booted.show("MainPID")
    for version in ("2", "1"):
        (before,) = booted.daemons()
        booted.run("/opt/voicebridge/current/bin/python", "-P", "-m", "voicebridge", "upgrade-service",
                   f"/opt/voicebridge/versions/{version}")  # fmt: skip
        until = time.monotonic() + SOON_S
        while before in (now := booted.daemons()) or len(now) != 1:
            assert time.monotonic() < until, booted.journal()
            time.sleep(0.3)
        assert f"/versions/{version}/" in booted.run("cat", f"/proc/{now[0]}/cmdline")
    assert booted.show("MainPID") == parent


def test_a_version_that_does_not_start_changes_nothing(booted: Booted):
    before = booted.daemons()
    booted.run("mkdir", "-p", "/opt/voicebridge/versions/bad/bin")
    booted.run("ln", "-sf", "/bin/false", "/opt/voicebridge/versions/bad/bin/python")
    booted.run("/opt/voicebridge/versions/1/bin/python", "-P", "-m", "voicebridge", "upgrade-service",
               "/opt/voicebridge/versions/bad")  # fmt: skip
    booted.until("StatusText", "handover failed", SOON_S)
    assert booted.daemons() == before
    booted.run("ln", "-sfn", "/opt/voicebridge/versions/1", "/opt/voicebridge/current")
    booted.run("systemctl", "restart", "voicebridge.service")


@pytest.mark.parametrize("way", ["restart", "handover", "kill"])
def test_with_calls_coming_nobody_is_refused_and_nobody_is_lost(booted: Booted, way: str):
    booted.python("-m", "bench.restart", "--unit", "--ways", way, "--seconds", "18", "--hold", "4", "--json",
                  f"/run/{way}.json", limit_s=200)  # fmt: skip
    calls = json.loads(booted.run("cat", f"/run/{way}.json"))[way]
    ends = [call["end"] for call in calls]
    print(way, {end: ends.count(end) for end in set(ends)}, "longest wait", max(call["waited"] or 0 for call in calls))
    assert len(calls) >= 15
    assert "refused" not in ends and "lost" not in ends, booted.journal(200)
    assert any(call["before"] for call in calls)


def test_a_configuration_that_cannot_be_used_sends_callers_to_their_fallback(booted: Booted):
    """Whoever waits at the socket is not left there: AGI() would wait for ever."""
    booted.run("cp", "/etc/voicebridge/voicebridge.toml", "/run/good.toml")
    booted.run("systemctl", "stop", "voicebridge.service")
    try:
        booted.run("bash", "-c", "echo 'spoilt [' > /etc/voicebridge/voicebridge.toml")
        asks = "import socket; s = socket.create_connection(('127.0.0.1', 4573), 5); s.settimeout(30); print(s.recv(1))"
        assert "b''" in booted.run("/opt/voicebridge/current/bin/python", "-c", asks)
    finally:
        booted.run("cp", "/run/good.toml", "/etc/voicebridge/voicebridge.toml")
        booted.run("systemctl", "reset-failed", "voicebridge.service", "voicebridge-fastagi.socket")
        booted.run("systemctl", "start", "voicebridge-fastagi.socket", "voicebridge.socket")
