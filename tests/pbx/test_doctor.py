"""doctor against a real Asterisk, asked over AMI, with one thing broken at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pbx.asterisk import Asterisk
from voicebridge.cli.checks import asterisk as checks
from voicebridge.cli.checks.finding import Finding
from voicebridge.config import Config, Settings, Store
from voicebridge.logins import AmiLogin

pytestmark = pytest.mark.asterisk


def examined(asterisk: Asterisk, folder: Path, user: str = "admin", password: str = "") -> dict[str, Finding]:
    login = AmiLogin(address=f"127.0.0.1:{asterisk.ami_port}", user=user, password=password or asterisk.secret)
    settings = Settings(config=Config(store=Store(dir=folder), ami=login), agents={}, source="none")
    return {found.check: found for found in checks.check(settings, None, lambda text: None, audio=False)}


def faults(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.state in ("fail", "warn")]


def test_a_whole_asterisk_is_well(asterisk: Asterisk, tmp_path: Path):
    found = examined(asterisk, tmp_path)
    assert found["asterisk"].state == "ok", found["asterisk"]
    assert found["dialplan"].state == "ok", faults(found)
    assert found["extensions"].state == "ok"
    assert "@" in found["extensions"].found


@pytest.mark.parametrize(
    ("module", "named"),
    [("app_audiosocket", "AudioSocket()"), ("app_exec", "TryExec()"), ("func_dialplan", "DIALPLAN_EXISTS()")],
)
def test_a_module_that_is_not_loaded_is_named_with_its_cure(asterisk: Asterisk, tmp_path: Path, module, named):
    asterisk.cli(f"module unload {module}.so")
    try:
        found = examined(asterisk, tmp_path)
    finally:
        asterisk.cli(f"module load {module}.so")
    assert named in faults(found)
    assert f"module load {module}.so" in found[named].cure
    assert "dialplan" not in found


def test_a_dialplan_that_is_gone_is_named(asterisk: Asterisk, tmp_path: Path):
    asterisk.cli("dialplan remove context voicebridge")
    try:
        found = examined(asterisk, tmp_path)
    finally:
        asterisk.cli("dialplan reload")
    assert found["[voicebridge]"].state == "fail"
    assert "voicebridge dialplan install" in found["[voicebridge]"].cure


def test_a_wrong_password_and_too_few_rights_are_told_apart(asterisk: Asterisk, tmp_path: Path):
    wrong = examined(asterisk, tmp_path, password="no")["asterisk"]
    assert wrong.state == "fail"
    reader = examined(asterisk, tmp_path, user="reader")["asterisk"]
    assert (reader.state, "command" in reader.found + reader.cure) == ("fail", True)
    assert wrong.found != reader.found
