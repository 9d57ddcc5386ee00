"""The command that adds an extra names the checkout it came from, never a stranger's package."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from voicebridge import installation


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    installation.source.cache_clear()
    yield
    installation.source.cache_clear()


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path, direct_url: str | None) -> None:
    """As pip leaves it: metadata with that file, our modules beside it and no checkout around."""
    info = folder / "voicebridge_pbx-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: voicebridge-pbx\nVersion: 0.1.0\n")
    if direct_url is not None:
        (info / "direct_url.json").write_text(direct_url)
    found = [metadata.PathDistribution(info)]
    monkeypatch.setattr(installation.metadata, "distributions", lambda **_: found)
    monkeypatch.setattr(installation, "__file__", str(folder / "voicebridge/installation.py"))


def checkout(folder: Path) -> Path:
    (folder / "voicebridge").mkdir(parents=True)
    (folder / "setup.cfg").write_text("")
    return folder


@pytest.mark.parametrize(("about", "flag"), [({}, ""), ({"editable": True}, "-e ")], ids=["plain", "editable"])
def test_from_a_checkout_it_is_the_checkout_again(tmp_path, monkeypatch, about, flag):
    made = checkout(tmp_path / "my checkout")
    installed(monkeypatch, tmp_path / "site", json.dumps({"url": made.as_uri(), "dir_info": about}))
    python = shlex.quote(sys.executable)
    assert installation.cure("vosk") == f"cd '{made}' && {python} -m pip install {flag}'.[vosk]'"


@pytest.mark.parametrize(
    "direct_url",
    [None, "nonsense", "[]", '{"url": "https://h/x.git", "vcs_info": {}}', '{"url": "file:///gone", "dir_info": {}}'],
    ids=["none", "nonsense", "list", "vcs", "gone"],
)
def test_from_elsewhere_it_is_the_package_s_own_name(tmp_path, monkeypatch, direct_url):
    installed(monkeypatch, tmp_path, direct_url)
    assert installation.cure("vosk").endswith(" -m pip install 'voicebridge-pbx[vosk]'")


def test_where_nothing_was_written_down_our_modules_tell(tmp_path, monkeypatch):
    made = checkout(tmp_path / "src")
    installed(monkeypatch, made, None)
    assert installation.cure("piper").startswith(f"cd {made} && ")


def test_llama_is_compiled_by_its_own_command(monkeypatch):
    assert installation.cure("llama") == f"{shlex.quote(sys.executable)} -m voicebridge.engines.llama_cpp.build"
