"""One download: resumed only where the halves fit, refused where it is something else, kept off full disks."""

from __future__ import annotations

import hashlib
import shutil
from collections import namedtuple
from pathlib import Path

import httpx
import pytest

from voicebridge.modelstore.catalogue import Download
from voicebridge.modelstore.download import FetchError, asked, in_words, mirror_folder, obtain

DATA = bytes(range(256)) * 4_000  # 1 MB
OTHER = DATA[::-1]
SHA = hashlib.sha256(DATA).hexdigest()
MD5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
Usage = namedtuple("Usage", "total used free")


def nothing(done: int, total: int) -> None:
    pass


def fetched(folder: Path, wanted: Download, **more: object) -> bytes:
    return obtain(wanted, folder, nothing, **more).path.read_bytes()  # type: ignore[arg-type]


def broken_off(site, folder: Path, wanted: Download, at: int = 300_000) -> None:
    site.break_after = at
    with pytest.raises(Exception, match="peer closed|bytes came"):
        obtain(wanted, folder, nothing)
    assert 0 < (folder / "model.bin.part").stat().st_size <= at


@pytest.fixture
def wanted(site) -> Download:
    """Nobody tells its checksum, and its size only roughly."""
    site.files["model.bin"] = DATA
    return Download(url=site.url("model.bin"), size=1_000_000, rounded=True)


def test_without_a_checksum_it_goes_on_only_where_the_server_says_that_it_is_the_same(site, wanted, tmp_path):
    site.etag = '"one"'
    broken_off(site, tmp_path, wanted)
    assert fetched(tmp_path, wanted) == DATA
    assert (site.if_range[-1], site.asked[-1][1] is not None) == ('"one"', True)


def test_a_file_that_has_changed_meanwhile_is_begun_anew(site, wanted, tmp_path):
    site.etag = '"one"'
    broken_off(site, tmp_path, wanted)
    site.files["model.bin"], site.etag = OTHER, '"two"'
    assert fetched(tmp_path, wanted) == OTHER


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_without_checksum_and_validator_it_is_begun_anew(site, wanted, tmp_path, etag):
    site.etag = etag
    broken_off(site, tmp_path, wanted)
    assert fetched(tmp_path, wanted) == DATA
    assert site.asked[-1][1] is None


def test_a_pinned_checksum_makes_it_safe_to_go_on(site, wanted, tmp_path):
    broken_off(site, tmp_path, wanted)
    assert fetched(tmp_path, wanted, pinned=SHA) == DATA
    assert site.asked[-1][1] is not None


def test_a_server_that_sends_from_elsewhere_is_not_believed(site, wanted, tmp_path):
    site.etag = '"one"'
    broken_off(site, tmp_path, wanted)
    site.begin_at = 5
    with pytest.raises(FetchError, match="from byte 5 where"):
        obtain(wanted, tmp_path, nothing)


def test_a_server_that_has_less_than_came_before_makes_it_begin_anew(site, wanted, tmp_path):
    site.etag = '"one"'
    broken_off(site, tmp_path, wanted)
    site.files["model.bin"] = DATA[:1000]
    with pytest.raises(FetchError, match="begin anew"):
        obtain(wanted, tmp_path, nothing)
    assert list(tmp_path.iterdir()) == []


def test_what_is_far_from_a_rounded_size_is_a_web_page_and_does_not_come(site, wanted, tmp_path):
    site.files["model.bin"] = b"<html>moved</html>"
    with pytest.raises(FetchError, match="has 18 bytes, about 1000000 were expected"):
        obtain(wanted, tmp_path, nothing)


def test_a_server_that_does_not_tell_the_length_cannot_send_for_ever(site, wanted, tmp_path):
    site.no_length = True
    site.files["model.bin"] = DATA * 3
    with pytest.raises(FetchError, match="more than the 2000000 bytes"):
        obtain(wanted, tmp_path, nothing)
    assert list(tmp_path.iterdir()) == []
    site.files["model.bin"] = DATA
    assert fetched(tmp_path, wanted) == DATA


def test_an_md5_is_checked_where_the_publisher_tells_no_more(site, wanted, tmp_path):
    told = wanted.model_copy(update={"md5": MD5})
    assert fetched(tmp_path / ".", told) == DATA
    (tmp_path / "model.bin.done").unlink()
    site.files["model.bin"] = OTHER
    with pytest.raises(FetchError, match=f"has MD5 .* expected {MD5}"):
        obtain(told, tmp_path, nothing)
    assert list(tmp_path.iterdir()) == []


def test_what_was_pinned_has_to_come_again(site, wanted, tmp_path):
    site.files["model.bin"] = OTHER
    with pytest.raises(FetchError, match=f"{SHA} was pinned .* voicebridge models rm"):
        obtain(wanted, tmp_path, nothing, pinned=SHA)


def test_no_byte_comes_that_the_disk_has_no_room_for(site, wanted, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 10**9 - 5 * 10**6, 5 * 10**6))
    with pytest.raises(FetchError, match=r"has 5 MB left, 468 MB are needed: make room, or set VOICEBRIDGE_CACHE"):
        obtain(wanted, tmp_path, nothing, unpacked=400_000_000)
    assert not (tmp_path / "model.bin.part").exists()


def test_a_full_disk_gets_back_what_had_come(site, wanted, tmp_path):
    (tmp_path / "model.bin.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        obtain(wanted, tmp_path, nothing)
    assert list(tmp_path.iterdir()) == []


def test_a_whole_download_that_was_not_used_is_not_fetched_again_and_a_damaged_one_is(site, wanted, tmp_path):
    told = wanted.model_copy(update={"sha256": SHA})
    obtain(told, tmp_path, nothing)
    obtain(told, tmp_path, nothing)
    assert len(site.asked) == 1
    (tmp_path / "model.bin.done").write_bytes(OTHER)
    assert fetched(tmp_path, told) == DATA


def test_a_mirror_on_a_web_server_is_asked_by_the_files_name(site, tmp_path):
    site.files["mirror/model.bin"] = DATA
    wanted = Download(url="https://models.example/deep/down/model.bin", sha256=SHA, size=len(DATA))
    got = obtain(wanted, tmp_path, nothing, mirror=site.url("mirror/"))
    assert (got.path.read_bytes(), got.url) == (DATA, wanted.url)
    assert [path for path, _ in site.asked] == ["/mirror/model.bin"]


def test_a_mirror_is_a_folder_an_address_or_nothing(tmp_path):
    assert mirror_folder("") is None
    assert mirror_folder("https://mirror.example/models") is None
    assert mirror_folder("/srv/models") == Path("/srv/models")
    assert mirror_folder("file:///srv/with%20blank") == Path("/srv/with blank")
    assert mirror_folder("~/models") == Path.home() / "models"


def test_a_file_of_another_size_is_not_copied(tmp_path):
    (tmp_path / "model.bin").write_bytes(DATA)
    wanted = Download(url=(tmp_path / "model.bin").as_uri(), size=5)
    with pytest.raises(FetchError, match="5 were expected"):
        obtain(wanted, tmp_path, nothing)
    with pytest.raises(FetchError, match="gone is not there"):
        obtain(Download(url=(tmp_path / "gone").as_uri()), tmp_path, nothing)


def test_where_it_was_looked_for_is_the_mirror_where_there_is_one(tmp_path):
    file = Download(url="https://publisher.example/a/model.bin")
    assert asked(file, "") == "https://publisher.example/a/model.bin"
    assert asked(file, "http://mirror.example/m/") == "http://mirror.example/m/model.bin"
    assert asked(file, tmp_path.as_uri()) == asked(file, str(tmp_path)) == f"{tmp_path}/model.bin"


def test_a_name_that_nobody_resolves_is_told_in_words():
    for text in ("[Errno -2] Name or service not known", "[Errno -3] Temporary failure in name resolution"):
        assert in_words(httpx.ConnectError(text)) == "no network here, or no such host"
    assert in_words(httpx.ConnectError("[Errno 111] Connection refused")) == "[Errno 111] Connection refused"
    assert in_words(ValueError()) == "ValueError"
