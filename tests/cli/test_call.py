"""`voicebridge call` against a peer that speaks in tones, and `voicebridge demo` against everything."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
import wave
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tests.tones import LOUD, peer, tone
from voicebridge import phone
from voicebridge.cli import testcall
from voicebridge.cli.main import main
from voicebridge.trace.store import CallStore


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A store of our own; an agent that is quiet for 0.4 s has finished, and no record is waited for."""
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("VOICEBRIDGE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(phone, "QUIET_S", 0.4)
    monkeypatch.setattr(testcall, "RECORD_WAIT_S", 0.2)
    return tmp_path


@pytest.fixture
def question(place) -> Path:
    path = place / "question.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setparams((1, 2, 16_000, 0, "NONE", ""))
        wav.writeframes(tone(0.4, 16_000))
    return path


async def call(*arguments: object) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, ["call", *map(str, arguments)])


async def test_a_recorded_line_is_said_and_the_gap_told(question):
    async with peer(delay=0.3) as (port, peers):
        done = await call(question, "--to", f"127.0.0.1:{port}", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    (line,) = told["lines"]
    assert line["line"] == "question.wav"
    assert line["gap_s"] == pytest.approx(peers[0].spoke[0] - peers[0].heard_last[0], abs=0.05)
    assert peers[0].ids == [uuid.UUID(told["call_id"])]
    assert (told["ended_by"], told["record"]) == ("caller", None)


async def test_for_people_the_summary_stands_last(question):
    async with peer() as (port, _):
        done = await call(question, "--to", f"127.0.0.1:{port}")
    assert "caller: question.wav" in done.output
    assert "made by" not in done.output
    words = " ".join(done.output.split())
    assert "response gap on the wire: p50" in words
    assert "over 1 turn no record of this call here" in words


async def test_without_lines_the_greeting_is_listened_to_and_saved(place):
    async with peer() as (port, _):
        done = await call("--to", f"127.0.0.1:{port}", "--save", place / "call.wav")
    assert done.exit_code == 0
    assert "no turns" in done.output
    with wave.open(str(place / "call.wav")) as wav:
        assert (wav.getnchannels(), wav.getframerate()) == (2, 8_000)
        both = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
    assert np.abs(both[:, 1]).max() > LOUD and np.abs(both[:, 0]).max() == 0


async def test_at_16_khz_the_line_is_not_resampled_down(question, place):
    async with peer(16_000) as (port, _):
        done = await call(question, "--to", f"127.0.0.1:{port}", "--rate", 16_000, "--save", place / "call.wav")
    assert done.exit_code == 0
    with wave.open(str(place / "call.wav")) as wav:
        assert wav.getframerate() == 16_000


async def test_a_barge_in_tells_how_soon_the_agent_stopped(question):
    async with peer(answer_s=3.0, stops=0.2) as (port, _):
        done = await call(question, "--to", f"127.0.0.1:{port}", "--barge-in", 0.5, "--json")
    (line,) = json.loads(done.stdout)["lines"]
    assert line["barge_in_stop_s"] == pytest.approx(0.2, abs=0.1)


async def test_the_daemon_s_record_is_shown_where_it_is_on_this_machine(monkeypatch, place):
    number = uuid.uuid4()
    monkeypatch.setattr(phone, "new_test_id", lambda: number)
    store = CallStore(place / "state", keep_days=1)
    store.prepare()
    store.write(str(number), {"call_id": str(number), "agent": "desk", "seconds": 1.0, "ended_by": "caller",
                              "outcome": "hangup", "turns": []})
    async with peer() as (port, _):
        done = await call("--to", f"127.0.0.1:{port}")
    assert f"call {number} agent desk" in done.output.replace("\n", " ")


async def test_the_daemon_of_the_configuration_is_called(question, place):
    async with peer() as (port, peers):
        (place / "vb.toml").write_text(f'[listen]\naudiosocket = "0.0.0.0:{port}"\nallow = ["127.0.0.0/8"]\n')
        done = await call(question, "--config", place / "vb.toml")
    assert done.exit_code == 0, done.output
    assert len(peers) == 1


async def test_who_is_hung_up_on_at_once_is_told_why_that_may_be():
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        done = await call("--to", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    assert done.exit_code == 1
    assert "not in its [listen] allow" in done.output


async def test_nobody_there_a_bad_address_and_a_bad_file_are_told_without_a_traceback(place, question):
    for arguments, why in (
        (["--to", "127.0.0.1:1"], "is `voicebridge run` running?"),
        (["--to", "localhost"], "is not an address"),
        ([place / "none.wav"], "none.wav: not a readable WAV file"),
        (["--config", place / "none.toml", "text"], "none.toml: cannot be read"),
    ):
        done = await call(*arguments)
        assert done.exit_code in (1, 2)
        assert why in done.output and "Traceback" not in done.output
    async with peer() as (port, _):
        done = await call("--to", f"127.0.0.1:{port}", "--save", place / "no/folder.wav")
    assert done.exit_code == 1 and "No such file" in done.output


async def test_a_text_for_an_engine_that_is_not_there_is_told(place):
    (place / "vb.toml").write_text('[engines]\ntts = "parrot"\n')
    done = await call("Hello", "--config", place / "vb.toml")
    assert done.exit_code == 1
    assert "no tts engine 'parrot'" in done.output


@pytest.mark.models
async def test_a_text_is_spoken_by_the_configured_voice():
    async with peer() as (port, peers):
        done = await call("Is [this] spoken?", "--to", f"127.0.0.1:{port}", "--json")
    assert done.exit_code == 0, done.output
    (line,) = json.loads(done.stdout)["lines"]
    assert line["line"] == "Is [this] spoken?"
    assert line["gap_s"] is not None and peers[0].heard_last
    assert "made by espeak" in " ".join(done.stderr.split()), "who reads the numbers should know"


def test_help_says_that_a_wav_is_the_better_test():
    assert "understood worse than people" in " ".join(CliRunner().invoke(main, ["call", "--help"]).output.split())


@pytest.mark.models
def test_the_demo_is_a_whole_conversation(place):
    """Everything at once: daemon, models (fetched where they are missing), engines, phone, record and recording."""
    environment = {**os.environ, "VOICEBRIDGE_STATE": str(place / "state")}
    fetched = subprocess.run([sys.executable, "-m", "voicebridge", "models", "fetch"], capture_output=True, text=True)
    assert fetched.returncode == 0, fetched.stderr
    done = subprocess.run(
        [sys.executable, "-m", "voicebridge", "demo", "--json"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["lines"]) >= 3 and all(line["gap_s"] is not None for line in told["lines"])
    record = told["record"]
    assert (record["agent"], record["outcome"]) == ("demo", "hangup")
    said = [piece for turn in record["turns"] for piece in turn["said"] if piece["at"] is not None]
    assert said[0]["kind"] == "greeting" and said[-1]["kind"] == "goodbye"
    assert any(turn["source"] == "rule" and turn["gap_s"] for turn in record["turns"])
    with wave.open(str(place / "state/demo/call.wav")) as wav:
        assert wav.getnframes() / 8_000 == pytest.approx(told["seconds"], abs=0.5)
