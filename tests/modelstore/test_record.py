"""Folders, two-file voices and what was pinned: fetched over real HTTP, verified against the record, removed."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from voicebridge.modelstore import record
from voicebridge.modelstore.catalogue import Model
from voicebridge.modelstore.fetch import FetchError, fetch, remove

VOSK = {"am/final.mdl": b"am" * 4000, "conf/mfcc.conf": b"--sample-frequency=16000\n", "graph/HCLr.fst": b"h" * 900,
        "graph/Gr.fst": b"g" * 900}  # fmt: skip
ONNX = b"\x08\x08" + bytes(range(256)) * 200
SETTINGS = json.dumps({"audio": {"sample_rate": 22050}, "phoneme_id_map": {"a": [1]}}).encode()


def zipped(files: dict[str, bytes], top: str = "vosk-model") -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as packed:
        for name, data in files.items():
            packed.writestr(f"{top}/{name}", data)
    return sink.getvalue()


def recogniser(site, data: bytes, **more: object) -> Model:
    site.files["vosk-model.zip"] = data
    source = {"url": site.url("vosk-model.zip"), "unpack": True, "size": len(data), **more}
    fields = {"name": "r", "kind": "stt", "about": "", "licence": "Apache-2.0", "file": "vosk-model"}
    return Model.model_validate({**fields, "source": [source]})


@pytest.fixture
def voice(site) -> Model:
    site.files |= {"v.onnx": ONNX, "v.onnx.json": SETTINGS}
    fields = {"name": "v", "kind": "tts", "about": "", "licence": "CC0", "file": "v.onnx"}
    sources = {"source": [{"url": site.url("v.onnx"), "size": len(ONNX)}], "beside": [{"url": site.url("v.onnx.json")}]}
    return Model.model_validate({**fields, **sources})


def left(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {".lock"}


# ---- folders


def test_a_zip_becomes_a_folder_whose_every_file_is_verified(site, tmp_path):
    data = zipped(VOSK)
    model = recogniser(site, data, sha256=hashlib.sha256(data).hexdigest())
    folder = fetch(model, tmp_path)
    assert folder == tmp_path / "models/r/vosk-model" == model.path(tmp_path)
    assert (folder / "am/final.mdl").read_bytes() == VOSK["am/final.mdl"]
    assert left(folder.parent) == {"vosk-model", "fetched.json"}
    assert record.verify(model, tmp_path) == "ok"
    assert record.read(model, tmp_path).pinned == ()
    assert fetch(model, tmp_path) == folder
    assert len(site.asked) == 1
    (folder / "graph/Gr.fst").write_bytes(b"G" * 900)
    assert record.verify(model, tmp_path) == "damaged"
    (folder / "graph/Gr.fst").unlink()
    assert record.verify(model, tmp_path) == "damaged"
    assert fetch(model, tmp_path) == folder
    assert record.verify(model, tmp_path) == "ok"
    assert left(folder.parent) == {"vosk-model", "fetched.json"}


def test_a_folder_that_somebody_put_there_is_not_taken_for_verified(site, tmp_path):
    model = recogniser(site, zipped(VOSK))
    assert record.verify(model, tmp_path) == "missing"
    model.path(tmp_path).mkdir(parents=True)
    assert record.verify(model, tmp_path) == "unchecked"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({**VOSK, "am/final.mdl": b""}, "am/final.mdl missing"),
        ({"README": b"x"}, "am/final.mdl, conf/mfcc.conf, graph/HCLr.fst, graph/Gr.fst missing"),
        ({**VOSK, "../../../escaped": b"x"}, "leads outside"),
    ],
    ids=["empty", "other", "attack"],
)
def test_what_is_no_recogniser_is_refused_and_the_download_thrown_away(site, tmp_path, files, reason):
    model = recogniser(site, zipped(files))
    with pytest.raises(FetchError, match=reason):
        fetch(model, tmp_path)
    assert left(tmp_path / "models/r") == set()
    assert not list(tmp_path.rglob("escaped"))


def test_the_older_layout_of_recognisers_is_one(site, tmp_path):
    files = {"final.mdl": b"x", "mfcc.conf": b"x", "HCLG.fst": b"x", "words.txt": b"x"}
    assert fetch(recogniser(site, zipped(files)), tmp_path).is_dir()


# ---- pins


def test_without_a_published_checksum_what_came_first_is_pinned(site, tmp_path):
    data = zipped(VOSK)
    model = recogniser(site, data)
    fetch(model, tmp_path)
    kept = record.read(model, tmp_path)
    assert kept.pinned == (site.url("vosk-model.zip"),)
    assert kept.downloads == {site.url("vosk-model.zip"): hashlib.sha256(data).hexdigest()}
    (model.path(tmp_path) / "am/final.mdl").write_bytes(b"rotten")
    other = zipped({**VOSK, "am/final.mdl": b"AM" * 4000})
    assert len(other) == len(data)
    site.files["vosk-model.zip"] = other
    with pytest.raises(FetchError, match="was pinned when it was first fetched"):
        fetch(model, tmp_path)
    assert (model.path(tmp_path) / "am/final.mdl").read_bytes() == b"rotten"
    assert remove(model, tmp_path)
    fetch(model, tmp_path)
    assert (model.path(tmp_path) / "am/final.mdl").read_bytes() == b"AM" * 4000


def test_a_record_cannot_vouch_for_what_the_catalogue_knows_better(tmp_path):
    fields = {"name": "m", "kind": "llm", "about": "", "licence": "x", "file": "m.bin"}
    model = Model.model_validate({**fields, "size": 1, "sha256": hashlib.sha256(b"right").hexdigest()})
    home = tmp_path / "models/m"
    home.mkdir(parents=True)
    (home / "m.bin").write_bytes(b"wrong")
    record.write(home, record.Record(files={"m.bin": hashlib.sha256(b"wrong").hexdigest()}))
    assert record.verify(model, tmp_path) == "damaged"
    (home / "m.bin").write_bytes(b"right")
    assert record.verify(model, tmp_path) == "ok"
    (home / "fetched.json").write_text("{not json")
    assert record.read(model, tmp_path) is None
    assert record.verify(model, tmp_path) == "ok"


# ---- voices


def test_a_voice_is_two_files_with_one_progress(site, voice, tmp_path):
    told: list[tuple[int, int]] = []
    path = fetch(voice, tmp_path, lambda done, total: told.append((done, total)))
    assert left(path.parent) == {"v.onnx", "v.onnx.json", "fetched.json"}
    assert path.with_name("v.onnx.json").read_bytes() == SETTINGS
    assert told == sorted(told) and told[-1][0] == len(ONNX) + len(SETTINGS)
    assert voice.present(tmp_path) and record.verify(voice, tmp_path) == "ok"
    assert len(record.read(voice, tmp_path).pinned) == 2
    path.with_name("v.onnx.json").unlink()
    assert not voice.present(tmp_path) and record.verify(voice, tmp_path) == "damaged"


@pytest.mark.parametrize(
    ("file", "data", "reason"),
    [
        ("v.onnx.json", None, "404"),
        ("v.onnx.json", b"{}", "not a Piper voice's settings"),
        ("v.onnx.json", b"{", "is not JSON"),
        ("v.onnx", b"?" * len(ONNX), "not an ONNX file"),
        ("v.onnx", b"<!doctype".ljust(len(ONNX)), "is a web page"),
    ],
    ids=["gone", "other", "cut", "noise", "page"],
)
def test_half_a_voice_is_not_kept(site, voice, tmp_path, file, data, reason):
    if data is None:
        del site.files[file]
    else:
        site.files[file] = data
    with pytest.raises(FetchError, match=reason):
        fetch(voice, tmp_path)
    assert not voice.present(tmp_path)
    assert not voice.path(tmp_path).exists()
    assert record.read(voice, tmp_path) is None


# ---- mirrors, removal


def test_a_mirror_may_hold_what_is_finished(site, voice, tmp_path):
    model = recogniser(site, zipped(VOSK))
    mirror = fetch(model, tmp_path / "there").parent
    fetched = fetch(model, tmp_path / "here", mirror=str(mirror))
    assert (fetched / "am/final.mdl").is_file() and record.verify(model, tmp_path / "here") == "ok"
    for name, data in (("v.onnx", ONNX), ("v.onnx.json", SETTINGS)):
        (mirror / name).write_bytes(data)
    fetch(voice, tmp_path / "here", mirror=mirror.as_uri())
    assert record.read(voice, tmp_path / "here").pinned == ("v.onnx",)
    assert [path for path, _ in site.asked] == ["/vosk-model.zip"]
    (tmp_path / "here/models/v/v.onnx").write_bytes(b"rotten")
    (mirror / "v.onnx").write_bytes(ONNX + b"more")
    with pytest.raises(FetchError, match="is not what was pinned"):
        fetch(voice, tmp_path / "here", mirror=str(mirror))
    (mirror / "v.onnx").write_bytes(ONNX)
    assert fetch(voice, tmp_path / "here", mirror=str(mirror)).read_bytes() == ONNX
    (mirror / "vosk-model/link").symlink_to("/etc/passwd")
    with pytest.raises(FetchError, match="holds symbolic links"):
        fetch(model, tmp_path / "third", mirror=str(mirror))


def test_removing_takes_all_of_it_and_only_of_it(site, voice, tmp_path):
    assert not remove(voice, tmp_path)
    fetch(voice, tmp_path)
    fetch(recogniser(site, zipped(VOSK)), tmp_path)
    assert remove(voice, tmp_path)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["r"]
    assert not remove(voice, tmp_path)
