"""What an engine's option names is found, or the error tells what to do."""

from __future__ import annotations

import pytest

from voicebridge.modelstore.catalogue import UnknownModel, named
from voicebridge.modelstore.resolve import resolve
from voicebridge.tomlfile import ConfigError


def put(cache, name: str):
    path = named(name).path(cache)
    path.parent.mkdir(parents=True)
    path.mkdir() if named(name).is_folder else path.write_bytes(b"x")
    return path


def test_a_name_of_the_catalogue_is_a_file_or_a_folder_in_the_cache(tmp_path):
    voice, folder = put(tmp_path, "de_DE-thorsten-medium"), put(tmp_path, "vosk-small-de")
    assert resolve("piper", "de_DE-thorsten-medium", "", tmp_path, kind="tts") == voice
    assert resolve("vosk", None, "vosk-small-de", tmp_path, kind="stt") == folder
    assert resolve("vosk", "", "vosk-small-de", tmp_path) == folder


def test_what_is_not_here_is_told_with_the_command_that_fetches_it(tmp_path):
    with pytest.raises(ConfigError, match=r"engine vosk: .* is not there; run: voicebridge models fetch vosk-small-fr"):
        resolve("vosk", "vosk-small-fr", "", tmp_path)


def test_a_path_is_taken_as_it_is_and_has_to_exist(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    assert resolve("vosk", str(tmp_path / "mine"), "", tmp_path) == tmp_path / "mine"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert resolve("vosk", "~/mine", "", tmp_path) == tmp_path / "mine"
    monkeypatch.chdir(tmp_path)
    assert resolve("vosk", "mine", "", tmp_path).samefile(tmp_path / "mine")
    for given in ("/nowhere/mine", "mine.gguf", "mine.onnx"):
        with pytest.raises(ConfigError, match="is not there; correct the option `model`"):
            resolve("vosk", given, "", tmp_path)


def test_a_model_for_another_job_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="engine vosk: qwen3-8b is a model for llm, not for stt; .* ls --kind stt"):
        resolve("vosk", "qwen3-8b", "", tmp_path, kind="stt")


def test_an_unknown_name_is_an_error_of_the_configuration(tmp_path):
    with pytest.raises(UnknownModel, match="vosk-small-de"):
        resolve("vosk", "vosk-smal-de", "", tmp_path)
    assert issubclass(UnknownModel, ConfigError)


def test_a_model_inside_a_package_that_is_not_installed_names_the_package(tmp_path, monkeypatch):
    from voicebridge.modelstore import catalogue

    absent = named("moonshine-tiny-en").model_copy(update={"module": "no_such_module"})
    monkeypatch.setattr(catalogue, "catalogue", lambda: (absent,))
    with pytest.raises(ConfigError, match="lies inside no_such_module, which is not installed"):
        resolve("moonshine", absent.name, "", tmp_path)
