"""`voicebridge load` where it cannot be: every cause with its cure, and not the exit code of lost callers."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from voicebridge.cli.main import main
from voicebridge.load import run as running
from voicebridge.load import sipp


def load(*arguments: str):
    return CliRunner().invoke(main, ["load", *arguments])


def test_without_sipp_the_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sipp.shutil, "which", lambda name: None)
    done = load("sip:100@127.0.0.1:5999", "--duration", "1")
    assert done.exit_code == 2
    assert "sip-tester" in done.output


def test_a_pbx_that_says_nothing_is_told_soon(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(running, "SILENT_PBX_S", 0.5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        port = mute.getsockname()[1]
        done = load(f"sip:100@127.0.0.1:{port}", "--duration", "60", "--rate", "10")
    assert done.exit_code == 2
    assert f"nothing answers SIP over UDP on 127.0.0.1:{port}" in done.output


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("100@pbx",), "sip:EXTENSION@HOST"),
        (("sip:100@127.0.0.1", "--profile", "rude"), "profile 'rude'"),
        (("sip:100@127.0.0.1", "--header", "oops"), "lacks a colon"),
        (("sip:100@host.invalid",), "host.invalid cannot be reached"),
    ],
    ids=["target", "profile", "header", "host"],
)
def test_a_wrong_order_is_refused(arguments: tuple[str, ...], cause: str):
    done = load(*arguments)
    assert done.exit_code == 2
    assert cause in done.output


def test_a_folder_without_voices_is_refused(tmp_path: Path):
    done = load("sip:100@127.0.0.1", "--voices", str(tmp_path))
    assert done.exit_code == 2
    assert "holds no .wav files" in done.output
