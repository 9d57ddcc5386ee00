"""The dialplan files as they come, and their way into a folder of Asterisk's."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebridge.pbx.asterisk import shipped
from voicebridge.pbx.asterisk.shipped import InstallError, differences, extensions, files, includes, install

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """An Asterisk's configuration folder, with a dialplan that lacks its last newline."""
    (tmp_path / "extensions.conf").write_bytes(b"[default]\nexten => 1,1,Hangup() ; caf\xe9")
    return tmp_path


def test_the_files_of_the_package_are_those_of_the_repository():
    found = files()
    assert next(iter(found)) == "voicebridge.conf"
    there = {path.name: path.read_text() for path in (REPOSITORY / "dialplan/asterisk").glob("*.conf")}
    assert found == there


def test_every_step_of_a_file_is_found():
    text = files()["voicebridge.conf"]
    contexts = extensions(text)
    assert {"voicebridge", "voicebridge-agent", "voicebridge-handoff", "voicebridge-headers"} <= set(contexts)
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith((";", "["))]
    assert sum(len(steps) for context in contexts.values() for steps in context.values()) == len(lines)
    steps = contexts["voicebridge"]["s"]
    assert steps[0] == "Set(VB_STATUS=FALLBACK)"
    assert "TryExec(AudioSocket(${VB_CALL},${VB_MEDIA}))" in steps


def test_every_way_of_writing_a_step():
    made = extensions(
        "[a]\nexten => 1,1,NoOp(x) ; said\nsame => n(label),Set(Y=a\\;b)\n same=>n,Return()\nexten=2,1,Hangup()\n"
    )
    assert made == {"a": {"1": ["NoOp(x)", "Set(Y=a\\;b)", "Return()"], "2": ["Hangup()"]}}


def test_a_changed_step_is_found_and_named():
    wanted = extensions(files()["voicebridge.conf"])["voicebridge-handoff"]
    loaded = {exten: list(steps) for exten, steps in wanted.items()}
    assert differences(loaded, wanted) == []
    loaded["to-queue"][0] = "Queue(mine)"
    del loaded["i"]
    loaded["900"] = ["Dial(PJSIP/x)"]
    assert differences(loaded, wanted) == ["900", "i", "to-queue"]


def test_installing_copies_includes_and_keeps_what_was_there(etc: Path):
    before = (etc / "extensions.conf").read_bytes()
    (etc / "extensions.conf").chmod(0o640)
    steps = list(install(etc, dry_run=False))
    assert [step.change for step in steps] == ["new"] * len(files()) + ["changed"]
    for name, text in files().items():
        assert (etc / name).read_text() == text
        assert (etc / name).stat().st_mode & 0o777 == 0o640  # Asterisk's user reads it by its group
    after = (etc / "extensions.conf").read_bytes()
    assert after.startswith(before + b"\n#include \"voicebridge.conf\"\n")
    assert all(includes(after.decode("latin-1"), name) for name in files())
    assert Path(steps[-1].backup).read_bytes() == before


def test_a_second_time_changes_nothing(etc: Path):
    list(install(etc, dry_run=False))
    seen = {path: path.read_bytes() for path in etc.iterdir()}
    assert {step.change for step in install(etc, dry_run=False)} == {"unchanged"}
    assert {path: path.read_bytes() for path in etc.iterdir()} == seen


def test_a_dry_run_says_it_all_and_does_nothing(etc: Path):
    seen = {path: path.read_bytes() for path in etc.iterdir()}
    steps = list(install(etc, dry_run=True))
    assert [step.change for step in steps] == ["new"] * len(files()) + ["changed"]
    assert '#include "voicebridge.conf"' in steps[-1].what
    assert {path: path.read_bytes() for path in etc.iterdir()} == seen


def test_a_file_that_was_edited_is_kept(etc: Path):
    (etc / "voicebridge.conf").write_text("[voicebridge]\nexten => s,1,Hangup()\n")
    first = next(iter(install(etc, dry_run=False)))
    assert first.change == "changed"
    assert "Hangup" in Path(first.backup).read_text()


def test_on_freepbx_the_administrators_file_includes_it(etc: Path):
    (etc / "extensions_additional.conf").touch()
    before = (etc / "extensions.conf").read_bytes()
    steps = list(install(etc, dry_run=False))
    assert Path(steps[-1].file).name == "extensions_custom.conf"
    assert steps[-1].change == "new"
    assert (etc / "extensions.conf").read_bytes() == before
    assert {step.change for step in install(etc, dry_run=False)} == {"unchanged"}


def test_a_link_to_the_real_file_stays_one(etc: Path, tmp_path: Path):
    real = tmp_path / "elsewhere.conf"
    (etc / "extensions.conf").rename(real)
    (etc / "extensions.conf").symlink_to(real)
    list(install(etc, dry_run=False))
    assert (etc / "extensions.conf").is_symlink()
    assert "voicebridge.conf" in real.read_bytes().decode("latin-1")


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ('#include "voicebridge.conf"', True), ("#include voicebridge.conf", True),
        ("#include <voicebridge.conf>", True),
        ('#tryinclude "/etc/asterisk/voicebridge.conf" ; ours', True), ('  #include "voicebridge.conf"', True),
        ('; #include "voicebridge.conf"', False), ('#include "my-voicebridge.conf"', False),
        ('#include "voicebridge.conf.old"', False), ('#include "voicebridge-ari.conf"', False),
    ],
)
def test_an_include_is_known_however_it_is_written(line: str, there: bool):
    assert includes(f"[x]\n{line}\nexten => 1,1,Hangup()\n", "voicebridge.conf") is there


def test_where_no_asterisk_is_it_says_so(tmp_path: Path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InstallError, match="--to"):
            list(install(folder, dry_run=False))
    assert list(tmp_path.iterdir()) == []


def test_without_permission_it_says_so(etc: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(etc / "voicebridge.conf"))

    monkeypatch.setattr(Path, "write_text", refused)
    with pytest.raises(InstallError, match=r"voicebridge\.conf: no permission.*sudo"):
        list(install(etc, dry_run=False))


def test_backups_of_one_second_do_not_overwrite_each_other(etc: Path):
    path = etc / "extensions.conf"
    made = {shipped._backup(path) for _ in range(3)}
    assert len(made) == 3 and all(Path(name).exists() for name in made)
