"""The command itself: what it offers, what it logs, and that it starts quickly enough to be typed."""

from __future__ import annotations

import logging
import subprocess
import sys
from importlib import metadata

import pytest
from click.testing import CliRunner

from voicebridge.cli.main import main

COMMANDS = {"run", "call", "demo", "doctor", "models", "replay", "completion"}


def test_every_command_stands_in_the_help_with_a_sentence():
    done = CliRunner().invoke(main, ["--help"])
    assert done.exit_code == 0
    assert set(main.commands) >= COMMANDS
    for name in COMMANDS:
        assert main.commands[name].get_short_help_str(), name
        assert f"  {name}" in done.output


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_explains_itself(name):
    done = CliRunner().invoke(main, [name, "--help"])
    assert done.exit_code == 0
    assert f"main {name}" in done.output


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "voicebridge", "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == f"voicebridge, version {metadata.version('voicebridge-pbx')}"


def test_the_help_needs_no_engine():
    heavy = {"xllamacpp", "moonshine_voice", "espeakng_loader", "onnxruntime"}
    code = f"import sys, voicebridge.cli.main; print(sorted({heavy!r} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"


def test_an_unknown_command_or_level_is_exit_code_2():
    assert CliRunner().invoke(main, ["sing"]).exit_code == 2
    assert CliRunner().invoke(main, ["--log-level", "loud", "models", "ls"]).exit_code == 2


@pytest.mark.parametrize(("shell", "mark"), [("bash", "complete"), ("zsh", "#compdef"), ("fish", "complete")])
def test_completion_is_printed_for_each_shell(shell, mark):
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == 0
    assert mark in done.output and "_VOICEBRIDGE_COMPLETE" in done.output


def test_libraries_that_log_every_request_are_quiet():
    CliRunner().invoke(main, ["--log-level", "debug", "models", "ls", "--json"])
    for name in ("httpx", "httpcore", "wyoming", "asyncio"):
        assert logging.getLogger(name).getEffectiveLevel() >= logging.WARNING
