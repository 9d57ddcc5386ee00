"""From measured numbers to a recommendation: what is read off by hand here."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest

from voicebridge.cli.checks.advice import Advice, Machine, advise
from voicebridge.engines.trial import Trial
from voicebridge.modelstore.catalogue import catalogue, named

SMALL = Machine(cores=2, memory_mb=24_000)
BIG = Machine(cores=16, memory_mb=64_000)
STT = Trial("stt", "moonshine", first_p50_s=0.12, factor=0.05, at_once=8, more=True)
TTS = Trial("tts", "espeak", first_p50_s=0.003, factor=0.002, at_once=16, more=True)
LLM = Trial("llm", "llama_server", first_p50_s=0.08, per_s=100.0, at_once=1, more=True)
TRIALS = (STT, LLM, TTS)


def advice(
    machine: Machine = SMALL, trials: tuple[Trial, ...] = TRIALS, language: str = "en", wanted: int = 2
) -> Advice:
    return advise(machine, trials, catalogue(), language, wanted)


def test_two_cores_carry_the_embedded_profile_for_some_eight_calls():
    """Eight in conversation have been measured there, and that was about all."""
    found = advice()
    assert 7 <= found.embedded_calls <= 10
    assert found.stt == "moonshine"
    assert "8 or more at once in time" in found.reasons[0]


def test_the_biggest_model_that_leaves_room_for_the_calls_is_recommended():
    sizes = {wanted: named(advice(wanted=wanted).llm).download_size for wanted in (1, 2, 4)}
    assert sizes[4] <= sizes[2] <= sizes[1]
    assert advice(wanted=4).llm == "smollm2-135m-instruct"
    assert advice(wanted=4).calls >= 4
    assert advice(wanted=100).llm == "smollm2-135m-instruct", "the smallest where nothing fits"


def test_a_machine_that_is_four_times_as_quick_gets_a_bigger_model():
    quick = replace(LLM, first_p50_s=0.02, per_s=400.0)
    slow, fast = advice(), advice(Machine(8, 32_000), (STT, quick, TTS))
    assert named(fast.llm).download_size > 2 * named(slow.llm).download_size
    assert fast.embedded_calls > 3 * slow.embedded_calls


def test_options_tell_why_the_others_will_not_do():
    found = advice(Machine(2, 2_000))
    by_name = {option.model: option for option in found.options}
    assert by_name["smollm2-1.7b"].reason.endswith("of memory with all else; this machine has 2.0 GB")
    slow = {option.model: option for option in advice().options}
    assert slow["granite-3.3-8b"].reason.startswith("its first words would take ")
    assert slow["granite-3.3-8b"].calls == 0 < slow["smollm2-135m-instruct"].calls
    assert any("nothing bigger" in reason for reason in found.reasons)


def test_only_models_that_anybody_may_use_and_that_do_not_think_first_are_offered():
    for language in ("en", "de"):
        for option in advice(BIG, language=language).options:
            model = named(option.model)
            assert model.terms == "open" and not model.thinks
            assert not model.languages or language in model.languages


def test_another_language_needs_another_recogniser_voice_and_model():
    found = advice(language="de-AT")
    assert (found.stt, found.tts) == ("vosk-small-de", "de_DE-thorsten-medium")
    assert "hears English only" in found.reasons[0]
    assert set(found.fetch) == {"vosk-small-de", "de_DE-thorsten-medium", found.llm} - {""}
    assert found.llm == "" or not named(found.llm).languages


def test_a_big_machine_gets_the_big_recogniser():
    assert advice(BIG, language="de").stt == "vosk-de"
    assert advice(Machine(16, 4_000), language="de").stt == "vosk-small-de", "its memory would not hold it"


def test_voices_whose_terms_are_unclear_are_named_but_not_recommended():
    found = advice(language="pl")
    assert found.tts == "espeak"
    assert any("terms that you have to read first (pl_PL-gosia" in reason for reason in found.reasons)


def test_a_language_that_nobody_has_is_said_to_be():
    found = advice(language="xx")
    assert (found.stt, found.tts) == ("wyoming", "espeak")
    assert any("no recogniser for 'xx'" in reason for reason in found.reasons)


def test_a_recogniser_that_is_too_slow_is_replaced_and_limits_the_calls():
    slow = replace(STT, factor=0.6, at_once=1, more=False)
    found = advice(trials=(slow, LLM, TTS), wanted=4)
    assert found.stt == "vosk-small-en" and "less work" in found.reasons[0]
    assert found.calls <= 3


@pytest.mark.parametrize(
    "trials", [(), (STT, TTS), (STT, replace(LLM, error="llm: gone"), TTS)], ids=["nothing", "no model", "broken"]
)
def test_without_a_measured_model_none_is_recommended(trials):
    found = advice(trials=trials)
    assert (found.llm, found.options, found.embedded_calls) == ("", (), 0)
    assert "no language model" in found.reasons[-1]
    assert 'llm = ""' in found.config


def test_a_machine_too_slow_for_any_model_gets_none():
    crawling = replace(LLM, first_p50_s=3.0, per_s=2.0)
    assert advice(trials=(STT, crawling, TTS)).llm == ""


@pytest.mark.parametrize("language", ["en", "de", "pl", "xx"])
def test_the_lines_to_paste_are_a_configuration(tmp_path, language):
    from voicebridge.config import Config

    found = advice(language=language)
    config = Config.model_validate(tomllib.loads(found.config))
    assert config.listen.max_calls == max(1, found.calls)
    options = config.engines.options
    if found.llm:
        assert options["llama_server"]["model"] == found.llm
    if found.stt.startswith("vosk"):
        assert options["vosk"]["model"] == found.stt
    if found.tts != "espeak":
        assert options["piper"]["voice"] == found.tts
