"""`voicebridge models`: what is here, fetched, verified and removed, with exit codes for scripts."""

from __future__ import annotations

import hashlib
import json

import pytest
from click.testing import CliRunner, Result

from voicebridge.cli import models as cli
from voicebridge.modelstore import catalogue as shelf
from voicebridge.modelstore.catalogue import Model, Source

DATA = {"small": b"small model", "other": b"other model"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A catalogue of two models to fetch and one inside a package; the cache is empty."""

    def entry(name: str, profile: str) -> Model:
        sha256, size = hashlib.sha256(DATA[name]).hexdigest(), len(DATA[name])
        (tmp_path / f"{name}.bin").write_bytes(DATA[name])
        source = Source(type="url", url=(tmp_path / f"{name}.bin").as_uri(), sha256=sha256, size=size)
        return Model(name=name, kind="llm", about=f"the {name} one", licence="MIT", profile=profile, file=f"{name}.bin",
                     size=size, sha256=sha256, source=(source,))

    inside = Model(name="inside", kind="vad", about="", licence="MIT", module="json", file="x", size=1, sha256="0" * 64)
    made = (entry("small", "embedded"), entry("other", ""), inside)
    monkeypatch.setattr(shelf, "catalogue", lambda: made)
    monkeypatch.setattr(cli, "catalogue", lambda: made)
    monkeypatch.setenv("VOICEBRIDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.models, list(arguments))


def test_without_names_the_embedded_profile_is_fetched(cache):
    done = run("fetch")
    assert done.exit_code == 0, done.output
    assert f"small: {cache}/models/small/small.bin (MIT)" in done.output
    assert "other" not in done.output
    assert (cache / "models/small/small.bin").read_bytes() == DATA["small"]


def test_named_models_are_fetched(cache):
    assert run("fetch", "other", "small").exit_code == 0
    assert (cache / "models/other/other.bin").exists()


def test_one_that_fails_is_told_and_the_rest_is_fetched_all_the_same(cache, tmp_path):
    (tmp_path / "other.bin").write_bytes(b"Other model")
    done = run("fetch", "other", "inside", "small")
    assert done.exit_code == 1
    assert "other could not be fetched" in done.output and "SHA-256" in done.output
    assert "inside lies inside a package" in done.output
    assert (cache / "models/small/small.bin").exists()


def test_from_a_folder_nothing_else_is_asked(cache, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    assert run("fetch", "small", "--from", str(mirror)).exit_code == 1
    (mirror / "small.bin").write_bytes(DATA["small"])
    assert run("fetch", "small", "--from", str(mirror)).exit_code == 0
    assert run("fetch", "small", "--from", str(tmp_path / "nowhere")).exit_code == 2


@pytest.mark.parametrize("command", ["fetch", "verify", "rm"])
def test_an_unknown_name_is_an_error_that_lists_the_known(cache, command):
    done = run(command, "nothing")
    assert done.exit_code == 2
    assert "no model 'nothing' in the catalogue; there are: small, other, inside" in done.output


def test_verify_tells_whole_missing_and_damaged_apart(cache):
    run("fetch")
    assert (run("verify").output, run("verify").exit_code) == ("small: ok\n", 0)
    done = run("verify", "small", "other")
    assert (done.exit_code, done.output) == (1, "small: ok\nother: missing: voicebridge models fetch other\n")
    (cache / "models/small/small.bin").write_bytes(b"small modeL")
    done = run("verify", "--json", "small")
    assert (done.exit_code, json.loads(done.output)) == (1, {"small": "damaged"})


def test_ls_shows_the_catalogue_and_what_is_here(cache):
    run("fetch", "small")
    rows = {row["name"]: row for row in json.loads(run("ls", "--json").output)}
    assert [rows[name]["here"] for name in ("small", "other", "inside")] == [True, False, False]
    assert rows["small"]["path"] == f"{cache}/models/small/small.bin"
    assert rows["small"]["licence"] == "MIT"
    table = run("ls").output
    assert "small" in table and "the small one" in table and "yes" in table


def test_rm_deletes_what_was_fetched_and_nothing_else(cache):
    run("fetch", "small")
    assert run("rm", "small").exit_code == 0
    assert not (cache / "models/small/small.bin").exists()
    for name in ("small", "inside"):
        done = run("rm", name)
        assert done.exit_code == 1
        assert f"{name} is not among the fetched models" in done.output
