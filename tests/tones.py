"""A daemon for the test phone that speaks in tones, at delays that a test chooses and checks."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from voicebridge.audio.pcm import FRAME_S, frame_samples, samples
from voicebridge.protocol import audiosocket as wire

LOUD = 1_000


def tone(seconds: float, rate: int = 8_000, hz: float = 440.0) -> bytes:
    return (8_000 * np.sin(np.arange(round(seconds * rate)) * 2 * math.pi * hz / rate)).astype("<i2").tobytes()


class Peer(asyncio.Protocol):
    """A daemon that greets with a tone and answers with one, `delay` after the caller's last loud frame.

    Says when it heard and when it spoke, by its own clock. `stops`: its voice ends so long after the caller's begins.
    """

    def __init__(
        self, rate: int, delay: float, *, answer_s: float = 0.5, stops: float | None = None,
        hangs_up_after: float | None = None,
    ) -> None:  # fmt: skip
        self.rate, self.delay, self.answer_s, self.stops = rate, delay, answer_s, stops
        self.hangs_up_after = hangs_up_after
        self.ids: list[uuid.UUID] = []
        self.heard_last: list[float] = []
        self.spoke: list[float] = []
        self.stopped: list[float] = []
        self.said_goodbye = False
        self.gone = asyncio.Event()
        self._out = bytearray(tone(answer_s, rate))
        self._parser = wire.AudioSocketParser()
        self._last_loud: float | None = None
        self._loud_since: float | None = None

    def connection_made(self, transport) -> None:
        self.transport = transport
        self.task = asyncio.get_running_loop().create_task(self.run())

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        for event in self._parser.events():
            match event:
                case wire.CallId():
                    self.ids.append(event.uuid)
                case wire.Hangup():
                    self.said_goodbye = True
                case wire.Audio() if np.abs(samples(event.pcm)).max(initial=0) > LOUD:
                    self._last_loud = time.monotonic()
                    self._loud_since = self._loud_since or self._last_loud

    def connection_lost(self, exc) -> None:
        self.task.cancel()
        self.gone.set()

    async def run(self) -> None:
        due = began = time.monotonic()
        size = frame_samples(self.rate) * 2
        while True:
            now = time.monotonic()
            if self.stops is not None and self._loud_since and now - self._loud_since >= self.stops and self._out:
                self._out.clear()
                self.stopped.append(now)
            if self._last_loud is not None and now - self._last_loud >= self.delay and not self._out:
                self.heard_last.append(self._last_loud)
                self.spoke.append(now)
                self._last_loud = self._loud_since = None
                self._out += tone(self.answer_s, self.rate)
            self.transport.write(wire.audio_frame(bytes(self._out[:size]).ljust(size, b"\0"), self.rate))
            del self._out[:size]
            if self.hangs_up_after is not None and now - began > self.hangs_up_after:
                self.transport.write(wire.hangup_frame())
                self.transport.close()
                return
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))


@asynccontextmanager
async def peer(rate: int = 8_000, delay: float = 0.3, **more) -> AsyncIterator[tuple[int, list[Peer]]]:
    made: list[Peer] = []

    def answer() -> Peer:
        made.append(Peer(rate, delay, **more))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], made
    finally:
        server.close()
        await server.wait_closed()
