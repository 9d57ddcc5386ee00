"""`voicebridge call --sip` on a real Asterisk: a telephone's whole call, accounts, and who cannot be had."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from tests.pbx.asterisk import Asterisk
from tests.pbx.daemon import REPOSITORY, VoiceDaemon
from voicebridge.audio.measure import voiced_spans
from voicebridge.sip import agent

pytestmark = pytest.mark.asterisk

LIMIT_S = 90.0
QUESTION = REPOSITORY / "voicebridge/data/demo/1.wav"


async def call(asterisk: Asterisk, extension: str, *arguments: object, **environment: str) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    target = f"sip:{extension}@127.0.0.1:{asterisk.sip_port}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voicebridge", "call", "--sip", target, *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY,
        env={**os.environ, **environment},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    return process.returncode or 0, out.decode(), " ".join(err.decode().split())


@pytest.mark.models
async def test_a_telephone_hears_the_demo_s_answers_and_the_record_is_found(
    asterisk: Asterisk, daemon: VoiceDaemon, tmp_path: Path
):
    saved = tmp_path / "call.wav"
    code, out, err = await call(
        asterisk, "agent", QUESTION, "--header", f"X-VB-Media: {daemon.media}", "--json", "--save", saved,
        "-c", daemon.config,
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    (line,) = told["lines"]
    record = told["record"]
    assert record["call_id"] == told["call_id"]
    answered = [turn for turn in record["turns"] if turn["gap_s"] is not None]
    assert len(answered) == 1
    assert line["gap_s"] == pytest.approx(answered[0]["gap_s"], abs=0.25), "the PBX's way and back is in between"
    assert told["ended_by"] == "caller"
    assert told["sip"]["codec"] == "PCMU"
    assert told["sip"]["packets"] > 50 * (told["seconds"] - 2)
    assert told["sip"]["lost"] == 0
    with wave.open(str(saved)) as wav:
        assert wav.getnframes() / 8_000 == pytest.approx(told["seconds"], abs=1.0)
        both = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
    said = [voiced_spans(both[:, side].tobytes(), 8_000, join_s=0.5) for side in (0, 1)]
    assert len(said[0]) >= 1 and said[1][0][0] < said[0][0][0] < said[1][-1][1], "the greeting, he, the answer"
    assert await asyncio.to_thread(asterisk.channels) == 0


async def test_a_user_registers_for_the_call_has_the_endpoints_codec_and_notices_who_hangs_up(asterisk: Asterisk):
    code, out, err = await call(
        asterisk, "brief", "--json", "--local", "127.0.0.2", "--user", "phone", "--password-env", "PW", "--register",
        PW=asterisk.secret,
    )  # fmt: skip
    assert code == 0, err
    assert "registered as phone" in err
    told = json.loads(out)
    assert told["sip"]["codec"] == "PCMA"
    assert told["sip"]["packets"] > 20
    assert told["ended_by"] == "agent"
    assert told["seconds"] < 8
    assert "phone/sip" not in await asyncio.to_thread(asterisk.cli, "pjsip show contacts")


@pytest.mark.parametrize(
    ("extension", "arguments", "why"),
    [
        ("none", (), "404 Not Found: no such extension where our calls arrive: `asterisk -rx 'dialplan show none@"),
        ("busy", (), "486 Busy Here: busy"),
        ("echo", ("--local", "127.0.0.2", "--user", "phone", "--password-env", "PW"), "does not take user 'phone'"),
    ],
    ids=["404", "486", "401"],
)  # fmt: skip
async def test_who_is_refused_is_told_why(asterisk: Asterisk, extension: str, arguments: tuple[str, ...], why: str):
    code, out, err = await call(asterisk, extension, *arguments, PW="wrong")
    assert code == 1
    assert why in err and "Traceback" not in err
    assert out == ""
    assert await asyncio.to_thread(asterisk.channels) == 0


async def test_a_telephone_that_rings_for_ever_is_given_up_and_stops_ringing(asterisk: Asterisk, monkeypatch):
    monkeypatch.setattr(agent, "RING_S", 1.0)
    made = await agent.UserAgent.open(
        agent.Whom("ringing", f"127.0.0.1:{asterisk.sip_port}", "guest"), ("127.0.0.1", asterisk.sip_port),
        account=None, on_ended=lambda: None,
    )  # fmt: skip
    made.take(40_000)
    with pytest.raises(agent.SipError, match="nobody answered ringing within 1 s"):
        await made.invite()
    made.close()
    await asyncio.sleep(0.2)
    assert await asyncio.to_thread(asterisk.channels) == 0
