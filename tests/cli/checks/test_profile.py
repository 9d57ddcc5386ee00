"""`doctor --profile`: what it measures with, and what it prints."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import pytest
from click.testing import CliRunner

from voicebridge.cli.checks import profile
from voicebridge.cli.checks.advice import Machine, advise
from voicebridge.cli.main import main
from voicebridge.engines.trial import Trial
from voicebridge.modelstore.catalogue import catalogue

MEMINFO = "MemTotal:       24000000 kB\nMemFree:        20000000 kB\n"
TRIALS = (
    Trial("stt", "moonshine", load_s=0.7, rss_mb=320.0, first_p50_s=0.12, factor=0.05, at_once=8, more=True),
    Trial("llm", "llama_server", load_s=0.9, first_p50_s=0.08, per_s=100.0, at_once=1, more=True),
    Trial("tts", "espeak", error="tts espeak: unreachable"),
)


@pytest.mark.parametrize(
    ("limit", "megabytes"), [(None, 24576), ("max\n", 24576), ("2000000000\n", 2000)], ids=["none", "max", "less"]
)
def test_memory_is_the_machines_or_the_containers(tmp_path, limit, megabytes):
    (tmp_path / "meminfo").write_text(MEMINFO)
    if limit is not None:
        (tmp_path / "max").write_text(limit)
    found = profile.machine(tmp_path / "meminfo", tmp_path / "max")
    assert found.memory_mb == megabytes
    assert found.cores >= 1 and found.load >= 0


def text(machine: Machine) -> str:
    return "\n".join(profile.report(machine, TRIALS, advise(machine, TRIALS, catalogue(), "en", 2), "en"))


def test_the_report_tells_what_was_measured_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path))
    shown = text(Machine(2, 24_000))
    row = "ready after 0.7 s, first output 120 ms, 0.05 of real time, 8 or more at once, 320 MB"
    assert f"  stt   moonshine     {row}" in shown
    assert "  tts   espeak        not measured: tts espeak: unreachable" in shown
    assert "voicebridge models fetch en_US-ljspeech-medium" in shown
    assert shown.count("its first words would take") <= 3
    pasted = shown.partition("in voicebridge.toml:")[2].partition("This is an estimate")[0]
    assert tomllib.loads(pasted)["engines"]["llm"] == "llama_server"
    assert "busy" not in shown


def test_a_busy_machine_is_told(tmp_path):
    assert "It is busy (load 3.0)" in text(replace(Machine(2, 24_000), load=3.0))


async def test_an_engine_that_cannot_be_made_is_not_measured_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path))
    monkeypatch.setattr(profile, "_embedded", lambda kind: "llama_server" if kind == "llm" else "no_such_engine")
    trials = await profile.measure(1.0, lambda text: None)
    assert [trial.kind for trial in trials] == ["stt", "llm", "tts", "embed"]
    assert all(trial.error for trial in trials)
    assert "run: voicebridge models fetch smollm2-135m-instruct" in trials[1].error


async def test_for_a_language_that_nothing_here_hears_no_recogniser_is_measured(tmp_path, monkeypatch):
    """Not the English one either: it says nothing of another."""
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path))
    monkeypatch.setattr(profile, "AT_MOST", {"stt": 1})
    (trial,) = await profile.measure(1.0, lambda text: None, "de-AT")
    assert trial.name == "vosk"
    assert trial.error.startswith("no engine for de-AT is installed: ")
    assert trial.error.endswith("voicebridge models fetch vosk-small-de")
    (trial,) = await profile.measure(1.0, lambda text: None, "tlh")
    assert "the catalogue has none" in trial.error
    machine = Machine(2, 24_000)
    shown = "\n".join(profile.report(machine, TRIALS, advise(machine, TRIALS, catalogue(), "de", 2), "de"))
    assert "on the embedded profile" not in shown and "by estimate" in shown
    assert "By estimate, some" in text(machine)


def test_a_broken_configuration_ends_with_2(tmp_path):
    (tmp_path / "bad.toml").write_text("[nothing]\n")
    done = CliRunner().invoke(main, ["doctor", "--profile", "--config", str(tmp_path / "bad.toml")])
    assert done.exit_code == 2
    assert "nothing: there is no such key" in done.output


@pytest.mark.models
def test_this_machine_is_measured_and_advised():
    done = CliRunner().invoke(main, ["doctor", "--profile", "--json", "--language", "en", "--seconds", "1"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [trial["kind"] for trial in told["measured"]] == ["stt", "llm", "tts", "embed"]
    assert not [trial["error"] for trial in told["measured"] if trial["error"]]
    assert told["machine"]["cores"] >= 1 and told["machine"]["processor"]
    assert told["advice"]["options"][0]["model"] == "smollm2-135m-instruct"
    assert tomllib.loads(told["advice"]["config"])["listen"]["max_calls"] >= 1
