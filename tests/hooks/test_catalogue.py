"""The hooks of a configuration, and where what is wrong with them stands."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from voicebridge import plugins
from voicebridge.cli.main import main
from voicebridge.config import ConfigError, load
from voicebridge.hooks import catalogue
from voicebridge.hooks.catalogue import examined, runners
from voicebridge.hooks.file import EventFile
from voicebridge.hooks.webhook import EventWebhook


def settings(tmp_path, text: str):
    (tmp_path / "vb.toml").write_text(f'[store]\ndir = "{tmp_path}"\n{text}')
    return load(tmp_path / "vb.toml")


def test_those_that_are_named_are_made(tmp_path):
    text = '[events.webhook]\nurl = "https://crm.example/x"\n[events.file]\ndir = "d"\n'
    made = runners(settings(tmp_path, text))
    assert isinstance(made["webhook"].hook, EventWebhook) and isinstance(made["file"].hook, EventFile)
    assert runners(settings(tmp_path, "")) == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[events.webhok]\nurl = "x"\n', r"vb.toml:3: events.webhok: no events plug-in 'webhok'; known: file, webhook"),
        ("[events.webhook]\n", r"vb.toml:3: events.webhook.url: is missing"),
        ('[events.webhook]\nurl = "crm"\n', r"vb.toml:4: events.webhook.url: 'crm' is no address"),
        ('[events.webhook]\nurl = "http://crm:99999/"\n', r"vb.toml:4: events.webhook.url: .*is no address"),
        ('[events.webhook]\nurl = "https://xn--/"\n', r"vb.toml:4: events.webhook.url: .*is no address"),
        ('[events.webhook]\nurl = "http://h/"\nurll = 1\n', r"vb.toml:5: events.webhook.urll: there is no such option"),
        ('[events.webhook]\nurl = "http://h/"\nevents = ["turns"]\n', r"vb.toml:5: .*no event 'turns'; there"),
        ('[events.webhook]\nurl = "http://h/"\nevents = []\n', r"vb.toml:5: events.webhook.events: none is named"),
        ('[events.webhook]\nurl = "http://h/"\nsecret_file = "/no"\n', r"vb.toml:5: .*secret_file: /no cannot be read"),
        ('[events.file]\ndir = "d"\nkeep_days = -1\n', r"vb.toml:5: events.file.keep_days: .*greater"),
    ],
    ids=["name", "missing", "address", "port", "host", "typo", "event", "none", "secret", "days"],
)
def test_what_is_wrong_is_told_with_file_line_and_key(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told):
        runners(settings(tmp_path, text))


class Stranger:
    def __init__(self, made) -> None:
        self._made = made

    def create(self, options, folder):
        if isinstance(self._made, Exception):
            raise self._made
        return self._made


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (Stranger(object()), r"events.file: create\(options, folder\) gave a object: .* handle, close and events"),
        (Stranger(RuntimeError("boom")), r"events.file: RuntimeError: boom"),
        (Stranger(ValueError("dir: too deep")), r"vb.toml:4: events.file.dir: too deep"),
        (Stranger(KeyError("key")), r"events.file.key: is missing"),
        (object(), r"events.file: it is a object without create"),
    ],
    ids=["no_hook", "boom", "value", "key", "no_plugin"],
)
def test_a_strangers_faults_are_told_too(tmp_path, monkeypatch, thing, told):
    monkeypatch.setattr(catalogue.plugins, "load", lambda kind, name: thing)
    with pytest.raises(ConfigError, match=told):
        runners(settings(tmp_path, '[events.file]\ndir = "d"\n'))


def test_plugins_ls_and_check_tell_of_them(tmp_path):
    made = settings(tmp_path, '[events.webhook]\nurl = "crm"\n')
    assert {plugin.name: (wanted, bool(plugin.refused)) for plugin, wanted in examined(made)} == {
        "file": (False, False), "webhook": (True, True)
    }  # fmt: skip
    done = CliRunner().invoke(main, ["plugins", "ls", "--json", "-c", str(tmp_path / "vb.toml")])
    rows = {row["name"]: row["state"] for row in json.loads(done.stdout) if row["kind"] == "events"}
    assert rows == {"file": "unset", "webhook": "refused"}
    done = CliRunner().invoke(main, ["plugins", "check", "-c", str(tmp_path / "vb.toml")])
    assert done.exit_code == 1 and "vb.toml:4: events.webhook.url: 'crm' is no address" in done.output
    assert plugins.names("events") == ["file", "webhook"]
