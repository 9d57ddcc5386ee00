"""The catalogue is sound, and tells what of it is on this machine."""

from __future__ import annotations

import hashlib
import re

import pytest
from pydantic import ValidationError

from voicebridge.modelstore.catalogue import Model, Source, UnknownModel, catalogue, chosen, sha256_of


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


def test_every_entry_can_be_had_and_checked():
    models = catalogue()
    assert len({model.name for model in models}) == len(models)
    for model in models:
        assert re.fullmatch(r"[0-9a-f]{64}", model.sha256), model.name
        assert model.licence and model.about and model.size > 0
        assert bool(model.module) != bool(model.source), f"{model.name}: inside a package or fetched, not both"
        for source in model.source:
            assert re.fullmatch(r"[0-9a-f]{64}", source.sha256)
            assert source.size > 0 and source.download_name and source.label
            assert source.type == "url" or (source.package and source.version and source.wheel.endswith(".whl"))


def test_the_embedded_profile_has_a_model_for_every_job_that_needs_one():
    assert {model.kind for model in chosen([])} == {"llm", "embed", "stt", "vad"}


def test_models_are_chosen_by_name_in_the_order_asked():
    names = [model.name for model in catalogue()]
    assert [model.name for model in chosen(reversed(names))] == names[::-1]
    with pytest.raises(UnknownModel, match=f"no model 'nothing'.*{names[0]}"):
        chosen(["nothing"])


def test_a_file_is_ok_damaged_or_missing(cache):
    model = entry()
    path = model.path(cache)
    assert (model.present(cache), model.verify(cache)) == (True, "ok")
    path.write_bytes(b"Weights")
    assert (model.present(cache), model.verify(cache)) == (True, "damaged")
    path.write_bytes(b"short")
    assert (model.present(cache), model.verify(cache)) == (False, "damaged")
    path.unlink()
    assert (model.present(cache), model.verify(cache)) == (False, "missing")


def test_a_model_inside_a_package_lies_where_the_package_is(cache):
    import json

    inside = entry(module="json", file="decoder.py")
    assert str(inside.path(cache)).startswith(json.__file__.removesuffix("__init__.py"))
    absent = entry(module="no_such_package")
    assert (absent.path(cache), absent.present(cache), absent.verify(cache)) == (None, False, "missing")


def test_the_digest_is_that_of_the_whole_file_beyond_a_block(tmp_path):
    data = b"0123456789abcdef" * 100_000
    (tmp_path / "f").write_bytes(data)
    assert sha256_of(tmp_path / "f") == hashlib.sha256(data).hexdigest()


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
