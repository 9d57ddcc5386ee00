"""Recordings as files: both sides, as long as the call, without keys, secrets and what was not allowed."""

from __future__ import annotations

import wave

import numpy as np
import pytest

from voicebridge.audio.clock import MAX_BACKLOG
from voicebridge.audio.recording import Recorder
from voicebridge.call.taping import AHEAD_FRAMES, Tape

RATE = 8_000
CALLER, AGENT = b"\x00\x20" * 160, b"\x00\x10" * 160


class Taped:
    """Each frame of the caller comes in the moment in which ours is sent: it was spoken beside our last one."""

    def __init__(self, folder, waited=0.0):
        self.path = folder / "call.wav"
        self.now = 100.0
        self.tape = Tape(lambda: Recorder(self.path, RATE), self.now - waited)

    def hear(self, pcm=CALLER, *, late=0.0, may=True, secret=False):
        self.tape.hear(pcm, self.now + late, may=may, secret=secret)

    def tick(self, agent=AGENT, *, late=0.0, may=True, secret=False):
        self.tape.tick(agent, self.now + late, may=may, secret=secret)
        self.now += 0.02

    def run(self, frames, *, may=True, secret=False):
        for _ in range(frames):
            self.hear(may=may, secret=secret)
            self.tick(may=may, secret=secret)

    async def samples(self):
        """Of the caller, of the agent."""
        await self.tape.close()
        with wave.open(str(self.path)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).T

    async def sides(self):
        """Whether each frame has sound: of the caller, of the agent."""
        return (await self.samples()).reshape(2, -1, 160).any(axis=2).tolist()


def silent(side):
    return [at for at, sound in enumerate(side) if not sound]


async def test_both_sides_are_whole(tmp_path):
    taped = Taped(tmp_path)
    taped.run(100)
    taped.hear()
    assert await taped.sides() == [[True] * 100] * 2
    assert taped.tape.recorded


@pytest.mark.parametrize("after_ms", [0, 5, 13, 20])
async def test_the_caller_lies_where_he_spoke(tmp_path, after_ms):
    """The frame that ends so long after a tick lies so far into ours, to the sample."""
    taped = Taped(tmp_path)
    for number in range(50):
        taped.tick()
        taped.now -= 0.02
        taped.hear(CALLER if number == 20 else bytes(320), late=after_ms / 1000)
        taped.now += 0.02
    caller, _ = await taped.samples()
    heard = np.flatnonzero(caller)
    assert (heard[0], heard[-1] + 1) == (20 * 160 + after_ms * 8 - 160, 20 * 160 + after_ms * 8)


async def test_its_times_are_the_record_s_when_our_first_frame_came_late(tmp_path):
    taped = Taped(tmp_path, waited=0.4)
    taped.run(50)
    taped.hear()
    assert await taped.sides() == [[False] * 20 + [True] * 50] * 2


async def test_a_backlog_at_the_beginning_does_not_stay(tmp_path):
    """A PBX that sends its first frames at once: the gap of every turn was 40 ms too short on the recording."""
    taped = Taped(tmp_path)
    taped.tick(bytes(320))
    for _ in range(3):
        taped.hear(bytes(320))
    for number in range(100):
        taped.tick(AGENT if number == 60 else bytes(320))
        taped.hear(CALLER if number == 50 else bytes(320))
    caller, agent = await taped.samples()
    assert np.flatnonzero(agent)[0] - np.flatnonzero(caller)[-1] - 1 == 9 * 160  # 10 ticks, and it ends at the next one


async def test_frames_that_waited_are_put_where_they_were_spoken(tmp_path):
    taped = Taped(tmp_path)
    taped.run(50)
    for _ in range(8):
        taped.tick()
    for _ in range(8):
        taped.hear()
    taped.run(50)
    taped.hear()
    assert await taped.sides() == [[True] * 108] * 2


async def test_frames_that_never_came_are_silence_and_shift_nothing(tmp_path):
    taped = Taped(tmp_path)
    taped.run(50)
    for _ in range(100):
        taped.tick()
    taped.run(50)
    caller, agent = await taped.sides()
    assert agent == [True] * 200
    assert silent(caller) == [*range(49, 149), 199]


@pytest.mark.parametrize("stalled_ms", [10, 30, 70, 90, 130, 410, 890])
async def test_a_stall_of_the_clock_shifts_nothing(tmp_path, stalled_ms):
    """Some frames are made up for, as `Ticker` does; after a longer stall they were never sent."""
    taped = Taped(tmp_path)
    taped.run(50)
    at, due = taped.now + stalled_ms / 1000, taped.now
    for _ in range(stalled_ms // 20 + 1):  # what the caller said meanwhile has waited
        taped.tape.hear(CALLER, at, may=True, secret=False)
    while due <= at:
        taped.tape.tick(AGENT, at, may=True, secret=False)
        due += 0.02
        behind = int((at - due) / 0.02)
        due += behind * 0.02 if behind > MAX_BACKLOG else 0.0
    taped.now = due
    quiet = bytes(320)
    for number in range(80):
        taped.hear(CALLER if number == 40 else quiet)
        taped.tick(AGENT if number == 40 else quiet)
    caller, agent = await taped.sides()
    last = [max(at for at, sound in enumerate(side) if sound) for side in (caller, agent)]
    place = round((due - 100.0) / 0.02) + 40
    assert last == [place - 1, place]


async def test_what_comes_faster_than_it_can_be_spoken_takes_no_memory(tmp_path):
    taped = Taped(tmp_path)
    for _ in range(20):
        for _ in range(50):
            taped.hear()
        taped.tick()
    assert len(taped.tape._coming) <= AHEAD_FRAMES
    assert len((await taped.sides())[0]) == 20


async def test_a_tone_that_comes_late_is_silent_where_it_is_put(tmp_path):
    """The tone and the message that tells of it have waited, and what was spoken since waits still."""
    taped = Taped(tmp_path)
    taped.run(50)
    for _ in range(10):
        taped.tick()
    for _ in range(4):
        taped.hear()
    taped.tape.key()  # spoken up to frame 53
    for _ in range(6):
        taped.hear()
    taped.run(50)
    caller, _ = await taped.sides()
    assert all(caller[:38])
    assert silent(caller)[:37] == list(range(38, 75))


async def test_a_key_is_silent_from_before_it_is_told_until_after(tmp_path):
    taped = Taped(tmp_path)
    taped.run(50)
    taped.tape.key()
    taped.run(50)
    caller, agent = await taped.sides()
    assert agent == [True] * 100
    assert silent(caller) == [*range(35, 65), 99]


async def test_keys_of_ours_are_silent_on_our_side(tmp_path):
    taped = Taped(tmp_path)
    taped.run(30)
    taped.tape.tones(True)
    taped.run(9)
    taped.tape.tones(False)
    taped.run(30)
    caller, agent = await taped.sides()
    assert silent(caller) == [68]
    assert silent(agent) == list(range(29, 39))


async def test_neither_side_of_a_secret_is_kept(tmp_path):
    taped = Taped(tmp_path)
    taped.run(30)
    taped.run(20, secret=True)
    taped.run(30)
    caller, agent = await taped.sides()
    assert silent(caller) == [*range(29, 50), 79]
    assert silent(agent) == list(range(30, 50))


async def test_what_may_not_be_recorded_is_silence_of_its_length(tmp_path):
    taped = Taped(tmp_path)
    taped.run(200, may=False)
    assert not taped.tape.recorded
    taped.run(100)
    taped.run(10, may=False)
    caller, agent = await taped.sides()
    assert agent == [False] * 200 + [True] * 100 + [False] * 10
    assert caller == [False] * 200 + [True] * 99 + [False] * 11


async def test_who_says_no_leaves_no_file(tmp_path):
    taped = Taped(tmp_path)
    taped.run(200, may=False)
    await taped.tape.close()
    assert not taped.path.exists()
    assert not taped.tape.recorded
