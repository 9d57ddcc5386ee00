"""`voicebridge plugins ls|check` with a real package of a stranger, installed beside ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """
from voicebridge.tools import tool

@tool(idempotent=True)
async def tide(harbour: str) -> str:
    "Tell when the tide is high.\\n\\nharbour: its name"
    return f"High tide at {harbour} is at noon."
"""


def package(folder: Path, name: str, module: str, text: str, points: str) -> Path:
    """An installed distribution, as `pip install --target` leaves it."""
    info = folder / f"{module}-0.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.3\n")
    (info / "entry_points.txt").write_text(points)
    (folder / f"{module}.py").write_text(text)
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    points = "[voicebridge.tools]\ntide = vb_tides:tide\n"
    return package(tmp_path_factory.mktemp("site"), "vb-tides", "vb_tides", GOOD, points)


def voicebridge(*arguments: str, path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "import sys; sys.path.append(sys.argv.pop(1)); from voicebridge.cli.main import main; main()"
    command = [sys.executable, "-c", code, str(path), "plugins", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)


def written(folder: Path, text: str = "", agent: str = "") -> str:
    (folder / "agents").mkdir(exist_ok=True)
    (folder / "voicebridge.toml").write_text(text)
    (folder / "agents" / "desk.toml").write_text(f'greeting = "Hi."\n{agent}')
    return str(folder / "voicebridge.toml")


def test_a_stranger_s_package_is_listed_with_its_version_and_what_it_gives(installed, tmp_path):
    done = voicebridge("ls", "--json", path=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {(row["kind"], row["name"]): row for row in json.loads(done.stdout)}
    assert rows["tools", "tide"] == {
        "kind": "tools", "name": "tide", "package": "vb-tides", "version": "0.3", "state": "ok", "gives": ["tide"],
        "why": "",
    }  # fmt: skip
    assert rows["tools", "take_message"]["package"] == "voicebridge-pbx"
    assert {kind for kind, _ in rows} == {"stt", "llm", "tts", "embed", "turn", "tools", "fallbacks", "events"}
    assert "vb-tides" in voicebridge("ls", path=installed, cwd=tmp_path).stdout


def test_check_is_content_when_an_agent_uses_it(installed, tmp_path):
    config = written(tmp_path, agent='tools = ["tide"]')
    done = voicebridge("check", "-c", config, path=installed, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "no problems" in done.stdout


def test_check_fails_when_an_agent_wants_what_is_not_there(installed, tmp_path):
    config = written(tmp_path, agent='tools = ["tides"]')
    done = voicebridge("check", "-c", config, "--json", path=installed, cwd=tmp_path)
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert not told["ok"]
    assert "agent desk: tools: there is no tool 'tides'; there are:" in told["problems"][0]
    assert ", tide" in told["problems"][0]


def test_a_broken_package_is_refused_by_name_and_check_fails(tmp_path):
    points = "[voicebridge.tools]\nbad = vb_broken:bad\n[voicebridge.tts]\nno = vb_broken:no\n"
    text = "from voicebridge.tools import tool\nno = 3\n@tool\nasync def bad(x) -> None: ...\n"
    package(tmp_path / "site", "vb-broken", "vb_broken", text, points)
    done = voicebridge("check", path=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 1
    assert "tools plug-in 'bad' of package vb-broken does not load" in done.stdout
    assert "parameter 'x': has no type hint" in done.stdout
    done = voicebridge("ls", "--json", path=tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 0
    states = {(row["kind"], row["name"]): row["state"] for row in json.loads(done.stdout)}
    assert states["tools", "bad"] == "refused"
    assert states["tools", "take_message"] == states["tts", "espeak"] == "ok"


def test_an_engine_that_makes_nothing_is_refused(tmp_path):
    package(tmp_path, "vb-mute", "vb_mute", "X = 3\n", "[voicebridge.tts]\nmute = vb_mute:X\n")
    done = voicebridge("check", path=tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "tts engine 'mute' of package vb-mute: a int without create(options)" in done.stdout


def test_settings_for_what_is_not_installed_are_a_bad_configuration(tmp_path):
    config = written(tmp_path, "[tools.tide]\nharbour = 1\n")
    done = voicebridge("check", "-c", config, path=tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "[tools.tide]: no plug-in of that name is installed" in done.stderr


def test_settings_that_cannot_work_are_told_with_the_tool(tmp_path):
    config = written(tmp_path, '[tools.http_request.order]\nurl = "https://{host}/"\n')
    done = voicebridge("check", "-c", config, path=tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "'http_request' of package voicebridge-pbx: [tools.http_request]: order: url:" in done.stdout
