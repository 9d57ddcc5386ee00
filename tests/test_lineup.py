"""Of the settings' engines those that the agents need are made, a list as one, and a start waits for the first."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.engines.failover.servers import Server, serving
from voicebridge import lineup
from voicebridge.config import ConfigError, Settings, load
from voicebridge.engines.failover import members
from voicebridge.engines.failover.stt import SttFailover
from voicebridge.lineup import Engines, beside_the_file, engines_in_use, make_engine
from voicebridge.plugins import PluginError


def settings(folder: Path, text: str) -> Settings:
    file = folder / "voicebridge.toml"
    file.write_text(text, encoding="utf-8")
    return load(file)


def with_servers(folder: Path, first: Server, second: Server, tts: Server) -> Settings:
    return settings(
        folder,
        f'[engines]\nstt = ["first", "unix://{second.path}"]\ntts = "unix://{tts.path}"\nllm = ""\nembed = ""\n'
        f'[engines.options.first]\nengine = "wyoming"\nuri = "unix://{first.path}"\n',
    )


async def test_a_list_is_one_engine_and_its_members_have_their_own_names(tmp_path: Path) -> None:
    a, b, c = (Server(name, tmp_path) for name in "abc")
    made = Engines(with_servers(tmp_path, a, b, c))
    assert isinstance(made.stt, SttFailover)
    assert [engine.name for engine in members(made.stt)] == ["first", f"unix://{b.path}"]
    assert members(made.tts) == [made.tts] and made.tts.name == f"unix://{c.path}"
    assert made.states() == {"stt first": False, f"stt unix://{b.path}": False, f"tts unix://{c.path}": False}
    assert made.llm is None and made.embed is None


async def test_a_start_waits_for_the_first_and_after_a_while_does_with_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path, a="well", b="well", c="well") as (a, b, c):
        await a.die()
        made = Engines(with_servers(tmp_path, a, b, c))
        await made.start()
        try:
            monkeypatch.setattr(lineup, "SPARE_S", 60.0)
            assert not await made.wait_ready(timeout_s=1.0)
            assert made.states()[f"stt unix://{b.path}"]
            monkeypatch.setattr(lineup, "SPARE_S", 0.1)
            assert await made.wait_ready(timeout_s=5.0)
            assert not made.states()["stt first"]
            monkeypatch.setattr(lineup, "SPARE_S", 60.0)
            await a.start()
            began = time.monotonic()
            assert await made.wait_ready(timeout_s=20.0)
            assert made.states()["stt first"] and time.monotonic() - began < 20
        finally:
            await made.stop()
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ('[engines]\nstt = "wyoming"\n', "2: engines.stt", "uri is missing"),
        (
            '[engines]\nstt = "spare"\n[engines.options.spare]\nengine = "wyoming"\nuri = "ftp://a"\n',
            "5: engines.options.spare.uri",
            "neither unix:///PATH nor tcp://HOST:PORT",
        ),
        (
            '[engines]\nllm = "spare"\n[engines.options.spare]\nengine = "openai"\nmodel = "m"\n',
            "3: engines.options.spare",
            "urls",
        ),
        ('[engines]\nllm = ""\nstt = "wosk"\n', "3: engines.stt", "no stt engine 'wosk'; known: moonshine, vosk"),
        ('[engines]\nstt = "piper"\n', "2: engines.stt", "('piper' is a tts engine)"),
        ('[engines]\nstt = "x"\n[engines.options.x]\nengine = "wosk"\n', "4: engines.options.x.engine", "'wosk'"),
        ('[engines]\nstt = "vosk"\n[engines.options.vosk]\nlazy = true\nmodel = "/nope"\n',
         "5: engines.options.vosk.model", "the model file /nope is not there"),
        ('[engines]\nstt = "vosk"\n[engines.options.vosk]\nmodel = "a"\nmodels = { de = "b" }\n',
         "4: engines.options.vosk.model", "either `model` (and `language`) or `models`, not both"),
        ('[engines]\nstt = "vosk"\n[engines.options.vosk]\nlazy = true\nmodle = "x"\n',
         "5: engines.options.vosk.modle", "there is no such option"),
        ('[engines]\ntts = "piper"\n[engines.options.piper]\nvoice = "de_DE-thorstn-medium"\n',
         "4: engines.options.piper.voice", "de_DE-thorsten-medium"),
        ('[engines]\nllm = "http://127.0.0.1:1/v1"\n[engines.options.openai]\napi_key_env = "VB_NOT_SET"\n',
         "4: engines.options.openai.api_key_env", "the environment has no VB_NOT_SET"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_engine_is_told_with_its_place(tmp_path: Path, text: str, place: str, why: str) -> None:
    given = settings(tmp_path, text)
    kind = next(kind for kind in ("stt", "tts", "llm") if f'{kind} = "' in text and f'{kind} = ""' not in text)
    with pytest.raises((ConfigError, PluginError)) as caught:
        make_engine(given, engines_in_use(given)[kind][0])
    assert str(caught.value).startswith(f"{tmp_path / 'voicebridge.toml'}:{place}: ")
    assert why in str(caught.value)


def test_without_deadlines_engines_that_schedule_by_them_are_told(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF")
    text = f'[engines]\ndeadlines = false\n[engines.options.llama_server]\nmodel = "{model}"\n'
    off = settings(tmp_path, text)
    on = settings(tmp_path, text.replace("false", "true"))
    heeded = [make_engine(given, engines_in_use(given)["llm"][0]).gate.heeded(5.0) for given in (on, off)]
    assert heeded == [5.0, 0.0]


async def test_a_judge_of_turns_is_made_where_one_is_named(tmp_path: Path) -> None:
    model = tmp_path / "turn.onnx"
    model.write_bytes(b"")
    servers = [Server(name, tmp_path) for name in "abc"]
    plain = with_servers(tmp_path, *servers)
    assert "turn" not in engines_in_use(plain) and Engines(plain).turn is None
    text = (tmp_path / "voicebridge.toml").read_text().replace('embed = ""', 'embed = ""\nturn = "smart_turn"')
    made = Engines(settings(tmp_path, text + f'[engines.options.smart_turn]\nmodel = "{model}"\n'))
    assert made.turn is not None and "turn smart_turn" in made.states()
    await made.stop()
    with pytest.raises(ConfigError, match="cores: unknown"):
        Engines(settings(tmp_path, text + '[engines.options.smart_turn]\ncores = 2\n'))


def test_a_model_s_relative_path_is_the_configuration_s_not_of_where_we_were_started(tmp_path: Path) -> None:
    file = tmp_path / "voicebridge.toml"
    file.write_text("")
    (tmp_path / "mine").mkdir()
    given = {"model": "voices/a.onnx", "voices": {"a": "mine", "b": "de_DE-thorsten-medium"}, "language": "x/y",
             "voice": "/abs/a.onnx"}  # fmt: skip
    assert beside_the_file(given, file) == {
        "model": str(tmp_path / "voices/a.onnx"), "language": "x/y", "voice": "/abs/a.onnx",
        "voices": {"a": str(tmp_path / "mine"), "b": "de_DE-thorsten-medium"},
    }  # fmt: skip
    assert beside_the_file(given, Path("embedded profile")) == given
    text = '[engines]\ntts = "piper"\n[engines.options.piper]\nvoice = "sub/no.onnx"\n'
    with pytest.raises(ConfigError, match=f"4: engines.options.piper.voice: .*{tmp_path}/sub/no.onnx is not there"):
        given_settings = settings(tmp_path, text)
        make_engine(given_settings, engines_in_use(given_settings)["tts"][0])
