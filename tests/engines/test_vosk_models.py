"""Vosk's options and model folders: what is refused before Vosk sees it, and with which words."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from voicebridge.config import ConfigError
from voicebridge.engines.vosk import ENGINE, VoskModels, _language, look_at
from voicebridge.modelstore.catalogue import catalogue

MODEL = Path(__file__).parents[1] / "models/vosk-tiny-en"


def broken(folder: Path, file: str, content: bytes | None) -> Path:
    shutil.copytree(MODEL, folder, dirs_exist_ok=True)
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_bytes(content)
    return folder


def test_what_kind_of_model_a_folder_holds(tmp_path: Path) -> None:
    assert (look_at(MODEL).rate, look_at(MODEL).dynamic) == (8000, True)
    wide = broken(tmp_path / "wide", "conf/mfcc.conf", b"--sample-frequency=16000 # wide\n--num-ceps=40\n")
    assert look_at(wide).rate == 16_000
    static = broken(tmp_path / "static", "graph/HCLr.fst", None)
    shutil.move(static / "graph/Gr.fst", static / "graph/HCLG.fst")
    assert not look_at(static).dynamic
    old = tmp_path / "old"
    old.mkdir()
    for file in MODEL.rglob("*"):
        if file.is_file():
            shutil.copy(file, old / file.name)
    assert look_at(old).dynamic, "as models were laid out at first: all in one folder"


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("am/final.mdl", None, "final.mdl"),
        ("am/final.mdl", b"<html>not found</html>", "am/final.mdl damaged"),
        ("graph/HCLr.fst", b"none", "graph/HCLr.fst damaged"),
        ("graph/Gr.fst", b"", "graph/Gr.fst missing or empty"),
        ("graph/words.txt", None, "graph/words.txt missing"),
        ("conf/mfcc.conf", None, "conf/mfcc.conf missing"),
        ("conf/mfcc.conf", b"--sample-frequency=12\n", "no rate of speech"),
        ("conf/model.conf", None, "conf/model.conf missing"),
        ("graph/disambig_tid.int", None, "graph/disambig_tid.int missing"),
    ],
)
def test_a_folder_that_is_no_whole_model_is_refused_before_vosk_sees_it(
    tmp_path: Path, file: str, content: bytes | None, told: str
) -> None:
    folder = broken(tmp_path / "model", file, content)
    with pytest.raises(ConfigError, match="engine vosk") as raised:
        ENGINE.create({"model": str(folder)})
    assert told in str(raised.value)


def test_errors_of_options_name_cause_and_cure(tmp_path: Path) -> None:
    for options, told in (
        ({"model": str(tmp_path / "nowhere")}, "nowhere is not there"),
        ({"model": str(tmp_path)}, "voicebridge models fetch"),
        ({"model": str(MODEL), "models": {"en": str(MODEL)}}, "not both"),
        ({"model": str(MODEL), "threads": -1}, "threads"),
        ({"model": str(MODEL), "treads": 1}, "treads"),
        ({"models": {"en": "vosk-small-xx"}}, "vosk-small-xx"),
    ):
        with pytest.raises(ConfigError) as raised:
            ENGINE.create(options)
        assert told in str(raised.value)


def test_the_language_of_a_model_is_told_by_the_catalogue_or_its_name(tmp_path: Path) -> None:
    for name, language in (
        ("vosk-model-small-de-0.15", "de"), ("vosk-model-en-us-0.22-lgraph", "en"), ("my-model", "en"),
        ("vosk-model-small-uk-v3-nano", "uk"), ("vosk-tiny-en", "en"),
    ):  # fmt: skip
        assert _language(str(tmp_path / name), tmp_path / name) == language
    chinese = next(model for model in catalogue() if model.kind == "stt" and "zh" in model.languages)
    assert _language(chinese.name, tmp_path / chinese.file) == "zh"


def test_a_model_that_vosk_cannot_load_after_all_is_told_with_the_cure(tmp_path: Path) -> None:
    pytest.importorskip("vosk")
    cut = broken(tmp_path / "cut", "am/final.mdl", (MODEL / "am/final.mdl").read_bytes()[:200_000])
    with pytest.raises(RuntimeError, match="vosk cannot load .*cut: a file is damaged; fetch it anew"):
        VoskModels({"en": look_at(cut)}).warm_up("en")
