"""The echo guard, on recorded speech through made echo paths: what is ours, what is the caller's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from bench.speakerphone import Room, at_level, echo_of, mu_law, to_pcm, watch
from voicebridge.audio.echo import EchoGuard
from voicebridge.audio.echopath import PathFinder
from voicebridge.audio.pcm import frame_bytes, samples
from voicebridge.audio.resample import resample_segment
from voicebridge.phone import read_wav

SPEECH = sorted((Path(__file__).parent / "speech").glob("*.wav"))
EXAM = Path(__file__).parents[2] / "bench/exam/wav"
RATE = 8_000
PATHS = {
    "near and loud": Room(0.06, -12, seed=1),
    "far": Room(0.58, -20, seed=2),
    "clipped": Room(0.25, -16, clip=True, seed=3),
    "faint": Room(0.33, -34, seed=4),
}


@cache
def agent() -> bytes:
    """The agent's side: three recorded sentences with pauses."""
    return b"".join(read_wav(SPEECH[index], RATE) + bytes(RATE) for index in (2, 4, 3, 2))


@cache
def caller(name: str) -> np.ndarray:
    return samples(read_wav(EXAM / f"{name}.wav", RATE)).astype(np.float64)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_once_it_is_found_an_echo_is_nobodys_voice(path):
    came = to_pcm(mu_law(echo_of(agent(), path)))
    bare, guarded = watch(agent(), came, guarded=False), watch(agent(), came)
    assert len(bare.began) >= 4, "without the guard the agent hears somebody"
    assert guarded.found is not None and guarded.found < path.delay_s + 2.0
    assert [moment for moment in guarded.began if moment > guarded.found] == []
    assert guarded.muted > 50


@pytest.mark.parametrize("path", list(PATHS.values())[:3], ids=list(PATHS)[:3])
def test_who_speaks_over_the_echo_is_heard_soon(path):
    echo, first = echo_of(agent(), path), 4 * RATE
    said = np.zeros(len(echo))
    voice = at_level(caller("q08"), -22)[: len(said) - first]
    said[first : first + len(voice)] = voice
    clean = watch(bytes(len(agent())), to_pcm(mu_law(said)), guarded=False).began
    heard = [moment for moment in watch(agent(), to_pcm(mu_law(echo + said))).began if moment >= 4.0]
    assert heard and heard[0] - clean[0] <= 0.3


@pytest.mark.parametrize("name", ["q01", "q05", "m03", "q31"])
def test_nothing_is_taken_from_who_speaks_over_us_without_an_echo(name):
    came = np.random.default_rng(1).standard_normal(len(agent()) // 2) * 5
    voice = caller(name)[: len(came) - 4_000]
    came[4_000 : 4_000 + len(voice)] += voice
    seen = watch(agent(), to_pcm(mu_law(came)))
    assert (seen.found, seen.muted) == (None, 0)
    assert seen.began == watch(agent(), to_pcm(mu_law(came)), guarded=False).began


def test_the_delay_and_the_loudness_are_what_they_are():
    guard = EchoGuard(RATE)
    came, size = to_pcm(mu_law(echo_of(agent(), Room(0.3, -18, seed=5)))), frame_bytes(RATE)
    for at in range(0, len(came) - size, size):
        guard.played(agent()[at : at + size])
        guard.heard(came[at : at + size])
    assert guard.echo is not None
    assert guard.echo.delay_s == pytest.approx(0.3, abs=0.01)
    assert guard.echo.gain_db == pytest.approx(-18, abs=4)


def test_16_khz_is_guarded_too():
    sent = resample_segment(agent(), RATE, 16_000)
    came = resample_segment(to_pcm(echo_of(agent(), PATHS["near and loud"])), RATE, 16_000)
    seen = watch(sent, came, rate=16_000)
    assert seen.found is not None and [moment for moment in seen.began if moment > seen.found] == []


def test_bursts_and_a_lost_frame_do_not_make_the_echo_a_voice():
    """Frames come in bursts of three, and now and then one is lost: the delay is found anew."""
    sent, size = agent(), frame_bytes(RATE)
    came = to_pcm(mu_law(echo_of(sent, Room(0.2, -15, seed=6))))
    guard, waiting, passed, found = EchoGuard(RATE), [], 0, False
    for index in range(len(came) // size):
        guard.played(sent[index * size : (index + 1) * size])
        if index % 150 != 149:
            waiting.append(came[index * size : (index + 1) * size])
        if index % 3 == 2:
            for frame in waiting:
                echo = guard.heard(frame)
                found = found or guard.echo is not None
                loud = float(np.abs(samples(frame)).max()) > 400
                passed += found and loud and not echo
            waiting = []
    assert found and passed <= 15


def test_a_voice_when_we_are_silent_is_never_held_back():
    guard, size = EchoGuard(RATE), frame_bytes(RATE)
    came = to_pcm(mu_law(echo_of(agent(), PATHS["near and loud"])))
    for at in range(0, len(came) - size, size):
        guard.played(agent()[at : at + size])
        guard.heard(came[at : at + size])
    voice = to_pcm(caller("q08"))
    for _ in range(60):
        guard.played(bytes(size))
        guard.heard(bytes(size))
    taken = 0
    for at in range(0, len(voice) - size, size):
        guard.played(bytes(size))
        taken += guard.heard(voice[at : at + size])
    assert taken == 0


def test_what_was_echo_is_told_when_it_is_found():
    sent, size = agent(), frame_bytes(RATE)
    came = to_pcm(mu_law(echo_of(sent, PATHS["near and loud"])))
    guard, told = EchoGuard(RATE), []
    for at in range(0, len(came) - size, size):
        guard.played(sent[at : at + size])
        guard.heard(came[at : at + size])
        told += [guard.was_echo] if guard.was_echo else []
    assert len(told) == 1 and len(told[0]) == 50 and sum(told[0]) >= 45


def test_unrelated_noise_has_no_delay():
    rng, finder = np.random.default_rng(2), PathFinder()
    for _ in range(20):
        sent = rng.standard_normal(finder.reach()).astype(np.float32)
        assert finder.add(sent, rng.standard_normal(1_024).astype(np.float32)) is None
