"""The catalogue is sound, and tells what of it is on this machine."""

from __future__ import annotations

import hashlib
import importlib
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import ValidationError

from voicebridge.modelstore.catalogue import (
    KINDS,
    Download,
    Model,
    Source,
    UnknownModel,
    catalogue,
    chosen,
    digest_of,
    named,
    offered,
    sha256_of,
)

HEX = {"sha256": r"[0-9a-f]{64}", "md5": r"[0-9a-f]{32}"}
MODELS = catalogue()
PLAUSIBLE = {
    "llm": (9e7, 6e9), "stt": (3e7, 3e9), "tts": (2e7, 1.5e8), "turn": (1e6, 1e8), "embed": (1e7, 2e8),
    "vad": (1e5, 1e7),
}  # fmt: skip


def entry(**more: object) -> Model:
    data = b"weights"
    fields = {"name": "m", "kind": "llm", "about": "", "licence": "MIT", "file": "m.bin", "size": len(data),
              "sha256": hashlib.sha256(data).hexdigest()}
    return Model.model_validate({**fields, **more})


@pytest.fixture
def cache(tmp_path):
    path = tmp_path / "models/m/m.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    return tmp_path


def downloads(model: Model) -> list[Download]:
    return [*model.source, *model.beside]


def test_names_are_unique_and_can_be_typed():
    names = [model.name for model in MODELS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9._-]{2,25}", name) for name in names)
    homes = {model.home(Path("/cache")) for model in MODELS}
    assert len(homes) == len(names)


@pytest.mark.parametrize("model", MODELS, ids=[model.name for model in MODELS])
def test_an_entry_tells_all_that_is_needed(model):
    assert model.licence and model.about and model.kind in KINDS
    assert bool(model.module) != bool(model.source), "inside a package or fetched, not both"
    smallest, biggest = PLAUSIBLE[model.kind]
    assert smallest <= (model.download_size or model.size) <= biggest
    assert model.tried or model.kind in ("embed", "vad") or model.memory_mb > 0
    if "MODEL_CARD" in model.licence or "NC" in model.licence or "research" in model.licence:
        assert model.terms != "open"
    for download in downloads(model):
        for name, pattern in HEX.items():
            assert re.fullmatch(f"({pattern})?", getattr(download, name)), name
        source = download if isinstance(download, Source) else None
        if source is None or source.type == "url":
            parts = urlsplit(download.url)
            assert (parts.scheme, bool(parts.hostname), parts.query) == ("https", True, "")
        else:
            assert source.package and source.version and source.wheel.endswith(".whl")
        assert download.download_name and download.label
        assert download.size or download in model.beside
        assert not (download.md5 and download.rounded), "who knows the digest knows the size"
        # Nothing was made up: a checksum is our own, from the file, or it tells where it was seen.
        assert model.tried or not download.checked or download.seen


@pytest.mark.parametrize("kind", ["stt", "tts"])
def test_ten_languages_have_a_small_recogniser_a_large_one_and_a_voice(kind):
    def tags(models):
        return {tag.partition("-")[0] for model in models for tag in model.languages}

    wanted = {"en", "de", "fr", "es", "it", "nl", "pt", "ru", "uk", "zh"}
    of_kind = [model for model in MODELS if model.kind == kind]
    assert wanted <= tags(of_kind)
    if kind == "stt":
        assert wanted <= tags([model for model in of_kind if model.download_size < 2e8])
        assert wanted <= tags([model for model in of_kind if model.download_size > 3e8])


def test_language_models_reach_from_a_tenth_of_a_billion_to_eight():
    sizes = sorted(model.download_size for model in MODELS if model.kind == "llm")
    assert sizes[0] < 1e8 and sizes[-1] > 4.5e9 and len(sizes) >= 15
    assert all(after / before < 2.6 for before, after in zip(sizes, sizes[1:], strict=False))
    assert all(model.speed for model in MODELS if model.kind == "llm")


def test_the_embedded_profile_has_a_model_for_every_job_that_needs_one():
    assert {model.kind for model in chosen([])} == {"llm", "embed", "stt", "vad"}
    assert all(model.tried and model.sha256 and model.terms == "open" for model in chosen([]))


@pytest.mark.parametrize(
    ("module", "constant", "kind"),
    [("vosk", "DEFAULT_MODEL", "stt"), ("piper", "DEFAULT_VOICE", "tts"), ("embedder", "DEFAULT_MODEL", "embed")],
)
def test_what_an_engine_uses_by_itself_is_in_the_catalogue_and_free_for_all(module, constant, kind):
    engine = importlib.import_module(f"voicebridge.engines.{module}")
    model = named(getattr(engine, constant))
    assert (model.kind, model.terms) == (kind, "open")


def test_a_voice_is_its_settings_too_and_a_recogniser_is_a_folder():
    for model in MODELS:
        if model.kind == "tts":
            (settings,) = model.beside
            assert settings.url == model.source[0].url + ".json" and model.file.endswith(".onnx")
        if model.name.startswith("vosk"):
            assert model.is_folder and model.source[0].download_name == model.file + ".zip"


def test_models_are_chosen_by_name_in_the_order_asked():
    names = [model.name for model in MODELS]
    assert [model.name for model in chosen(reversed(names))] == names[::-1]
    assert named("qwen3-8b").kind == "llm"


def test_an_unknown_name_is_answered_with_what_is_meant_perhaps():
    with pytest.raises(UnknownModel, match=r"no model 'vosk-smal-de' .* is vosk-small-de .*meant\? \(all of"):
        named("vosk-smal-de")
    with pytest.raises(UnknownModel, match=r"no model '%%' in the catalogue \(all of them"):
        named("%%")


def test_models_are_offered_by_kind_and_language():
    german = offered(kind="stt", language="de-AT")
    assert {model.name for model in german} == {"vosk-small-de", "vosk-de"}
    assert {model.kind for model in offered(kind="tts")} == {"tts"}
    assert {tag.partition("-")[0] for model in offered(kind="tts", language="pt") for tag in model.languages} == {"pt"}
    assert "qwen3-8b" in {model.name for model in offered(kind="llm", language="sv")}
    assert offered() == MODELS


def test_a_file_is_present_by_its_name_and_size(cache):
    model = entry()
    path = model.path(cache)
    assert model.present(cache)
    assert entry(size=0, sha256="").present(cache)
    path.write_bytes(b"short")
    assert not model.present(cache)
    assert entry(size=0, sha256="").present(cache)
    path.unlink()
    assert not model.present(cache)


def test_a_voice_without_its_settings_is_not_present(cache):
    voice = entry(beside=[{"url": "https://example.org/m.bin.json"}])
    assert not voice.present(cache)
    (cache / "models/m/m.bin.json").write_text("{}")
    assert voice.present(cache)


def test_a_folder_is_present_when_it_is_there(cache):
    recogniser = entry(file="vosk", size=0, sha256="", source=[{"url": "https://example.org/vosk.zip", "unpack": True}])
    assert recogniser.is_folder and not recogniser.present(cache)
    (cache / "models/m/vosk").mkdir()
    assert recogniser.present(cache)


def test_what_is_kept_as_it_comes_has_the_downloads_size_and_checksum():
    source = {"url": "https://example.org/m.bin", "size": 5, "sha256": "a" * 64}
    fields = {"name": "m", "kind": "llm", "about": "", "licence": "MIT", "file": "m.bin"}
    kept = Model.model_validate({**fields, "source": [source]})
    assert (kept.size, kept.sha256, kept.checked) == (5, "a" * 64, True)
    packed = Model.model_validate({**fields, "source": [{**source, "member": "m.bin"}]})
    assert (packed.size, packed.sha256, packed.checked) == (0, "", True)
    rounded = Model.model_validate({**fields, "source": [{**source, "rounded": True}]})
    assert (rounded.size, rounded.download_size) == (0, 5)


def test_a_model_inside_a_package_lies_where_the_package_is(cache):
    import json

    inside = entry(module="json", file="decoder.py")
    assert str(inside.path(cache)).startswith(json.__file__.removesuffix("__init__.py"))
    absent = entry(module="no_such_package")
    assert (absent.path(cache), absent.present(cache)) == (None, False)


def test_the_digest_is_that_of_the_whole_file_beyond_a_block(tmp_path):
    data = b"0123456789abcdef" * 100_000
    (tmp_path / "f").write_bytes(data)
    assert sha256_of(tmp_path / "f") == hashlib.sha256(data).hexdigest()
    assert digest_of(tmp_path / "f", "md5") == hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_a_misspelt_key_in_an_entry_is_an_error():
    with pytest.raises(ValidationError):
        entry(sha265="0")
    with pytest.raises(ValidationError):
        Source.model_validate({"type": "ftp", "sha256": "0", "size": 1})


def test_a_source_is_named_after_what_it_is():
    wheel = Source(type="pypi", package="p", version="2", wheel="p-2.whl", sha256="0", size=1)
    assert (wheel.label, wheel.download_name) == ("p 2 (package index)", "p-2.whl")
    web = Source(type="url", url="https://example.org/a/b.gguf", sha256="0", size=1)
    assert (web.label, web.download_name) == ("https://example.org/a/b.gguf", "b.gguf")
