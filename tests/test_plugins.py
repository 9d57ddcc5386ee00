"""Engines are found by name, the built-in ones like strangers; what is missing is named with its cure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from voicebridge import plugins
from voicebridge.plugins import ENGINES, GROUPS, OURS, PluginError, load, load_all, names


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """An installed distribution with engines of its own: a module, its metadata, its entry points."""
    info = tmp_path / "vb_parrot-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vb-parrot\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[voicebridge.tts]\nparrot = vb_parrot:ENGINE\nbroken = vb_parrot:NOTHING\nlost = vb_no_such_module:ENGINE\n"
        "needy = vb_parrot_needy:ENGINE\n"
    )
    (tmp_path / "vb_parrot.py").write_text("ENGINE = object()\n")
    (tmp_path / "vb_parrot_needy.py").write_text("import vb_a_library_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in ("vb_parrot", "vb_parrot_needy"):
        sys.modules.pop(name, None)


def test_the_built_in_engines_stand_in_the_same_lists_as_strangers(stranger):
    assert {"moonshine", "wyoming"} <= set(names("stt"))
    assert "llama_server" in names("llm")
    assert {"espeak", "wyoming", "parrot"} <= set(names("tts"))
    assert names("tts") == sorted(names("tts"))


def test_every_default_engine_is_installed_under_its_name():
    from voicebridge.config import Engines

    for kind in ENGINES:
        expected = [] if kind == "turn" else [True]
        assert [choice.plugin in names(kind) for choice in Engines().chosen(kind)] == expected


def test_a_stranger_s_engine_is_loaded_by_its_name(stranger):
    import vb_parrot

    assert load("tts", "parrot") is vb_parrot.ENGINE


def test_the_daemon_s_process_loads_no_gpl_code_with_the_engine():
    code = "import sys; from voicebridge import plugins; plugins.load('tts', 'espeak'); print('espeakng_loader' in "
    code += "sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"


def test_an_unknown_engine_is_named_with_those_there_are():
    with pytest.raises(PluginError, match=r"no stt engine 'ears'; known: .*moonshine.*Is its package installed"):
        load("stt", "ears")


@pytest.mark.parametrize(
    ("name", "why"), [("lost", "vb_no_such_module"), ("needy", "vb_a_library_that_is_not_there"), ("broken", "NOTHING")]
)
def test_an_engine_that_does_not_load_is_named_with_its_package(stranger, name, why):
    with pytest.raises(PluginError, match=rf"'{name}' of package vb-parrot does not load: .*{why}"):
        load("tts", name)


def test_the_groups_are_those_of_the_package_s_own_metadata():
    text = (Path(plugins.__file__).parents[1] / "setup.cfg").read_text()
    declared = set(re.findall(r"^(voicebridge\.\w+) =$", text, re.MULTILINE))
    assert declared == set(GROUPS.values())


def test_all_of_a_kind_are_loaded_ours_first_and_what_does_not_load_says_why(stranger):
    found = load_all("tts")
    assert [plugin.package for plugin in found] == sorted((plugin.package for plugin in found), key=lambda p: p != OURS)
    why = {plugin.name: plugin.refused for plugin in found if plugin.package == "vb-parrot"}
    assert set(why) == {"parrot", "broken", "lost", "needy"}
    assert why["parrot"] == ""
    assert "vb_no_such_module" in why["lost"]
    (parrot,) = [plugin for plugin in found if plugin.name == "parrot"]
    assert (parrot.kind, parrot.version, parrot.thing) == ("tts", "1.0", load("tts", "parrot"))


def test_a_stranger_cannot_take_a_built_in_s_name(tmp_path, monkeypatch):
    info = tmp_path / "a_first-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-first\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[voicebridge.tts]\nespeak = json:dumps\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("tts", "espeak") is not json.dumps
    (second,) = [plugin for plugin in load_all("tts") if plugin.package == "a-first"]
    assert OURS in second.refused and "a-first" in second.refused
