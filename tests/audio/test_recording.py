"""Recordings: aligned channels, whole after a kill, and never the call's problem."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from voicebridge.audio.recording import MAX_WAITING, Recorder


def frame(value: int, rate: int = 8_000) -> bytes:
    return np.full(rate // 50, value, dtype="<i2").tobytes()


def channels(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    with wave.open(str(path), "rb") as wav:
        assert (wav.getnchannels(), wav.getsampwidth()) == (2, 2)
        data = np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").reshape(-1, 2)
        return data[:, 0], data[:, 1], wav.getframerate()


@pytest.mark.parametrize("rate", [8_000, 16_000])
async def test_caller_left_and_agent_right_frame_by_frame(tmp_path: Path, rate: int):
    recorder = Recorder(tmp_path / "call.wav", rate)
    for n in range(130):  # 2.6 s: two whole flushes and a rest
        recorder.write(frame(n, rate), frame(-n, rate))
    await recorder.close()
    left, right, found = channels(tmp_path / "call.wav")
    assert found == rate
    expected = np.repeat(np.arange(130), rate // 50)
    assert left.tolist() == expected.tolist()
    assert right.tolist() == (-expected).tolist()


async def test_a_short_or_missing_side_is_silence_and_the_other_stays_in_place(tmp_path: Path):
    recorder = Recorder(tmp_path / "call.wav", 8_000)
    recorder.write(b"", frame(5))
    recorder.write(frame(7)[:100], frame(6))
    recorder.write(frame(9) + frame(9), frame(8))
    recorder.write(frame(1)[:101], frame(2))  # half a sample
    await recorder.close()
    left, right, _ = channels(tmp_path / "call.wav")
    assert right.tolist() == [5] * 160 + [6] * 160 + [8] * 160 + [2] * 160
    assert left.tolist() == [0] * 160 + [7] * 50 + [0] * 110 + [9] * 160 + [1] * 50 + [0] * 110


async def test_only_the_owner_may_read_it(tmp_path: Path):
    recorder = Recorder(tmp_path / "call.wav", 8_000)
    recorder.write(frame(1), frame(1))
    await recorder.close()
    assert stat.S_IMODE((tmp_path / "call.wav").stat().st_mode) == 0o600


KILLED = """
import asyncio, sys
from pathlib import Path
from voicebridge.audio.recording import Recorder
async def main():
    recorder = Recorder(Path(sys.argv[1]), 8000)
    for n in range(175):
        recorder.write(bytes([n, 0]) * 160, bytes([n, 1]) * 160)
    recorder._thread.submit(print, "written", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_after_kill_9_the_file_is_whole_but_for_the_last_second(tmp_path: Path):
    path = tmp_path / "call.wav"
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(KILLED), str(path)], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        os.kill(child.pid, signal.SIGKILL)
    finally:
        child.kill()
        child.wait(10)
        child.stdout.close()
    left, right, _ = channels(path)
    assert len(left) == 150 * 160, "3.0 of the 3.5 s"
    assert left.tolist() == np.repeat(np.arange(150), 160).tolist()
    assert (right - left == 256).all()


async def test_a_full_disk_ends_the_recording_with_one_line_and_nothing_raises(caplog):
    recorder = Recorder(Path("/dev/full"), 8_000)
    with caplog.at_level(logging.ERROR):
        for n in range(400):
            recorder.write(frame(n), frame(n))
            if n % 60 == 0:
                await asyncio.sleep(0.02)
        await recorder.close()
    assert [r.getMessage() for r in caplog.records] == ["recording /dev/full stopped: No space left on device"]


async def test_a_folder_that_is_not_there_does_not_raise_either(tmp_path: Path, caplog):
    recorder = Recorder(tmp_path / "gone" / "call.wav", 8_000)
    for n in range(60):
        recorder.write(frame(n), frame(n))
    await recorder.close()
    assert len(caplog.records) == 1


async def test_a_disk_that_hangs_holds_nobody_up_and_fills_no_memory(tmp_path: Path, caplog):
    recorder = Recorder(tmp_path / "call.wav", 8_000)
    hung = threading.Event()
    recorder._thread.submit(hung.wait, 20)
    try:
        for n in range(50 * (MAX_WAITING + 20)):
            recorder.write(frame(n % 100), frame(1))
        assert recorder._thread._work_queue.qsize() <= MAX_WAITING
        assert len(recorder._buffer) <= 32_000
        assert "behind" in caplog.text
    finally:
        hung.set()
    await recorder.close()


async def test_closing_twice_and_writing_afterwards_do_nothing(tmp_path: Path):
    recorder = Recorder(tmp_path / "call.wav", 8_000)
    recorder.write(frame(3), frame(4))
    await recorder.close()
    for _ in range(60):
        recorder.write(frame(1), frame(1))
    await recorder.close()
    assert len(channels(tmp_path / "call.wav")[0]) == 160


async def test_a_call_without_a_frame_leaves_a_whole_file_or_none(tmp_path: Path):
    recorder = Recorder(tmp_path / "call.wav", 8_000)
    await recorder.close()
    if (tmp_path / "call.wav").exists():
        assert len(channels(tmp_path / "call.wav")[0]) == 0
