"""What `voicebridge call --sip` is given, what it says of it, and which record it takes for its call's."""

from __future__ import annotations

import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from voicebridge.cli import sipcall, testcall
from voicebridge.cli.main import main
from voicebridge.cli.sipcall import Placed, record_of
from voicebridge.phone import Heard
from voicebridge.trace.store import CallStore

TARGET = "sip:100@127.0.0.1"
OURS, OTHERS = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
LINE = {"codec": "PCMA", "answered_s": 1.26, "packets": 500, "lost": 2, "reordered": 1, "jitter_s": 0.0042}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--user", "ann"], "are for --sip"),
        (["--sip", TARGET, "--to", "127.0.0.1:9"], "either --to"),
        (["--sip", TARGET, "--rate", "16000"], "G.711"),
        (["--sip", TARGET, "--register"], "want --user"),
        (["--sip", TARGET, "--user", "ann", "--password-env", "VB_NO_SUCH_VARIABLE"], "no such variable"),
        (["--sip", "100@pbx"], "sip:EXTENSION@HOST"),
        (["--sip", TARGET, "--user", "ann@home"], "cannot be a SIP user"),
        (["--sip", TARGET, "--header", "nonsense"], "is no header"),
        (["--sip", "sip:100@[::1]"], "knows no IPv6"),
    ],
    ids=["alone", "both", "rate", "register", "variable", "target", "user", "header", "v6"],
)
def test_what_does_not_go_together_is_told(arguments: list[str], why: str):
    done = CliRunner().invoke(main, ["call", *arguments])
    assert done.exit_code == 1
    assert why in done.output and "Traceback" not in done.output


def test_nobody_there_is_told_with_the_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    done = CliRunner().invoke(main, ["call", "--sip", f"{TARGET}:{port}"])
    assert done.exit_code == 1
    assert f"nothing listens on 127.0.0.1:{port} (UDP)" in done.output


def test_without_the_extra_the_command_that_installs_it_is_told(monkeypatch):
    for name in [*sys.modules]:
        if name == "pyVoIP" or name.startswith(("pyVoIP.", "voicebridge.sip")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyVoIP", None)
    done = CliRunner().invoke(main, ["call", "--sip", TARGET])
    assert done.exit_code == 1
    assert "pip install" in done.output and "[sip]" in done.output


@pytest.fixture
def settings(tmp_path: Path, monkeypatch) -> SimpleNamespace:
    monkeypatch.setattr(testcall, "RECORD_WAIT_S", 0.3)
    return SimpleNamespace(config=SimpleNamespace(store=SimpleNamespace(dir=tmp_path, url="")))


def kept(folder: Path, records: dict[str, tuple[float, float]]) -> None:
    """Records by id: when each began and how long it was."""
    store = CallStore(folder, keep_days=1)
    store.prepare()
    for name, (began, seconds) in records.items():
        store.write(name, {"call_id": name, "agent": "desk", "began_at": began, "seconds": seconds, "turns": []})
    assert store.flush()
    store.close()


def placed(began: float, seconds: float) -> Placed:
    heard = Heard(OURS, 8_000)
    heard.seconds = seconds
    return Placed(heard, dict(LINE), began)


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ({OURS: (1.9, 5.0), OTHERS: (0.0, 10.0)}, OURS),
        ({OTHERS: (0.5, 9.0)}, OTHERS),
        ({OTHERS: (0.0, 60.0)}, None),
        ({OTHERS: (5.0, 5.0)}, None),
        ({}, None),
    ],
    ids=["by-id", "by-time", "longer", "later", "none"],
)
def test_the_record_is_ours_by_its_id_or_by_its_times(settings, tmp_path: Path, others, found):
    now = time.time() - 100
    kept(tmp_path, {name: (now + at, seconds) for name, (at, seconds) in others.items()})
    record = record_of(settings, placed(now, 10.0))
    assert (record["call_id"] if record else None) == found


def test_without_a_store_there_is_no_record(settings):
    assert record_of(settings, placed(time.time(), 1.0)) is None


def test_the_line_is_told_in_words():
    assert sipcall.told(LINE) == (
        "answered after 1.3 s; PCMA: 500 packets received, 2 lost, 1 out of order, jitter at most 4.2 ms"
    )
