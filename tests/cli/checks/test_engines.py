"""Engines started and asked: real workers, and one that cannot start."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from voicebridge.cli.checks import engines
from voicebridge.cli.checks.finding import Finding
from voicebridge.config import Settings, load
from voicebridge.modelstore.catalogue import catalogue


def settings(folder: Path, text: str) -> Settings:
    file = folder / "voicebridge.toml"
    file.write_text(text, encoding="utf-8")
    return load(file)


async def checked(given: Settings, without: set[str] | None = None) -> dict[str, Finding]:
    told: list[str] = []
    found = await engines.check(given, without or set(), told.append)
    assert told[0].startswith("starting engines")
    return {finding.check: finding for finding in found}


@pytest.mark.models
async def test_the_embedded_engines_answer_and_are_gone_afterwards(tmp_path: Path) -> None:
    found = await checked(settings(tmp_path, ""))
    assert [*found] == ["engine stt", "engine llm", "engine tts", "engine embed"]
    assert all(finding.state in ("ok", "warn") for finding in found.values()), found
    assert "100% of the words right" in found["engine stt"].found
    assert "x real time" in found["engine tts"].found
    assert "first token after" in found["engine llm"].found
    assert "384 dimensions" in found["engine embed"].found
    assert not children_named("voicebridge.engines")


def children_named(text: str) -> list[str]:
    """Command lines of our own children."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            command = (Path("/proc") / pid / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            found += [command] if text in command else []
    return found


async def test_a_worker_that_keeps_crashing_is_given_up_before_its_time(tmp_path: Path) -> None:
    model = tmp_path / "broken.gguf"
    model.write_bytes(b"not a model")
    given = settings(
        tmp_path,
        f'[engines]\nembed = ""\n[engines.options.llama_server]\nmodel = "{model}"\n',
    )
    found = await checked(given, {"stt", "tts"})
    finding = found["engine llm"]
    assert finding.state == "fail"
    assert finding.found.startswith("llama_server does not get ready: ")
    assert "starting again" not in finding.found
    assert "--log-level debug" in finding.cure


async def test_engines_without_a_model_are_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = await checked(settings(tmp_path, ""), {"stt", "llm", "tts", "embed"})
    assert {finding.state for finding in found.values()} == {"skip"}


async def test_a_model_that_is_not_in_the_cache_is_named_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path))
    found = await checked(settings(tmp_path, ""), {"stt", "tts", "embed"})
    name = next(model.name for model in catalogue() if model.kind == "llm" and model.profile)
    assert found["engine llm"].state == "fail"
    assert found["engine llm"].cure == f"voicebridge models fetch {name}"


async def test_options_that_are_missing_are_a_failure_and_not_a_traceback(tmp_path: Path) -> None:
    given = settings(tmp_path, '[engines]\nstt = "wyoming"\nllm = ""\nembed = ""\n')
    finding = (await checked(given, {"tts"}))["engine stt"]
    assert finding.state == "fail"
    assert finding.found.endswith("voicebridge.toml:2: engines.stt: uri is missing")


async def test_a_plug_in_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    given = settings(tmp_path, '[engines]\nstt = "parrot"\nllm = ""\nembed = ""\n')
    assert (await checked(given, {"tts"}))["engine stt"].state == "skip"


@pytest.mark.parametrize(
    ("heard", "share"),
    [
        ("What does a basic service cost?", 1.0),
        ("what does a basic service", 5 / 6),
        ("cost service basic a does what", 1 / 6),
        ("", 0.0),
    ],
)
def test_words_count_in_their_order(heard: str, share: float) -> None:
    assert engines.words_right("What does a basic service cost?", heard) == pytest.approx(share)


def test_an_error_of_a_worker_outweighs_the_warnings_about_it() -> None:
    log = logging.getLogger("voicebridge.engines.supervisor")
    with engines.last_warnings() as texts:
        log.error("worker llama_server: no such model")
        log.warning("worker llama_server: exited with status 1; starting again in 0.5 s")
        log.warning("worker espeak: killed by SIGSEGV")
    assert texts == {"llama_server": "no such model", "espeak": "killed by SIGSEGV"}


async def test_of_several_engines_each_is_told_and_one_that_is_not_there_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "REMOTE_READY_S", 0.5)
    text = '[engines]\ntts = ["tcp://127.0.0.1:1", "espeak"]\nstt = "tcp://127.0.0.1:1"\nllm = ""\nembed = ""\n'
    found = await engines.check(settings(tmp_path, text), set(), lambda text: None)
    assert [(finding.check, finding.state) for finding in found] == [
        ("engine stt", "fail"), ("engine tts", "warn"), ("engine tts", "ok")
    ]  # fmt: skip
    stt, missing, there = found
    assert stt.cure == "start it there, or correct [engines] stt"
    assert missing.found == (
        "tcp://127.0.0.1:1 is not there: nothing answers at tcp://127.0.0.1:1; espeak serves instead"
    )
    assert there.found.startswith("espeak ready after")


async def test_a_recogniser_that_gets_the_words_wrong_is_a_failure_though_another_is_in_the_list(
    tmp_path: Path,
) -> None:
    """The tiny model knows none of the sentence's words; a call would not move on from an engine that answers."""
    pytest.importorskip("vosk")
    model = Path(__file__).parents[2] / "models/vosk-tiny-en"
    text = '[engines]\nstt = ["vosk", "moonshine"]\nllm = ""\nembed = ""\ntts = "tcp://127.0.0.1:1"\n'
    options = f'[engines.options.vosk]\nmodel = "{model}"\nlanguage = "en"\n'
    found = await engines.check(settings(tmp_path, text + options), {"stt"}, lambda text: None)
    (vosk,) = [finding for finding in found if finding.found.startswith("vosk")]
    assert (vosk.state, vosk.cure) == ("fail", engines.WRONG)
    assert " of the words right" in vosk.found


async def test_a_spare_does_not_help_where_the_daemon_would_not_start(tmp_path: Path) -> None:
    text = '[engines]\ntts = ["piper", "espeak"]\nstt = "parrot"\nllm = ""\nembed = ""\n'
    options = '[engines.options.piper]\nvoice = "/nope.onnx"\n'
    found = await engines.check(settings(tmp_path, text + options), set(), lambda text: None)
    (piper,) = [finding for finding in found if "/nope.onnx" in finding.found]
    assert piper.state == "fail"
    assert piper.found.endswith("; espeak could serve alone, but the daemon does not start with piper in the list")
    assert piper.cure == "correct [engines.options.piper], or take piper out of tts in [engines]"


async def test_the_cure_for_an_address_names_a_table_that_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VB_NOT_SET", raising=False)
    text = '[engines]\nllm = "http://127.0.0.1:1/v1"\nembed = ""\n'
    text += '[engines.options.openai]\napi_key_env = "VB_NOT_SET"\n'
    finding = (await checked(settings(tmp_path, text), {"stt", "tts"}))["engine llm"]
    assert finding.found.startswith(f"{tmp_path}/voicebridge.toml:5: engines.options.openai.api_key_env: ")
    assert finding.cure == "correct [engines.options.openai]"
