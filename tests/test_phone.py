"""The test phone against a peer whose delays are known: what it measures must be right."""

from __future__ import annotations

import asyncio
import socket
import uuid
import wave

import numpy as np
import pytest

from tests.tones import LOUD, peer, tone
from voicebridge import phone
from voicebridge.audio.pcm import FRAME_S, samples, silence
from voicebridge.phone import Line, Phone, PhoneError, read_wav

FRAME_TOLERANCE_S = FRAME_S + 0.01


@pytest.fixture(autouse=True)
def impatience(monkeypatch):
    """An agent who is quiet for so long has finished: less than in real calls, to save time."""
    monkeypatch.setattr(phone, "QUIET_S", 0.4)


@pytest.mark.parametrize(("rate", "delay"), [(8_000, 0.3), (16_000, 0.7)])
async def test_the_response_gap_is_right_within_a_frame(rate, delay):
    lines = [Line("one", silence(0.1, rate) + tone(0.4, rate) + silence(0.2, rate)), Line("two", tone(0.3, rate))]
    async with peer(rate, delay) as (port, peers):
        heard = await Phone("127.0.0.1", port, rate=rate).call(lines, linger_s=0.1)
        (there,) = peers
        async with asyncio.timeout(2):
            await there.gone.wait()
    assert len(there.spoke) == len(heard.lines) == 2
    for spoken, heard_last, spoke in zip(heard.lines, there.heard_last, there.spoke, strict=True):
        assert spoken.gap == pytest.approx(spoke - heard_last, abs=FRAME_TOLERANCE_S)
        assert spoken.gap > delay - FRAME_TOLERANCE_S
    # A sender that was late for a frame sends the next ones closer together: here machines are busy.
    assert heard.lines[0].last_voice - heard.lines[0].first_voice == pytest.approx(0.4, abs=0.15)
    assert there.ids == [uuid.UUID(heard.call_id)]
    assert there.said_goodbye
    assert heard.ended_by == "caller"


async def test_the_end_of_the_agents_voice_after_a_barge_in_is_right_within_a_frame():
    async with peer(delay=0.3, answer_s=3.0, stops=0.2) as (port, peers):
        heard = await Phone("127.0.0.1", port).call([Line("stop", tone(0.6), barge_in_s=0.5)], linger_s=0.1)
    (spoken,) = heard.lines
    assert spoken.agent_stopped - spoken.first_voice == pytest.approx(0.2, abs=2 * FRAME_TOLERANCE_S)
    assert spoken.first_voice > 0.5
    assert len(peers[0].stopped) >= 1


async def test_a_line_waits_until_the_agent_has_finished():
    async with peer(answer_s=0.8) as (port, _):
        heard = await Phone("127.0.0.1", port).call([Line("one", tone(0.2))], linger_s=0.0)
    greeting_ends = heard.moment(round(0.8 * 8_000))
    assert heard.lines[0].begins > greeting_ends


async def test_an_agent_that_hangs_up_ends_the_call():
    told: list[str] = []
    async with peer(hangs_up_after=0.4) as (port, _):
        heard = await asyncio.wait_for(Phone("127.0.0.1", port, on_event=told.append).call([Line("one", tone(0.2))]), 5)
    assert heard.ended_by == "agent"
    assert heard.lines == []
    assert "call ended by agent" in told
    assert 0.3 < heard.seconds < 3


async def test_the_recording_has_caller_and_agent_where_they_spoke(tmp_path):
    async with peer() as (port, _):
        heard = await Phone("127.0.0.1", port).call([Line("one", tone(0.4, hz=1_000))], linger_s=0.2)
    heard.save(tmp_path / "call.wav")
    with wave.open(str(tmp_path / "call.wav")) as wav:
        assert (wav.getnchannels(), wav.getframerate(), wav.getsampwidth()) == (2, 8_000, 2)
        data = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
    assert len(data) / 8_000 == pytest.approx(heard.seconds, abs=0.1)
    (spoken,) = heard.lines
    at = round((spoken.first_voice + 0.05) * 8_000)
    assert np.abs(data[at : at + 1_600, 0]).max() > LOUD
    assert np.abs(data[at : at + 1_600, 1]).max() == 0
    answered = round((spoken.answer + 0.05) * 8_000)
    assert np.abs(data[answered : answered + 1_600, 1]).max() > LOUD


async def test_frames_come_every_20_ms():
    async with peer() as (port, _):
        heard = await Phone("127.0.0.1", port).call([], linger_s=0.5)
    gaps = heard.frame_gaps()
    assert len(gaps) > 40
    assert float(np.median(gaps)) == pytest.approx(FRAME_S, abs=0.005)


async def test_nobody_there_is_an_error_with_a_cure():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(PhoneError, match=rf"nothing answers on 127.0.0.1:{port} .*voicebridge run"):
        await Phone("127.0.0.1", port).call([])


def write_wav(path, data: np.ndarray, rate: int, *, width: int = 2) -> None:
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(data.shape[1])
        wav.setsampwidth(width)
        wav.setframerate(rate)
        wav.writeframes(data.tobytes())


def test_a_file_is_read_at_the_phone_s_rate_the_first_channel_of_it(tmp_path):
    left = samples(tone(0.5, 16_000))
    write_wav(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], axis=1), 16_000)
    pcm = read_wav(tmp_path / "a.wav", 8_000)
    assert len(pcm) == 8_000
    spectrum = np.abs(np.fft.rfft(samples(pcm).astype(float)))
    assert spectrum.argmax() == pytest.approx(220, abs=1)  # 440 Hz in half a second


def test_a_file_that_is_none_is_an_error_that_names_it(tmp_path):
    (tmp_path / "b.wav").write_bytes(b"nothing")
    write_wav(tmp_path / "c.wav", np.zeros((10, 1), dtype=np.uint8), 8_000, width=1)
    for name, why in (("none.wav", "No such file"), ("b.wav", "not a readable WAV"), ("c.wav", "8 bits a sample")):
        with pytest.raises(PhoneError, match=rf"{name}: .*{why}"):
            read_wav(tmp_path / name, 8_000)
