"""A caller on a real line: SIPp signals, the media is our RTP endpoint, what is heard is kept by the clock.

Times are seconds since `begin`. Voice and silence are judged by energy, as `voicebridge.audio.measure` defines them;
nothing is known here of what happens inside of the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np

from tests.pbx.asterisk import Asterisk
from tests.pbx.rtp import Loopback
from tests.pbx.sipp import SippCall
from voicebridge.audio.measure import first_voiced, last_voiced, voiced_spans
from voicebridge.audio.pcm import FRAME_S, frame_bytes, samples
from voicebridge.protocol.rtp import DIGITS, EVENTS

RATE = 8_000
FRAME = frame_bytes(RATE)
VOICED_RMS = 120.0
"""A received frame above this is somebody speaking."""
QUIET_S = 0.7
"""Who was not heard for so long has finished."""
STOPPED_S = 0.2
"""A voice that paused for so long had stopped."""
JITTER_FRAMES = 2


@dataclass(frozen=True)
class Said:
    """When the first and the last voiced sample of something said left us."""

    first_voice: float
    last_voice: float


class Caller:
    """One call to `extension` of the bench's dialplan, whose agent listens at `media` (host:port). `end` it, always."""

    def __init__(self, asterisk: Asterisk, media: str, folder: Path, *, extension: str = "agent") -> None:
        self.id: UUID = uuid4()
        self.heard = bytearray()
        """What came from the line, 8 kHz PCM, sample n at n / 8000 s."""
        self._sip_port = asterisk.sip_port
        self._media, self._folder, self._extension = media, folder, extension
        self._zero = time.monotonic()
        self._outbox = bytearray()
        self._began: asyncio.Future[float] | None = None
        self._last_voiced_at = -1.0
        self._link: Loopback | None = None
        self._sipp: SippCall | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = asyncio.Event()

    async def begin(self) -> None:
        """Up to the answer; from then on a frame is sent every 20 ms. Raises SippError."""
        self._zero = time.monotonic()
        self._link = await Loopback.open(self._on_audio)
        self._sipp = SippCall(
            self._sip_port, self._extension, self._folder, self._media, rtp_port=self._link.port, call=self.id
        )
        self._sipp.start()
        self._link.connect(await self._sipp.answered())
        self._tasks = [asyncio.create_task(self._send_for_ever()), asyncio.create_task(self._watch())]

    async def end(self) -> None:
        """Hang up, if the call is still on; leaves no process and no socket."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._link is not None:
            self._link.close()
        if self._sipp is not None:
            await self._sipp.close()

    @property
    def ended_by(self) -> str:
        """`callee`, `caller`, or nothing while the call is on."""
        return "" if self._sipp is None else self._sipp.ended_by

    @property
    def now(self) -> float:
        return time.monotonic() - self._zero

    # ---- what it does

    async def say(self, pcm: bytes) -> Said:
        """Speak 8 kHz PCM, to its end."""
        self._began = asyncio.get_running_loop().create_future()
        self._outbox += pcm
        at = await asyncio.wait_for(self._began, 1.0)
        await self._wait_until(lambda: not self._outbox, limit_s=len(pcm) / 2 / RATE + 5)
        first, last = first_voiced(pcm, RATE), last_voiced(pcm, RATE)
        return Said(at + (first or 0) / RATE, at + (last or 0) / RATE)

    def press(self, digits: str) -> None:
        assert self._link is not None
        for digit in digits:
            self._link.send_dtmf(digit)

    async def _send_for_ever(self) -> None:
        """A frame every 20 ms on absolute deadlines, like a telephone."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        assert self._link is not None
        while True:
            if self._outbox and self._began is not None and not self._began.done():
                self._began.set_result(self.now)
            self._link.send_audio(bytes(self._outbox[:FRAME]).ljust(FRAME, b"\0"))
            del self._outbox[:FRAME]
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _watch(self) -> None:
        """Notices that the other side has hung up."""
        while self._sipp is not None and self._sipp.running:  # noqa: ASYNC110 - a process has no event to wait for
            await asyncio.sleep(0.05)
        self._closed.set()

    # ---- what it hears

    def _on_audio(self, pcm: bytes, rate: int) -> None:
        now = self.now
        missing = round(now * rate) - len(self.heard) // 2
        if missing > JITTER_FRAMES * FRAME // 2:
            self.heard += bytes(2 * missing)
        self.heard += pcm
        data = samples(pcm).astype(np.float32)
        if len(data) and float(np.sqrt(np.mean(data * data))) > VOICED_RMS:
            self._last_voiced_at = now

    def keys_heard(self) -> str:
        """The keys that the other side has pressed, in order."""
        assert self._link is not None
        events = [packet for packet in self._link.received if packet.payload_type == EVENTS]
        begun = {packet.timestamp: packet.payload[0] for packet in events}
        return "".join(DIGITS[code] for _, code in sorted(begun.items()))

    async def until_spoken_to(self, *, after: float = 0.0, limit_s: float = 10.0) -> bool:
        """Until something voiced comes later than `after`; False where nothing does."""
        return await self._wait_until(lambda: self._last_voiced_at > after, limit_s=limit_s)

    async def until_quiet(self, *, after: float = 0.0, limit_s: float = 30.0) -> bool:
        """Until whoever speaks to us later than `after` has finished; False where nobody spoke or nobody finished."""
        if not await self.until_spoken_to(after=after):
            return False
        return await self._wait_until(lambda: self.now - self._last_voiced_at > QUIET_S, limit_s=limit_s)

    async def until_ended(self, *, limit_s: float = 15.0) -> bool:
        """Until the other side hangs up; False where it does not."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), limit_s)
        return self._closed.is_set()

    async def _wait_until(self, done: Callable[[], bool], *, limit_s: float) -> bool:
        until = time.monotonic() + limit_s
        while not done():
            if self._closed.is_set() or time.monotonic() > until:
                return done()
            await asyncio.sleep(0.01)
        return True

    def heard_after(self, moment: float) -> bytes:
        return bytes(self.heard[round(moment * RATE) * 2 :])

    def voice_after(self, moment: float) -> float | None:
        """When the first voiced sample later than `moment` came."""
        found = first_voiced(self.heard_after(moment), RATE)
        return None if found is None else moment + found / RATE

    def voice_stopped_after(self, moment: float) -> float:
        """When the voice that was on at `moment` went silent; `moment` itself where none was."""
        spans = voiced_spans(self.heard_after(moment), RATE, join_s=STOPPED_S)
        if not spans or spans[0][0] > STOPPED_S * RATE:
            return moment
        return moment + spans[0][1] / RATE
