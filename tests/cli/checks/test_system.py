"""What doctor says of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebridge.cli.checks import system
from voicebridge.config import Config, Listen, Settings, Store
from voicebridge.logins import AriLogin
from voicebridge.operating import Metrics, Web

MEMINFO = "MemTotal: 8000000 kB\nMemAvailable: {} kB\nSwapTotal: 1000000 kB\nSwapFree: 200000 kB\n"


def settings(folder: Path, **config: object) -> Settings:
    return Settings(config=Config(store=Store(dir=folder), **config), agents={}, source=str(folder / "vb.toml"))


@pytest.mark.parametrize(("limit", "state"), [(256, "warn"), (100_000, "ok")])
def test_open_files_are_counted_against_the_calls(tmp_path, limit, state):
    found = system.open_files(settings(tmp_path, listen=Listen(max_calls=100)), limit)
    assert found.state == state
    assert ("LimitNOFILE=1300" in found.cure) == (state == "warn")


@pytest.mark.parametrize(("kib", "state"), [(4_000_000, "ok"), (300_000, "warn"), (50_000, "fail")])
def test_memory_that_runs_out_is_told(kib, state):
    found = system.memory(MEMINFO.format(kib))
    assert found.state == state
    assert "0.8 GB swapped out" in found.found


def test_a_system_without_meminfo_is_no_failure():
    assert system.memory("").state == "skip"


@pytest.mark.parametrize(
    ("told", "state"), [("NTPSynchronized=yes\n", "ok"), ("NTPSynchronized=no\n", "warn"), (None, "skip")]
)
def test_the_clock_is_asked_whether_it_is_synchronised(told, state):
    assert system.time_sync(told).state == state


def test_a_secret_that_everybody_can_read_is_a_failure_with_its_cure(tmp_path):
    secret = tmp_path / "ari.secret"
    secret.write_text("s")
    secret.chmod(0o644)
    wanted = settings(tmp_path, ari=AriLogin(password_file=secret))
    (found,) = system.secrets(wanted)
    assert (found.state, found.cure) == ("fail", f"chmod o-rwx {secret}")
    secret.chmod(0o600)
    (found,) = system.secrets(wanted)
    assert (found.state, "ari.password_file" in found.found) == ("ok", True)


def test_a_password_in_an_open_configuration_is_found(tmp_path):
    (tmp_path / "vb.toml").write_text("[web]\n")
    (tmp_path / "vb.toml").chmod(0o644)
    (found,) = system.secrets(settings(tmp_path, web=Web(password="secret")))
    assert (found.state, "in the configuration" in found.found) == ("fail", True)
    (found,) = system.secrets(settings(tmp_path))
    assert found.state == "ok", "without one it may be read"


def test_what_else_listens_is_judged_by_who_may_connect(tmp_path):
    open_to_all = settings(tmp_path, metrics=Metrics(listen="0.0.0.0:9473", allow=("0.0.0.0/0",)))
    assert [(f.check, f.state) for f in system.exposed(open_to_all)] == [
        ("metrics exposure", "fail"), ("web exposure", "ok"),
    ]  # fmt: skip
    few = settings(tmp_path, metrics=Metrics(listen="0.0.0.0:9473", allow=("192.0.2.7/32",)))
    assert next(iter(system.exposed(few))).found == "0.0.0.0:9473: for 192.0.2.7/32"


@pytest.mark.parametrize(
    ("rules", "state"), [(None, "skip"), ("", "warn"), ("chain input { policy drop; }", "ok")]
)
def test_a_firewall_is_missed_only_where_we_can_be_reached(tmp_path, rules, state):
    listen = Listen(audiosocket="192.0.2.1:9092", fastagi="", allow=("192.0.2.2/32",))
    assert system.firewall(settings(tmp_path, listen=listen), rules).state == state
    assert system.firewall(settings(tmp_path), rules).state == "ok"
