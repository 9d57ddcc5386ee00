"""Where the control socket is, for the daemon and whoever looks for it, and who may open it."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from voicebridge.config import Config, Store
from voicebridge.control.place import LONGEST, Taken, answers, identity, listening, socket_path
from voicebridge.operating import Control


def config(folder: Path, given: str | None = None) -> Config:
    return Config(store=Store(dir=folder), control=Control(socket=given))


@pytest.mark.parametrize(
    ("given", "path"),
    [(None, "/var/lib/vb/control.sock"), ("/run/vb/c", "/run/vb/c"), ("c.sock", "/var/lib/vb/c.sock"), ("", None)],
    ids=["default", "absolute", "relative", "off"],
)
def test_it_is_in_the_store_unless_told_otherwise(given, path):
    assert socket_path(config(Path("/var/lib/vb"), given)) == (Path(path) if path else None)


def test_a_path_that_is_too_long_has_a_short_one_and_everybody_finds_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    long = tmp_path / ("ä" * 60)
    found = socket_path(config(long))
    assert found == socket_path(config(long)) != socket_path(config(tmp_path / ("b" * 120)))
    assert len(os.fsencode(found)) <= LONGEST and found.parent == Path(f"/tmp/voicebridge-{os.getuid()}")
    with listening(found):
        assert answers(found)
        assert stat.S_IMODE(found.parent.stat().st_mode) == 0o700
    found.unlink()


def test_a_folder_that_others_can_enter_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    found = socket_path(config(tmp_path / ("b" * 120)))
    found.parent.mkdir(mode=0o755)
    found.parent.chmod(0o755)
    with pytest.raises(PermissionError, match="not a folder of ours alone"):
        listening(found)


def test_only_its_owner_may_open_it(tmp_path):
    path = tmp_path / "store" / "control.sock"
    with listening(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [file.name for file in path.parent.iterdir()] == ["control.sock"]


def test_what_a_dead_daemon_left_is_replaced_and_a_living_ones_is_not(tmp_path):
    path = tmp_path / "control.sock"
    listening(path).close()
    assert path.exists() and not answers(path)
    before = identity(path)
    with listening(path):
        assert identity(path) != before
        with pytest.raises(Taken):
            listening(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_file_of_that_name_is_no_socket(tmp_path):
    assert identity(tmp_path / "nothing") is None
    (tmp_path / "file").touch()
    assert identity(tmp_path / "file") is None
