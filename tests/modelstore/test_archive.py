"""Zip files: one folder comes out whole, and nothing that means harm is written."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from voicebridge.modelstore import archive
from voicebridge.modelstore.archive import BadArchive, unpack

LIMIT = 1 << 20


def packed(folder: Path, entries: dict[str, bytes], modes: dict[str, int] | None = None) -> Path:
    path = folder / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in entries.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = ((modes or {}).get(name, stat.S_IFREG | 0o644)) << 16
            opened.writestr(info, data)
    return path


@pytest.fixture
def into(tmp_path) -> Path:
    (tmp_path / "inner/into").mkdir(parents=True)
    return tmp_path / "inner/into"


def test_the_one_folder_of_an_archive_is_given(tmp_path, into):
    entries = {"vosk-model/am/final.mdl": b"am" * 5000, "vosk-model/conf/mfcc.conf": b"c", "vosk-model/README": b""}
    folder = unpack(packed(tmp_path, entries), into, LIMIT)
    assert folder == into / "vosk-model"
    assert (folder / "am/final.mdl").read_bytes() == b"am" * 5000
    assert sorted(path.name for path in folder.iterdir()) == ["README", "am", "conf"]


@pytest.mark.parametrize(
    "name",
    ["../escaped", "m/../../escaped", "/tmp/voicebridge-escaped", "m/..\\escaped", "m/../escaped"],
    ids=["up", "deep", "absolute", "backslash", "sideways"],
)
def test_a_name_that_leads_outside_is_refused_and_nothing_is_written(tmp_path, into, name):
    path = packed(tmp_path, {"m/fine": b"x", name: b"x"})
    with pytest.raises(BadArchive, match="leads outside"):
        unpack(path, into, LIMIT)
    assert list(into.iterdir()) == []
    assert sorted(each.name for each in tmp_path.rglob("*escaped*")) == []
    assert not Path("/tmp/voicebridge-escaped").exists()


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO], ids=["link", "device", "pipe"])
def test_links_and_devices_are_refused(tmp_path, into, mode):
    path = packed(tmp_path, {"m/am": b"/etc", "m/am/passwd": b"x"}, {"m/am": mode | 0o777})
    with pytest.raises(BadArchive, match="a link or a device"):
        unpack(path, into, LIMIT)
    assert list(into.iterdir()) == []


def test_a_bomb_is_refused_by_what_it_would_grow_to(tmp_path, into):
    path = packed(tmp_path, {"m/zeros": bytes(3 << 20)})
    assert path.stat().st_size < 5000
    with pytest.raises(BadArchive, match=f"would grow to {3 << 20} bytes; {LIMIT} are allowed"):
        unpack(path, into, LIMIT)
    assert list(into.iterdir()) == []


def test_a_bomb_that_lies_about_its_size_does_not_grow_beyond_it(tmp_path, into):
    path = packed(tmp_path, {"m/zeros": bytes(3 << 20)})
    data = path.read_bytes()
    told, lie = (3 << 20).to_bytes(4, "little"), (10).to_bytes(4, "little")
    path.write_bytes(data.replace(told, lie))
    with pytest.raises(BadArchive):
        unpack(path, into, LIMIT)
    assert sum(each.stat().st_size for each in into.rglob("*") if each.is_file()) <= 10


def test_too_many_files_are_refused(tmp_path, into, monkeypatch):
    monkeypatch.setattr(archive, "ENTRIES", 3)
    path = packed(tmp_path, {f"m/{number}": b"" for number in range(4)})
    with pytest.raises(BadArchive, match="has 4 files"):
        unpack(path, into, LIMIT)


def test_a_file_that_is_in_it_twice_is_refused(tmp_path, into):
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as opened, pytest.warns(UserWarning, match="Duplicate"):
        opened.writestr("m/f", b"one")
        opened.writestr("m/f", b"two")
    with pytest.raises(BadArchive, match="in it twice"):
        unpack(path, into, LIMIT)


def test_a_file_that_is_a_folder_as_well_is_refused(tmp_path, into):
    with pytest.raises(BadArchive, match="in it twice"):
        unpack(packed(tmp_path, {"m/f": b"x", "m/f/g": b"x"}), into, LIMIT)


@pytest.mark.parametrize("entries", [{}, {"a/f": b"", "b/f": b""}, {"f": b"x"}], ids=["none", "two", "file"])
def test_what_is_not_one_folder_is_refused(tmp_path, into, entries):
    with pytest.raises(BadArchive, match="one folder was expected"):
        unpack(packed(tmp_path, entries), into, LIMIT)


def test_a_damaged_archive_says_so(tmp_path, into):
    path = packed(tmp_path, {"m/f": bytes(range(256)) * 100})
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(BadArchive, match="cannot be unpacked"):
        unpack(path, into, LIMIT)
    (tmp_path / "page.zip").write_bytes(b"<html>")
    with pytest.raises(BadArchive, match=r"page\.zip cannot be unpacked: File is not a zip file"):
        unpack(tmp_path / "page.zip", into, LIMIT)


def test_the_limit_grows_with_the_archive_and_leaves_small_ones_room():
    assert archive.limit_for(1000) == 64 << 20
    assert archive.limit_for(2_000_000_000) == 8_000_000_000
