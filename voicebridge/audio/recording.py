"""A call's stereo recording: caller left, agent right, one frame of each a tick.

Written by a thread of its own, so that a slow or full disk never holds up the media clock. The WAV header is brought up
to date every second: after kill -9 the file is whole but for its last moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from voicebridge.audio.pcm import SAMPLE_BYTES, frame_bytes

log = logging.getLogger(__name__)

FLUSH_S = 1.0
MAX_WAITING = 30
"""Flushes that wait for the disk: a recording that is further behind is given up before it fills the memory."""
CHANNELS = 2


class Recorder:
    """Writes `path` (mode 0600). An error ends the recording with one line in the log, never the call."""

    def __init__(self, path: Path, rate: int) -> None:
        self._path = path
        self._rate = rate
        self._frame = frame_bytes(rate)
        self._buffer = bytearray()
        self._flush_bytes = round(FLUSH_S * rate) * SAMPLE_BYTES * CHANNELS
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recording")
        self._wav: wave.Wave_write | None = None
        self._waiting = 0
        self._failed = False
        self._closed = False

    def write(self, caller: bytes, agent: bytes) -> None:
        """20 ms of both sides; a shorter piece is filled with silence."""
        if self._failed or self._closed:
            return
        stereo = np.zeros((self._frame // SAMPLE_BYTES, CHANNELS), dtype="<i2")
        for channel, pcm in enumerate((caller, agent)):
            data = np.frombuffer(pcm[: self._frame], dtype="<i2", count=min(len(pcm), self._frame) // SAMPLE_BYTES)
            stereo[: len(data), channel] = data
        self._buffer += stereo.tobytes()
        if len(self._buffer) >= self._flush_bytes:
            self._flush()

    def _flush(self) -> None:
        data, self._buffer = bytes(self._buffer), bytearray()
        if self._waiting >= MAX_WAITING:
            self._failed = True
            log.error("recording %s stopped: the disk is %.0f s behind", self._path, self._waiting * FLUSH_S)
            return
        self._waiting += 1
        self._thread.submit(self._put, data)

    def _put(self, data: bytes) -> None:
        self._waiting -= 1
        if self._failed:
            return
        try:
            if self._wav is None:
                self._path.touch(mode=0o600)
                self._wav = wave.open(str(self._path), "wb")  # noqa: SIM115 - open for the length of the call
                self._wav.setnchannels(CHANNELS)
                self._wav.setsampwidth(SAMPLE_BYTES)
                self._wav.setframerate(self._rate)
            self._wav.writeframes(data)  # patches the header's lengths each time
        except OSError as error:
            self._failed = True
            log.error("recording %s stopped: %s", self._path, error.strerror or error)  # noqa: TRY400

    async def close(self) -> None:
        """Write what is left. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._flush()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._finish)
        self._thread.shutdown(wait=False)

    def _finish(self) -> None:
        if self._wav is not None:
            with contextlib.suppress(OSError):
                self._wav.close()
