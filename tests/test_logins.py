"""[ari] and [ami]: where passwords come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebridge.config import ConfigError, load
from voicebridge.pbx.asterisk import ami, ari


def written(folder: Path, text: str) -> Path:
    file = folder / "voicebridge.toml"
    file.write_text(text)
    return file


def test_without_the_tables_nothing_is_used(tmp_path: Path):
    config = load(written(tmp_path, "")).config
    assert ari.access_of(config) is None
    assert ami.access_of(config) is None


def test_the_password_comes_from_the_environment_else_the_file_else_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(ari.PASSWORD_VARIABLE, raising=False)
    plain = load(written(tmp_path, '[ari]\npassword = "geheim"\n')).config
    assert "geheim" not in repr(plain)
    assert ari.access_of(plain) == ari.AriAccess("http://127.0.0.1:8088/ari", "voicebridge", "geheim")
    (tmp_path / "secret").write_text("two\n")
    filed = load(written(tmp_path, f'[ari]\npassword_file = "{tmp_path}/secret"\n')).config
    found = ari.access_of(filed)
    assert found is not None
    assert found.password == "two"
    monkeypatch.setenv(ari.PASSWORD_VARIABLE, "three")
    found = ari.access_of(filed)
    assert found is not None
    assert found.password == "three"


def test_a_password_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(ami.PASSWORD_VARIABLE, raising=False)
    config = load(written(tmp_path, '[ami]\npassword_file = "/nowhere/secret"\n')).config
    with pytest.raises(ConfigError, match=r"ami\.password_file = /nowhere/secret"):
        ami.access_of(config)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[ari]\nurl = "ftp://127.0.0.1/ari"\n', "ari.url"),
        ('[ari]\nurl = "http://me:secret@127.0.0.1:8088/ari"\n', "ari.url"),
        ('[ari]\napp = "a,b"\n', "ari.app"),
        ("[ari]\nrate = 44100\n", "ari"),
        ('[ari]\npassword = "a"\npassword_file = "b"\n', "ari"),
        ('[ari]\nsecret = "a"\n', "ari.secret"),
        ('[ami]\naddress = "5038"\n', "ami.address"),
        ('[ami]\nuser = "a\\nb"\n', "ami.user"),
    ],
    ids=["scheme", "password in the url", "app", "rate", "two passwords", "unknown key", "address", "user"],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, text: str, key: str):
    with pytest.raises(ConfigError, match=rf"voicebridge\.toml:\d+: {key}"):
        load(written(tmp_path, text))


def test_a_password_may_be_a_credential_of_systemds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(ari.PASSWORD_VARIABLE, raising=False)
    config = load(written(tmp_path, '[ari]\npassword_credential = "ari"\n')).config
    assert config.ari is not None
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(OSError, match="LoadCredential=ari:PATH"):
        config.ari.secret(ari.PASSWORD_VARIABLE)
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "ari").write_text("geheim\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert config.ari.secret(ari.PASSWORD_VARIABLE) == "geheim"


def test_a_password_comes_from_one_place(tmp_path: Path):
    with pytest.raises(ConfigError, match="password and password_credential: give one of them"):
        load(written(tmp_path, '[ari]\npassword = "x"\npassword_credential = "ari"\n'))
