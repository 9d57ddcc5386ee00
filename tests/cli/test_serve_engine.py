"""`voicebridge engines serve`: what it refuses to open, and an engine that is really served."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from voicebridge.cli.serve_engine import serve
from voicebridge.engines.base import Voice
from voicebridge.engines.wyoming_tts import ENGINE as TTS


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["espeak", "--listen", "0.0.0.0"], "is reachable from outside: name who may connect, e.g. --allow"),
        (["espeak", "--listen", "[::]:10200"], "is reachable from outside"),
        (["espeak", "--listen", "box.example"], "is reachable from outside"),
        (["espeak", "--allow", "10.0.0.7/8"], "has host bits set; write e.g. 10.0.0.0/24"),
        (["espeak", "--key-env", "HOME"], "Wyoming has no keys"),
        (["llama_server", "--listen", "0.0.0.0", "--allow", "10.0.0.0/8"], "with a key only: --key-env"),
        (["llama_server", "--key-env", "VB_NOT_SET"], "has no VB_NOT_SET: set it"),
        (["nobody"], "no engine is named 'nobody'"),
        (["wyoming"], "several engines: add --kind stt or --kind tts"),
        (["openai"], "openai runs no server on this machine"),
    ],
    ids=range(10),
)
def test_what_is_not_served(arguments, why, tmp_path):
    (tmp_path / "voicebridge.toml").write_text('[engines.options.openai]\nurls = "http://127.0.0.1:1"\n')
    made = CliRunner().invoke(serve, [*arguments, "--config", str(tmp_path / "voicebridge.toml")])
    assert made.exit_code == 2
    assert why in made.output


def test_an_address_that_this_machine_does_not_have_is_told():
    made = CliRunner().invoke(serve, ["espeak", "--listen", "192.0.2.1:10200", "--allow", "192.0.2.0/24"])
    assert made.exit_code == 2
    assert "cannot listen on 192.0.2.1:10200: this machine has no such address" in made.output


async def test_a_voice_is_served_by_the_line_that_it_prints(tmp_path):
    """In the folder of the configuration it has an alias; another program speaks with it over TCP."""
    (tmp_path / "voicebridge.toml").write_text(
        '[engines]\ntts = "slow"\n[engines.options.slow]\nengine = "espeak"\nthreads = 1\n'
    )
    code = "from voicebridge.cli.serve_engine import serve; serve()"
    arguments = ["slow", "--listen", "127.0.0.1:0", "--config", str(tmp_path / "voicebridge.toml")]
    serving = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert serving.stdout is not None
        kind, _, address = serving.stdout.readline().strip().partition(" = ")
        assert kind == "tts"
        assert serving.stdout.readline() == "ready: slow serves\n"
        engine = TTS.create({"uri": address.strip('"')})
        await engine.start()
        assert await engine.wait_ready(30)
        now = time.monotonic()
        spoken = await engine.synthesize("Hello there.", voice=Voice(), deadline=now, give_up=now + 20)
        assert len(spoken.pcm) > 0.3 * 2 * spoken.rate
        assert not spoken.estimated  # our own word marks come along
        await engine.stop()
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(20) == 0
    finally:
        if serving.poll() is None:
            os.killpg(serving.pid, signal.SIGKILL)
        serving.wait()
