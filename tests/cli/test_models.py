"""`voicebridge models`: what is here, fetched, verified and removed, with exit codes for scripts."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner, Result

from voicebridge.cli import models as cli
from voicebridge.modelstore import catalogue as shelf
from voicebridge.modelstore.catalogue import Model, Source

GGUF = b"GGUF" + bytes([3, 0, 0, 0, 7]) + bytes(15)
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
    (tmp_path / "bound.gguf").write_bytes(GGUF)
    bound = Model(name="bound", kind="llm", about="the bound one", licence="Some Terms", terms="restricted",
                  languages=("de",), file="bound.gguf", memory_mb=12, speed="slow",
                  source=(Source(url=(tmp_path / "bound.gguf").as_uri(), size=len(GGUF)),))  # fmt: skip
    made = (entry("small", "embedded"), entry("other", ""), inside, bound)
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
def test_an_unknown_name_is_an_error_that_names_what_is_near(cache, command):
    done = run(command, "smal")
    assert done.exit_code == 2
    assert "no model 'smal' in the catalogue; is small meant? (all of them: voicebridge models ls)" in done.output


# ---- licences, pins, mirrors


def test_what_is_not_free_for_all_is_fetched_only_when_its_licence_is_accepted(cache):
    done = run("fetch", "bound")
    assert done.exit_code == 1
    assert "bound: Some Terms: its terms restrict what you may do" in done.output
    assert "voicebridge models fetch bound --accept-licence" in done.output
    assert not (cache / "models/bound").exists()
    assert run("fetch", "bound", "--accept-licence").exit_code == 0
    assert run("fetch", "bound").exit_code == 0


def test_a_licence_is_shown_before_the_first_byte(cache, tmp_path):
    (tmp_path / "small.bin").unlink()
    done = run("fetch", "small")
    assert done.exit_code == 1
    assert done.output.startswith("small: MIT; 0 MB\n")


def test_what_has_no_published_checksum_is_told_with_its_own_and_pinned(cache):
    done = run("fetch", "bound", "--accept-licence")
    digest = hashlib.sha256(GGUF).hexdigest()
    assert "no published checksum of file://" in done.output
    assert f"size and structure were checked; its SHA-256 is {digest} (pinned now)" in done.output
    assert run("verify", "bound").output == "bound: ok\n"
    (cache / "models/bound/bound.gguf").write_bytes(GGUF[:-1] + b"x")
    assert run("verify", "bound").exit_code == 1


def test_print_tells_what_would_be_fetched_and_fetches_nothing(cache, tmp_path):
    done = run("fetch", "--print", "bound", "small", "inside")
    plans = {plan["name"]: plan for plan in json.loads(done.output)}
    assert plans["bound"]["files"] == [
        {"file": "bound.gguf", "from": (tmp_path / "bound.gguf").as_uri(), "size": len(GGUF), "exact": True,
         "sha256": "", "md5": "", "seen": ""}
    ]  # fmt: skip
    assert plans["small"]["files"][0]["sha256"] == hashlib.sha256(DATA["small"]).hexdigest()
    assert (plans["bound"]["terms"], plans["inside"]["files"]) == ("restricted", [])
    assert not cache.exists()


@pytest.mark.parametrize("way", ["environment", "configuration", "command line"])
def test_a_mirror_is_named_in_three_ways(cache, tmp_path, monkeypatch, way):
    (tmp_path / "small.bin").unlink()
    mirror, config, more = tmp_path / "mirror", tmp_path / "voicebridge.toml", []
    mirror.mkdir()
    (mirror / "small.bin").write_bytes(DATA["small"])
    if way == "environment":
        monkeypatch.setenv("VOICEBRIDGE_MIRROR", mirror.as_uri())
    elif way == "configuration":
        config.write_text(f'[models]\nmirror = "{mirror}"\n')
        more = ["--config", str(config)]
    else:
        monkeypatch.setenv("VOICEBRIDGE_MIRROR", "/nowhere")
        more = ["--from", str(mirror)]
    done = run("fetch", "small", *more)
    assert done.exit_code == 0, done.output


def test_a_mirror_that_is_not_there_and_a_broken_configuration_end_with_2(cache, tmp_path):
    (tmp_path / "bad.toml").write_text("[models]\nmirrors = 1\n")
    done = run("fetch", "small", "--config", str(tmp_path / "bad.toml"))
    assert done.exit_code == 2 and "models.mirrors: there is no such key" in done.output
    done = run("fetch", "small", "--from", str(tmp_path / "small.bin"))
    assert done.exit_code == 2 and "is no folder" in done.output


def test_what_cannot_be_fetched_from_is_refused_and_what_failed_names_the_mirror(cache, tmp_path):
    done = run("fetch", "small", "--from", "ftp://host/models")
    assert done.exit_code == 2 and "ftp:// cannot be fetched from; a folder, or one of https://" in done.output
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    done = run("fetch", "small", "--from", str(mirror))
    assert done.exit_code == 1
    assert f"Tried:\n  {mirror}/small.bin: " in done.output
    assert f"The mirror {mirror} has to hold small.bin" in done.output
    assert "--from FOLDER" not in done.output and (tmp_path / "small.bin").as_uri() not in done.output


# ---- verify, ls, rm


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
    assert (rows["small"]["licence"], rows["small"]["checksum"], rows["bound"]["checksum"]) == ("MIT", "sha256", "none")
    shown = run("ls").output
    assert re.search(r"^small +any +0  here  MIT$", shown, re.MULTILINE)
    assert "  the small one\n" in shown
    assert "(its terms restrict what you may do) the bound one; some 12 MB of memory; slow" in " ".join(shown.split())


def test_ls_chooses_by_kind_language_and_what_is_here(cache):
    def names(*options: str) -> list[str]:
        return [row["name"] for row in json.loads(run("ls", "--json", *options).output)]

    assert names("--kind", "vad") == ["inside"]
    assert names("--kind", "llm", "--language", "fr") == ["small", "other"]
    assert names("--language", "de-AT") == ["small", "other", "inside", "bound"]
    assert names("--here") == []
    run("fetch", "small")
    assert names("--here") == ["small"]
    assert run("ls", "--kind", "nothing").exit_code == 2
    assert "nothing in the catalogue fits" in run("ls", "--kind", "turn").output


def test_the_whole_catalogue_fits_eighty_columns():
    lines = run("ls").output.splitlines()
    assert len(lines) > 150
    assert max(map(len, lines)) <= 80


def test_the_shell_completes_names_and_to_remove_only_what_is_here(cache):
    def completed(command: str, begun: str) -> list[str]:
        complete = ShellComplete(cli.models, {}, "models", "_MODELS_COMPLETE")
        return [item.value for item in complete.get_completions([command], begun)]

    assert completed("fetch", "") == ["small", "other", "inside", "bound"]
    assert completed("fetch", "sm") == ["small"]
    assert completed("rm", "") == []
    run("fetch", "small")
    assert completed("rm", "") == ["small"] == completed("verify", "")


def test_rm_deletes_what_was_fetched_and_nothing_else(cache):
    run("fetch", "small")
    assert run("rm", "small").exit_code == 0
    assert not (cache / "models/small/small.bin").exists()
    for name in ("small", "inside"):
        done = run("rm", name)
        assert done.exit_code == 1
        assert f"{name} is not among the fetched models" in done.output
