"""doctor's way of the audio through a real Asterisk and back, and what breaks it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from tests.pbx.asterisk import Asterisk
from voicebridge.cli.checks import audioloop
from voicebridge.cli.checks.audioloop import CHIRPS_AT_S, RATE, Heard
from voicebridge.cli.checks.finding import Finding

asterisk_only = pytest.mark.asterisk
FRAME = 320


def returned(
    *, delay_s: float = 0.03, gain: float = 1.0, rate: float = 1.0, seconds: float = audioloop.LOOP_S
) -> Heard:
    """What an ideal PBX gives back, on a clock that runs `rate` times as fast as ours."""
    sent = audioloop.script(seconds)
    late = bytes(2 * round(delay_s * RATE))
    louder = np.clip(np.frombuffer(late + sent, "<i2") * gain, -32768, 32767).astype("<i2").tobytes()
    frames = [louder[at : at + FRAME] for at in range(0, len(sent) - FRAME, FRAME)]
    return Heard(sent=bytearray(sent), arrivals=[(n * 0.02 / rate, frame) for n, frame in enumerate(frames)])


def test_delay_and_level_are_measured_to_the_millisecond():
    found = audioloop.delays(returned(delay_s=0.043, gain=0.5))
    assert len(found) == len(CHIRPS_AT_S)
    assert [delay for delay, _ in found] == pytest.approx([0.043] * 4, abs=0.001)
    assert [gain for _, gain in found] == pytest.approx([-6.02] * 4, abs=0.2)


@pytest.mark.parametrize(
    ("heard", "state", "words"),
    [
        (returned(), "ok", "back after 30 ms"),
        (returned(delay_s=0.2), "warn", "back after 200 ms"),
        (returned(gain=0.25), "warn", "level -12.0 dB"),
        (Heard(), "fail", "no audio"),
        (Heard(trouble="Asterisk did not call"), "fail", "did not call"),
        (Heard(arrivals=[(n * 0.02, bytes(FRAME)) for n in range(150)]), "fail", "not what was sent"),
    ],
    ids=["well", "late", "quiet", "mute", "no call", "silence"],
)
def test_what_came_back_is_judged(heard, state, words):
    found = audioloop.loop(heard)
    assert (found.state, words in found.found) == (state, True), found
    assert bool(found.cure) == (state != "ok")


@pytest.mark.parametrize("ppm", [-800.0, 0.0, 500.0])
def test_a_clock_that_runs_away_is_found_under_jitter(ppm):
    steady = returned(rate=1 + ppm / 1e6, seconds=audioloop.TONE_S)
    noise = np.random.default_rng(3).exponential(0.004, len(steady.arrivals))
    steady.arrivals = [(at + late, pcm) for (at, pcm), late in zip(steady.arrivals, noise, strict=True)]
    measured, error = audioloop.drift(steady)
    assert abs(measured - ppm) < max(150.0, 2 * error)
    assert audioloop.clock(steady).state == ("ok" if abs(ppm) < 300 else "warn")


def findings(asterisk: Asterisk) -> Iterator[Finding]:
    return audioloop.check(lambda question: asterisk.cli(question), "127.0.0.1", lambda text: None)


@asterisk_only
def test_audio_comes_back_through_a_real_asterisk(asterisk: Asterisk):
    loop, clock = findings(asterisk)
    assert loop.state in ("ok", "warn"), loop
    assert "4 of 4 chirps" in loop.found
    assert "level +0.0 dB" in loop.found or "level -0.0 dB" in loop.found
    assert clock.state in ("ok", "warn"), clock
    assert "ppm" in clock.found


@asterisk_only
def test_without_its_channel_driver_the_loop_says_what_is_missing(asterisk: Asterisk):
    asterisk.cli("module unload chan_audiosocket.so")
    try:
        (found,) = findings(asterisk)
    finally:
        asterisk.cli("module load chan_audiosocket.so")
    assert found.state == "fail"
    assert "chan_audiosocket" in found.cure


async def test_who_asks_for_a_dead_console_is_told():
    def dead(question: str) -> str:
        raise audioloop.ConsoleError("asterisk is not installed here: name it with --asterisk")

    (found,) = await asyncio.to_thread(lambda: list(audioloop.check(dead, "127.0.0.1", lambda text: None)))
    assert (found.state, "not installed" in found.found) == ("fail", True)
