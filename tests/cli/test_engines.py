"""`voicebridge engines ls|bench` with real engines and with what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from voicebridge.cli.engines import cells, engines, options_of
from voicebridge.cli.plugins import plugins
from voicebridge.engines.crowd import Crowd
from voicebridge.engines.trial import Trial
from voicebridge.installation import cure

MODELS = Path(__file__).parents[1] / "models"
TINY = MODELS / "piper-tiny-en/tiny-voice.onnx"
CONFIG = f"""
[engines]
stt = "vosk"
tts = ["tiny", "espeak"]
llm = ""
embed = ""
[engines.options.vosk]
model = "{MODELS / "vosk-tiny-en"}"
language = "en"
[engines.options.tiny]
engine = "piper"
voice = "{TINY}"
"""


def voicebridge(tmp_path: Path, command: str, *arguments: str, config: str = CONFIG) -> Result:
    file = tmp_path / "voicebridge.toml"
    file.write_text(config)
    return CliRunner().invoke(engines, [command, "-c", str(file), *arguments], catch_exceptions=False)


def rows(result: Result) -> dict[str, dict[str, Any]]:
    return {f"{row['kind']}/{row['name']}": row for row in json.loads(result.stdout)}


@pytest.fixture(autouse=True)
def _libraries() -> None:
    pytest.importorskip("piper")
    pytest.importorskip("vosk")


def test_ls_tells_what_is_used_what_could_be_and_why_others_could_not(tmp_path, monkeypatch):
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path / "empty"))
    result = voicebridge(tmp_path, "ls", "--json")
    found = rows(result)
    assert result.exit_code == 0
    assert list(found)[:1] == ["stt/vosk"]
    assert [found[name]["state"] for name in ("stt/vosk", "tts/tiny", "tts/espeak")] == ["in use"] * 3
    assert found["tts/tiny"]["plugin"] == "piper"
    assert found["tts/piper"]["state"] == "unusable"
    assert "voicebridge models fetch" in found["tts/piper"]["why"]
    assert found["tts/wyoming"]["state"] == "not configured"
    assert found["tts/wyoming"]["why"] == 'an engine elsewhere: in [engines] tts = "tcp://HOST:PORT"'
    assert "voicebridge models fetch" in found["llm/llama_server"]["why"]
    assert found["stt/moonshine"]["package"].startswith("voicebridge-pbx ")


def test_ls_for_people_has_the_same(tmp_path):
    result = voicebridge(tmp_path, "ls")
    assert "in use          tts/tiny" in result.stdout
    assert "not configured  tts/wyoming" in result.stdout


def test_an_address_in_use_has_its_columns_and_its_engine_is_not_listed_again(tmp_path):
    config = '[engines]\nstt = "tcp://127.0.0.1:19300"\nllm = ""\n'
    result = voicebridge(tmp_path, "ls", config=config)
    (row,) = [line for line in result.stdout.splitlines() if "19300" in line]
    assert row.split()[:4] == ["in", "use", "stt/tcp://127.0.0.1:19300", "voicebridge-pbx"]
    assert "stt/wyoming" not in result.stdout and "tts/wyoming" in result.stdout
    columns = {line.index("voicebridge-pbx ") for line in result.stdout.splitlines() if "voicebridge-pbx " in line}
    assert len(columns) == 1


def test_an_engine_in_use_that_cannot_be_used_is_exit_code_1(tmp_path):
    broken = CONFIG.replace(str(TINY), "/nowhere/voice.onnx")
    result = voicebridge(tmp_path, "ls", "--json", config=broken)
    assert result.exit_code == 1
    assert "/nowhere/voice.onnx is not there" in rows(result)["tts/tiny"]["why"]


def test_ls_names_the_extra_that_is_not_installed(tmp_path, monkeypatch):
    import voicebridge.plugins as module

    monkeypatch.setattr(module, "find_spec", lambda name: None if name in ("piper", "llama_cpp") else object())
    found = rows(voicebridge(tmp_path, "ls", "--json"))
    assert found["tts/tiny"]["why"] == f"piper is not installed: {cure('piper')}"
    assert found["llm/llama_cpp"]["why"] == f"llama_cpp is not installed: {cure('llama')}"
    listed = CliRunner().invoke(plugins, ["ls", "--json"])
    states = {(row["kind"], row["name"]): (row["state"], row["why"]) for row in json.loads(listed.stdout)}
    assert states["tts", "piper"] == ("missing", found["tts/tiny"]["why"])
    assert states["stt", "vosk"] == ("ok", "")


def test_bench_measures_the_named_engine_and_shows_what_another_lacks(tmp_path):
    result = voicebridge(tmp_path, "bench", "tiny", "wyoming", "--seconds", "1", "--at-most", "1", "--json")
    assert result.exit_code == 2  # two engines are named wyoming
    assert "stt/wyoming, tts/wyoming" in result.output
    result = voicebridge(tmp_path, "bench", "tiny", "tts/wyoming", "--seconds", "1", "--at-most", "1", "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert "cores" in told["machine"] and told["date"].startswith("20")
    tiny, wyoming = told["engines"]
    assert (tiny["kind"], tiny["name"], tiny["error"]) == ("tts", "tiny", "")
    assert tiny["load_s"] > 0 and tiny["rss_mb"] > 10 and tiny["factor"] > 0
    assert tiny["crowds"][0]["at_once"] == 1
    assert "an engine elsewhere" in wyoming["error"]


def test_bench_shows_a_table_and_the_cause_below_it(tmp_path):
    result = voicebridge(tmp_path, "bench", "espeak", "tts/wyoming", "--seconds", "1", "--at-most", "1")
    assert result.exit_code == 1
    (row,) = [line for line in result.stdout.splitlines() if "tts/espeak" in line]
    assert " MB " in row and " ms " in row and " x " in row
    assert "tts/wyoming: an engine elsewhere" in result.stdout


def test_an_option_is_for_one_engine(tmp_path):
    for arguments in (("--option", "a=1"), ("tiny", "espeak", "--option", "a=1"), ("tiny", "--option", "novalue")):
        result = voicebridge(tmp_path, "bench", *arguments)
        assert result.exit_code == 2, arguments
        assert "--option" in result.output
    result = voicebridge(tmp_path, "bench", "tiny", "--option", "pace=3", "--json")
    assert result.exit_code == 1
    assert "pace" in json.loads(result.stdout)["engines"][0]["error"]


def test_options_are_values_of_toml_or_text():
    assert options_of(("a=1", "b=true", "c=[1, 2]", "d=/x/y.onnx", "e=")) == {
        "a": 1, "b": True, "c": [1, 2], "d": "/x/y.onnx", "e": "",
    }  # fmt: skip


def test_an_unknown_engine_is_answered_with_those_there_are(tmp_path):
    result = voicebridge(tmp_path, "bench", "parrot")
    assert result.exit_code == 2
    assert "no engine is named 'parrot'" in result.output
    assert "tts/tiny" in result.output


def test_what_was_measured_is_shown_in_its_units():
    crowd = Crowd(1, 3, 0, 0.05, 1.5, 2.0)
    made = Trial("stt", "x", 1.25, 320.4, 200.0, 0.05, 1.5, 0.0921, None, 8, True, (crowd,))
    assert cells(made) == ("1.2 s", "320 MB", "50 ms", "1.5 s", "0.092 x", "8+")
    assert cells(Trial("llm", "x", 0.5, per_s=41.6, at_once=4)) == ("500 ms", "", "", "", "42/s", "4")
    assert cells(Trial("tts", "x", error="gone")) == ("failed", "", "", "", "", "")
