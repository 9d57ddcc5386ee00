"""What of a call goes into its recording: both sides a tick, without keys and secrets, and only where it may.

The caller's sound lies where it was spoken, beside what we sent at that moment: who measures the recording finds the
gaps that the record has. A frame that came late is put into its place as long as that is held back, and what never came
is silence: neither moves what comes after it.

The last half second is held back also because a key is told of at its end, when its tone has been heard.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from voicebridge.audio.clock import MAX_BACKLOG
from voicebridge.audio.pcm import FRAME_S, SAMPLE_BYTES
from voicebridge.audio.recording import Recorder
from voicebridge.call.lag import Lag

HELD_FRAMES = 25
KEY_FRAMES = round(0.3 / FRAME_S)
"""Before a key is told of and after it."""
AHEAD_FRAMES = 10
"""Of the caller, for ticks that have not been: what he sends faster than we speak is left out."""
MOST_MISSING = round(60 / FRAME_S)
CATCH_UP_FRAMES = 5
"""A tick: of the silence that stands for what was not to be recorded."""
QUIET = 200
"""Peak of 16-bit samples below which a shift is not heard."""
OFF_S = 0.02
OFF_QUIET_S = 0.002
"""So far beside its place the caller's sound may be until it is moved there: while he speaks, and while he is quiet."""


@dataclass(slots=True)
class Slot:
    """20 ms. `open`: the caller may be heard in it."""

    caller: bytearray
    agent: bytes
    open: bool

    def mute_caller(self) -> None:
        self.open = False
        self.caller[:] = bytes(len(self.caller))


class Tape:
    """`make` opens the recording, when something may be recorded for the first time: what came before is silence, so
    that its times are the record's, from `began` on. That and `now` are the monotonic clock's, in seconds."""

    def __init__(self, make: Callable[[], Recorder | None], began: float) -> None:
        self._make = make
        self._began = began
        self._recorder: Recorder | None = None
        self._held: deque[Slot] = deque()
        self._skipped = 0
        self._keys_left = 0
        self._tones = False
        self._ticks = 0
        self._frame = 0  # bytes of 20 ms
        self._sent_at = 0.0  # when the last frame of ours began, had its tick not been late
        self._sent_lag: Lag | None = None
        self._heard_lag: Lag | None = None
        self._heard = 0  # samples of the caller
        self._late = 0.0
        self._next: int | None = None  # byte of one side at which the caller goes on
        self._coming: deque[tuple[int, bytes]] = deque(maxlen=AHEAD_FRAMES)

    @property
    def recorded(self) -> bool:
        return self._recorder is not None

    def hear(self, pcm: bytes, now: float, *, may: bool, secret: bool) -> None:
        """The caller's sound, the end of it at `now`. `secret`: he says or keys something that must not be kept."""
        if self._heard_lag is None:  # before our first frame there is no place for it
            return
        pcm = pcm[: len(pcm) // SAMPLE_BYTES * SAMPLE_BYTES]
        if secret or not may or self._keys_left:
            pcm = bytes(len(pcm))
        self._heard += len(pcm) // SAMPLE_BYTES
        self._late = self._heard_lag.heard(self._heard, now)
        since = now - self._late - self._sent_at
        end = (self._ticks - 1) * self._frame + round(since / FRAME_S * self._frame / SAMPLE_BYTES) * SAMPLE_BYTES
        start = end - len(pcm)
        quiet = not pcm or int(np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max()) < QUIET
        most = (OFF_QUIET_S if quiet else OFF_S) / FRAME_S * self._frame
        if self._next is None or abs(start - self._next) > most:
            self._next = start
        self._coming.append((self._next, pcm))
        self._next += len(pcm)
        self._lay()

    def _lay(self) -> None:
        """Put what the caller said into the frames that it belongs to, and keep what is for frames to come."""
        first, end = ((self._ticks - count) * self._frame for count in (len(self._held), 0))
        for _ in range(len(self._coming)):
            at, pcm = self._coming.popleft()
            if at < first:
                at, pcm = first, pcm[first - at :]
            while pcm and at < end:
                number, offset = divmod(at - first, self._frame)
                slot, piece = self._held[number], pcm[: self._frame - offset]
                if slot.open:
                    slot.caller[offset : offset + len(piece)] = piece
                at, pcm = at + len(piece), pcm[len(piece) :]
            if pcm:
                self._coming.append((at, pcm))

    def key(self) -> None:
        """The caller has pressed a key."""
        self._coming.clear()
        before = KEY_FRAMES + math.ceil(self._late / FRAME_S)  # what came late lies further back
        for at in range(max(0, len(self._held) - before), len(self._held)):
            self._held[at].mute_caller()
        self._keys_left = KEY_FRAMES

    def tones(self, on: bool) -> None:
        """Keys of ours are being sent as tones, from the last frame on."""
        if on and self._held:
            self._held[-1].agent = bytes(self._frame)
        self._tones = on

    def tick(self, agent: bytes, now: float, *, may: bool, secret: bool) -> None:
        """20 ms of our side have been sent. `may`: this may be recorded. `secret`: neither side is to be heard."""
        missing = self._time(len(agent), now)
        if self._recorder is None:
            if not may:
                self._skipped += 1 + missing
                return
            self._recorder = self._make()
            if self._recorder is None:
                return
        open_ = may and not secret and not self._keys_left
        self._keys_left = max(0, self._keys_left - 1)
        silent = secret or self._tones or not may
        for _ in range(missing):
            self._held.append(Slot(bytearray(self._frame), bytes(self._frame), open_))
        self._held.append(Slot(bytearray(self._frame), bytes(self._frame) if silent else agent, open_))
        self._lay()
        for _ in range(min(CATCH_UP_FRAMES, self._skipped)):
            self._silence()
        while not self._skipped and len(self._held) > HELD_FRAMES:
            self._write()

    def _time(self, frame: int, now: float) -> int:
        """When this frame began. Ticks come late, never early, as the caller's frames do.

        Returns how many were left out before it: what the media clock does not make up for was not sent.
        """
        self._frame = frame
        rate = round(frame / SAMPLE_BYTES / FRAME_S)
        if self._sent_lag is None:
            self._sent_lag, self._heard_lag = Lag(rate), Lag(rate)
            self._skipped, self._sent_at = round((now - self._began) / FRAME_S), now - FRAME_S
        behind = int((now - self._sent_at) / FRAME_S) - 1
        missing = min(behind - 1, MOST_MISSING) if behind > MAX_BACKLOG + 1 else 0
        self._ticks += missing + 1
        self._sent_at = now - self._sent_lag.heard(self._ticks * frame // SAMPLE_BYTES, now)
        return missing

    def _silence(self) -> None:
        self._skipped -= 1
        if self._recorder is not None:
            self._recorder.write(b"", b"")

    def _write(self) -> None:
        slot = self._held.popleft()
        if self._recorder is not None:
            self._recorder.write(bytes(slot.caller), slot.agent)

    async def close(self) -> None:
        """Write what is held back."""
        if self._recorder is None:
            return
        while self._skipped:
            self._silence()
        while self._held:
            self._write()
        await self._recorder.close()
