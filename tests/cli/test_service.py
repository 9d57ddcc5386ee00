"""`voicebridge install-service`: the units that are shipped, as they are installed, and whether systemd takes them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from voicebridge.cli import service
from voicebridge.cli.main import main
from voicebridge.config import load

UNITS = "etc/systemd/system"
analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")


def installed(root: Path, *arguments: str) -> str:
    done = CliRunner().invoke(main, ["install-service", "--root", str(root), *arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """With an environment that units can start."""
    (tmp_path / "opt/voicebridge/current/bin").mkdir(parents=True)
    shutil.copy("/bin/true", tmp_path / "opt/voicebridge/current/bin/python")
    return tmp_path


def test_units_start_the_prefix_and_a_configuration_is_written_once(root: Path):
    installed(root, "--prefix", "/srv/vb")
    unit = (root / UNITS / "voicebridge.service").read_text()
    assert "ExecStart=/srv/vb/bin/python -P -m voicebridge run\n" in unit
    assert "/opt/voicebridge/current/bin" not in unit
    config = root / "etc/voicebridge/voicebridge.toml"
    assert str(load(config).config.store.dir) == "/var/lib/voicebridge"
    config.write_text(config.read_text() + "# mine\n")
    assert "kept        " + str(config) in installed(root, "--prefix", "/srv/vb")
    assert "# mine" in config.read_text()


def test_sockets_are_where_the_configuration_wants_them(root: Path):
    config = root / "etc/voicebridge/voicebridge.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[listen]\naudiosocket = "[::1]:9900"\nfastagi = "127.0.0.1:4999"\n')
    installed(root)
    assert "\nListenStream=[::1]:9900\n" in (root / UNITS / "voicebridge.socket").read_text()
    assert "\nListenStream=127.0.0.1:4999\n" in (root / UNITS / "voicebridge-fastagi.socket").read_text()


def test_without_fastagi_there_is_no_socket_for_it(root: Path):
    config = root / "etc/voicebridge/voicebridge.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[listen]\nfastagi = ""\n')
    installed(root)
    assert not (root / UNITS / "voicebridge-fastagi.socket").exists()
    assert "Sockets=voicebridge.socket\n" in (root / UNITS / "voicebridge.service").read_text()


def test_a_dry_run_writes_nothing_and_json_says_the_same(tmp_path: Path):
    told = json.loads(installed(tmp_path, "--dry-run", "--json", "--prefix", "/home/me/venv"))
    assert {each["state"] for each in told["files"]} == {"would write"}
    assert "in a home" in told["problems"][0]
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_that_cannot_be_used_is_told_with_its_line(root: Path):
    config = root / "etc/voicebridge/voicebridge.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[listen]\nmax_calls = "many"\n')
    done = CliRunner().invoke(main, ["install-service", "--root", str(root)])
    assert done.exit_code == 1
    assert "voicebridge.toml:2" in done.output


def test_uninstalling_removes_our_units_and_nobody_elses(root: Path):
    installed(root)
    strange = root / UNITS / "voicebridge-web.service"
    strange.write_text("[Unit]\nDescription=somebody else's\n")
    done = CliRunner().invoke(main, ["uninstall-service", "--root", str(root)])
    assert done.exit_code == 0, done.output
    assert [path.name for path in (root / UNITS).iterdir()] == [strange.name]
    assert (root / "etc/voicebridge/voicebridge.toml").exists()


@pytest.mark.parametrize("layout", ["versions", "alone"])
def test_the_prefix_is_current_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str):
    home = tmp_path / "versions" / "1"
    home.mkdir(parents=True)
    if layout == "versions":
        (tmp_path / "current").symlink_to(home)
    monkeypatch.setattr(sys, "prefix", str(home))
    assert service.own_prefix() == (tmp_path / "current" if layout == "versions" else home)


def test_an_upgrade_moves_current_in_one_step(tmp_path: Path):
    for name in ("1", "2"):
        (tmp_path / "versions" / name / "bin").mkdir(parents=True)
        (tmp_path / "versions" / name / "bin" / "python").touch()
    (tmp_path / "current").symlink_to(tmp_path / "versions" / "1")
    done = CliRunner().invoke(main, ["upgrade-service", str(tmp_path / "versions" / "2")])
    assert (tmp_path / "current").resolve() == tmp_path / "versions" / "2", done.output
    empty = tmp_path / "versions" / "empty"
    empty.mkdir()
    done = CliRunner().invoke(main, ["upgrade-service", str(empty)])
    assert done.exit_code == 1 and "no virtual environment" in done.output
    assert (tmp_path / "current").resolve() == tmp_path / "versions" / "2"


@analyze
def test_systemd_takes_the_units(root: Path):
    """Every line of them is understood by the systemd that is here."""
    installed(root, "--prefix", str(root / "opt/voicebridge/current"))
    units = sorted(str(path) for path in (root / UNITS).iterdir())
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "voicebridge" not in done.stderr, done.stderr


@analyze
@pytest.mark.parametrize("unit", ["voicebridge.service", "voicebridge-web.service"])
def test_the_units_are_hardened(unit: str):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", str(service.SHIPPED / unit)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@analyze
@pytest.mark.parametrize("sample", sorted(path.name for path in (service.SHIPPED / "examples").iterdir()))
def test_drop_ins_fit_their_units(root: Path, sample: str):
    installed(root, "--prefix", str(root / "opt/voicebridge/current"))
    unit = "voicebridge.socket" if sample == "listen.conf" else "voicebridge.service"
    folder = root / UNITS / f"{unit}.d"
    folder.mkdir()
    shutil.copy(service.SHIPPED / "examples" / sample, folder)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(root / UNITS / unit)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert sample not in done.stderr, done.stderr
