"""The README's agent, configuration and scenario, as somebody copies them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from voicebridge.cli.main import main

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What stands in the README below its names; the scenario beside its agent."""
    (tmp_path / "agents").mkdir()
    blocks = re.findall(r"^```(toml|yaml)\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (scenario,) = [text for kind, text in blocks if kind == "yaml"]
    (tmp_path / "agents/desk.test.yaml").write_text(scenario, encoding="utf-8")
    for kind, text in blocks:
        if kind == "toml":
            name = text.splitlines()[0].removeprefix("# /etc/voicebridge/")
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_the_agent_fits_its_tools(folder: Path):
    done = CliRunner().invoke(main, ["plugins", "check", "-c", str(folder / "voicebridge.toml")])
    assert (done.exit_code, done.output.splitlines()[-1][-11:]) == (0, "no problems"), done.output


def test_its_scenario_passes(folder: Path):
    arguments = ["test", "-c", str(folder / "voicebridge.toml"), str(folder / "agents/desk.toml")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "1 passed" in done.output


def test_who_asks_for_saturday_hears_of_saturday(folder: Path):
    calls = """
agent: desk
calls:
  - name: saturday
    steps:
      - caller: when are you open on Saturday
        expect: {says: closed on saturday}
"""
    (folder / "hours.test.yaml").write_text(calls, encoding="utf-8")
    done = CliRunner().invoke(main, ["test", "-c", str(folder / "voicebridge.toml"), str(folder / "hours.test.yaml")])
    assert done.exit_code == 0, done.output
