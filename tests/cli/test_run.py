"""What the command line of run changes in the settings."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from voicebridge.cli.run import overridden
from voicebridge.config import Settings, load


def pbx_only(folder: Path) -> Settings:
    file = folder / "voicebridge.toml"
    file.write_text('[listen]\naudiosocket = "0.0.0.0:9092"\nallow = ["192.0.2.7/32"]\n', encoding="utf-8")
    return load(file)


def admits(settings: Settings, host: str) -> bool:
    return any(ip_address(host) in network for network in settings.config.listen.allow)


def test_listening_on_loopback_lets_this_machine_in_whatever_the_allow_list(tmp_path: Path) -> None:
    before = pbx_only(tmp_path)
    after = overridden(before, None, "127.0.0.1:0", None, None)
    assert not admits(before, "127.0.0.1")
    assert admits(after, "127.0.0.1")
    assert after.config.listen.audiosocket == "127.0.0.1:0"


def test_listening_elsewhere_changes_nobodys_rights(tmp_path: Path) -> None:
    after = overridden(pbx_only(tmp_path), None, "192.0.2.1:9092", None, None)
    assert admits(after, "192.0.2.7")
    assert not admits(after, "127.0.0.1")


def test_listening_to_the_world_without_an_allow_list_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        overridden(load(None), None, "0.0.0.0:9092", None, None)
    assert exit_.value.code == 2
    assert "listen.allow" in capsys.readouterr().err


def test_the_store_is_where_the_command_line_says(tmp_path: Path) -> None:
    after = overridden(load(None), None, None, None, True, tmp_path)
    assert after.config.store.dir == tmp_path
    assert after.config.store.event_log
    assert not after.config.store.record_audio


def test_an_unknown_agent_is_answered_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        overridden(load(None), "nobody", None, None, None)
    assert exit_.value.code == 2
    assert "there are: demo, open" in capsys.readouterr().err


def test_fastagi_is_moved_or_switched_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def after(address: str) -> tuple[str, int] | None:
        return overridden(pbx_only(tmp_path), None, None, None, None, None, address).config.listen.fastagi_address

    assert after("127.0.0.1:4999") == ("127.0.0.1", 4999)
    assert after("") is None
    for bad in ("4573", "127.0.0.1:x"):
        with pytest.raises(SystemExit):
            after(bad)
        assert "--fastagi" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        overridden(load(None), None, None, None, None, None, "0.0.0.0:4573")
    assert "reachable from outside" in capsys.readouterr().err
