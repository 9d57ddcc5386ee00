"""docs/troubleshooting.md names only commands, options and checks that there are."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from voicebridge.cli.main import main

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs/troubleshooting.md").read_text(encoding="utf-8")
CHECKS = "\n".join(file.read_text(encoding="utf-8") for file in (REPOSITORY / "voicebridge/cli").rglob("*.py"))


def commands() -> list[str]:
    """What begins with `voicebridge` in code, up to its end."""
    blocks = re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", TEXT)
    return sorted({text for text in (*lines, *inline) if text.startswith("voicebridge ")})


def resolved(text: str) -> tuple[click.Command, list[str]]:
    command: click.Command = main
    words = text.split()[1:]
    while words and isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"{text}: there is no {words[0]!r}"
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("text", commands())
def test_a_command_is_there_with_its_options(text: str):
    command, words = resolved(text)
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in words:
        assert not word.startswith("--") or word in known, f"{text}: no {word}"


def test_there_are_enough_commands_for_the_test_to_mean_something():
    assert len(commands()) > 15


@pytest.mark.parametrize("check", sorted(set(re.findall(r"--only ([a-z-]+)", TEXT))))
def test_a_check_that_is_named_is_doctors(check: str):
    assert re.search(rf'"{check}[ :"]', CHECKS), check


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", TEXT))))
def test_a_link_leads_somewhere(link: str):
    assert (REPOSITORY / "docs" / link).exists()
