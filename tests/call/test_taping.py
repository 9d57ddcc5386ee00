"""Recordings as files: both sides, as long as the call, without keys, secrets and what was not allowed."""

from __future__ import annotations

import wave

import numpy as np

from voicebridge.audio.recording import Recorder
from voicebridge.call.taping import Tape

RATE = 8_000
CALLER, AGENT = b"\x00\x20" * 160, b"\x00\x10" * 160


class Taped:
    def __init__(self, folder):
        self.path = folder / "call.wav"
        self.tape = Tape(lambda: Recorder(self.path, RATE))

    def run(self, frames, *, may=True, secret=False):
        for _ in range(frames):
            self.tape.hear(CALLER, secret=secret)
            self.tape.tick(AGENT, may=may, secret=secret)

    async def sides(self):
        """Whether each frame has sound: of the caller, of the agent."""
        await self.tape.close()
        with wave.open(str(self.path)) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 160, 2)
        return sound.any(axis=1).T.tolist()


async def test_both_sides_are_whole(tmp_path):
    taped = Taped(tmp_path)
    taped.run(100)
    assert await taped.sides() == [[True] * 100] * 2
    assert taped.tape.recorded


async def test_a_key_is_silent_from_before_it_is_told_until_after(tmp_path):
    taped = Taped(tmp_path)
    taped.run(50)
    taped.tape.key()
    taped.run(50)
    caller, agent = await taped.sides()
    assert agent == [True] * 100
    silent = [at for at, sound in enumerate(caller) if not sound]
    assert silent == list(range(35, 65))


async def test_keys_of_ours_are_silent_on_our_side(tmp_path):
    taped = Taped(tmp_path)
    taped.run(30)
    taped.tape.tones(True)
    taped.run(9)
    taped.tape.tones(False)
    taped.run(30)
    caller, agent = await taped.sides()
    assert all(caller)
    assert [at for at, sound in enumerate(agent) if not sound] == list(range(29, 39))


async def test_neither_side_of_a_secret_is_kept(tmp_path):
    taped = Taped(tmp_path)
    taped.run(30)
    taped.run(20, secret=True)
    taped.run(30)
    for side in await taped.sides():
        assert [at for at, sound in enumerate(side) if not sound] == list(range(30, 50))


async def test_what_may_not_be_recorded_is_silence_of_its_length(tmp_path):
    taped = Taped(tmp_path)
    taped.run(200, may=False)
    assert not taped.tape.recorded
    taped.run(100)
    taped.run(10, may=False)
    for side in await taped.sides():
        assert side == [False] * 200 + [True] * 100 + [False] * 10


async def test_who_says_no_leaves_no_file(tmp_path):
    taped = Taped(tmp_path)
    taped.run(200, may=False)
    await taped.tape.close()
    assert not taped.path.exists()
    assert not taped.tape.recorded
