"""doctor as an administrator meets it: whole runs on machines that are well and on machines that are not."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from voicebridge.cli.checks import engines
from voicebridge.cli.checks.finding import Finding, timed
from voicebridge.cli.doctor import exit_code, line, verdict
from voicebridge.cli.main import main
from voicebridge.cli.testcall import running_daemon
from voicebridge.trace.rows import Query
from voicebridge.trace.store import Calls

REMOTE = """
[engines]
stt = "wyoming"
tts = "wyoming"
llm = ""
embed = ""
[engines.options.wyoming]
uri = "tcp://127.0.0.1:1"
"""


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """With servers elsewhere, which these tests do not have."""
    monkeypatch.setattr(engines, "REMOTE_READY_S", 0.3)


@pytest.fixture
def taken() -> Iterator[tuple[int, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1], server


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def config(folder: Path, port: int, rest: str = "") -> str:
    """A configuration file whose store is below the folder."""
    file = folder / "voicebridge.toml"
    file.write_text(
        f'[listen]\naudiosocket = "127.0.0.1:{port}"\n[store]\ndir = "{folder / "state"}"\n{rest}', encoding="utf-8"
    )
    return str(file)


def doctor(*arguments: str, **environment: str) -> Result:
    result = CliRunner().invoke(main, ["doctor", *arguments], env=environment)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def findings(result: Result) -> dict[str, dict[str, Any]]:
    """By check; a check that found several things keeps the worst."""
    order = ["ok", "skip", "warn", "fail"]
    rows = sorted(json.loads(result.stdout), key=lambda row: order.index(row["state"]))
    return {row["check"]: row for row in rows}


# ---- whole runs


@pytest.mark.models
def test_a_healthy_machine_is_well_down_to_the_answer_of_a_call(tmp_path: Path, free_port: int) -> None:
    result = doctor("--config", config(tmp_path, free_port), "--json")
    found = findings(result)
    failed = {check: row["found"] for check, row in found.items() if row["state"] == "fail"}
    assert not failed
    assert result.exit_code == 0
    engines = [found[f"engine {kind}"] for kind in ("stt", "llm", "tts", "embed")]
    assert all("ready after" in row["found"] and " ms" in row["found"] and row["seconds"] > 0 for row in engines)
    assert found["self-call: transcript"]["state"] == "ok"
    assert "heard" in found["self-call: greeting"]["found"]
    assert "aim 0.75 s" in found["self-call: answer"]["found"]
    assert "p99" in found["self-call: frames"]["found"]
    assert not (tmp_path / "state").exists(), "doctor made something in the owner's folders"


@pytest.mark.models
def test_a_daemon_that_serves_is_recognised_and_called(tmp_path: Path) -> None:
    with running_daemon() as (port, store):
        file = tmp_path / "voicebridge.toml"
        file.write_text(f'[listen]\naudiosocket = "127.0.0.1:{port}"\n[store]\ndir = "{store}"\n', encoding="utf-8")
        found = findings(doctor("--config", str(file), "--json"))
        records = Calls(store).find(Query()).calls
    assert found["port"]["found"] == f"a voicebridge serves on 127.0.0.1:{port}"
    assert found["engines"]["state"] == "skip"
    assert found["self-call: transcript"]["state"] == "ok"
    assert len(records) == 1, "the test call went elsewhere"


def test_missing_models_are_named_with_the_command_that_fetches_them(tmp_path: Path, free_port: int) -> None:
    result = doctor("--config", config(tmp_path, free_port), VOICEBRIDGE_CACHE=str(tmp_path / "cache"))
    assert result.exit_code == 1
    assert "-> voicebridge models fetch smollm2-135m-instruct\n" in result.stdout
    assert "-> voicebridge models fetch minilm-l6-v2\n" in result.stdout
    assert "skip  engine llm" in result.stdout
    assert "skip  self-call             not made while these fail: models" in result.stdout
    assert not (tmp_path / "cache").exists()


def test_a_port_that_something_else_holds_fails_and_says_how_to_find_it(
    tmp_path: Path, taken: tuple[int, socket.socket]
) -> None:
    port, _ = taken
    result = doctor("--config", config(tmp_path, port, REMOTE), "--json", "--no-call")
    row = findings(result)["port"]
    assert result.exit_code == 1
    assert (row["state"], "says nothing" in row["found"]) == ("fail", True)
    assert f"ss -ltnp 'sport = :{port}'" in row["cure"]
    assert "--listen" in row["cure"]


def test_a_bad_configuration_ends_with_2_and_the_place(tmp_path: Path) -> None:
    file = tmp_path / "voicebridge.toml"
    file.write_text("[listen]\n\nmax_calls = 0\n", encoding="utf-8")
    result = doctor("--config", str(file))
    assert result.exit_code == 2
    assert result.stdout.startswith("FAIL  configuration")
    assert f"{file}:3: listen.max_calls" in result.stdout
    assert findings(doctor("--config", str(file), "--json"))["configuration"]["state"] == "fail"


def test_a_state_folder_that_cannot_be_is_a_failure(tmp_path: Path, free_port: int) -> None:
    (tmp_path / "state").write_text("not a folder", encoding="utf-8")
    result = doctor("--config", config(tmp_path, free_port, REMOTE), "--json", "--no-call")
    row = findings(result)["state folder"]
    assert result.exit_code == 1
    assert (row["state"], row["found"]) == ("fail", f"{tmp_path}/state: {tmp_path}/state is not a folder")
    assert "[store] dir" in row["cure"]


def test_an_engine_on_another_machine_that_is_not_there_is_told_soon(tmp_path: Path, free_port: int) -> None:
    result = doctor("--config", config(tmp_path, free_port, REMOTE), "--json")
    found = findings(result)
    assert result.exit_code == 1
    assert found["engine stt"]["found"] == "wyoming is not there: nothing answers at tcp://127.0.0.1:1"
    assert "engine llm" not in found
    assert found["self-call"]["state"] == "skip"


def test_a_call_that_is_not_wanted_is_not_made(tmp_path: Path, free_port: int) -> None:
    found = findings(doctor("--config", config(tmp_path, free_port, REMOTE), "--json", "--no-call"))
    assert found["self-call"]["found"] == "not wanted (--no-call)"


# ---- its lines


def test_a_line_has_the_state_the_check_what_was_found_and_the_cure_below() -> None:
    text = line(Finding("models", "fail", "one is missing", "voicebridge models fetch one")).plain
    first, second = text.split("\n")
    assert first == "FAIL  models                one is missing"
    assert second.strip() == "-> voicebridge models fetch one"
    assert line(Finding("disk", "ok", "9 [GB] free")).plain.endswith("9 [GB] free"), "taken for markup"


def test_the_exit_code_is_for_monitoring() -> None:
    assert exit_code([Finding("disk", "ok", ""), Finding("port", "warn", ""), Finding("self-call", "skip", "")]) == 0
    assert exit_code([Finding("disk", "ok", ""), Finding("port", "fail", "")]) == 1
    assert exit_code([Finding("configuration", "fail", "")]) == 2


def test_the_verdict_counts() -> None:
    ok, warn, fail = Finding("a", "ok", ""), Finding("b", "warn", ""), Finding("c", "fail", "")
    assert verdict([ok, Finding("d", "skip", "")]) == "all is well"
    assert verdict([ok, warn, fail, fail]) == "2 failures, 1 warning"


def test_a_check_without_a_time_of_its_own_gets_the_time_it_took() -> None:
    own, measured = timed([Finding("a", "ok", "", seconds=9.0), Finding("b", "ok", "")])
    assert own.seconds == 9.0
    assert 0 <= measured.seconds < 1
