"""An agent of a few lines behind our own AudioSocket server: tests the bench, and the wire, without any engine."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np

from voicebridge.audio.clock import Ticker
from voicebridge.audio.pcm import frame_samples
from voicebridge.pbx.asterisk.audiosocket import AudioSocketLeg, AudioSocketServer

TONE_HZ = 425.0
TONE_PEAK = 8_000


@dataclass
class ToneCall:
    """Sends a tone while `speaking`, else silence, and keeps what comes."""

    leg: AudioSocketLeg
    speaking: bool = True
    rates: set[int] = field(default_factory=set)
    audio: bytearray = field(default_factory=bytearray)
    digits: str = ""
    closed: str = ""
    _sent: int = 0

    def on_audio(self, pcm: bytes, rate: int) -> None:
        self.rates.add(rate)
        self.audio += pcm

    def on_dtmf(self, digit: str) -> None:
        self.digits += digit

    def on_closed(self, reason: str) -> None:
        self.closed = reason

    def tick(self, _: float) -> None:
        count, rate = frame_samples(self.leg.rate), self.leg.rate
        at = (self._sent + np.arange(count)) / rate
        peak = TONE_PEAK if self.speaking else 0
        self._sent += count
        self.leg.send_audio((peak * np.sin(2 * math.pi * TONE_HZ * at)).astype("<i2").tobytes())


@dataclass
class TonePeer:
    """Where it listens, and its calls by id."""

    media: str
    server: AudioSocketServer
    calls: dict[UUID, ToneCall]


@asynccontextmanager
async def tone_peer() -> AsyncIterator[TonePeer]:
    ticker = Ticker()
    calls: dict[UUID, ToneCall] = {}

    def accept(leg: AudioSocketLeg) -> ToneCall:
        call = calls[leg.call_id] = ToneCall(leg)
        ticker.add(call.tick)
        return call

    loopback = [ipaddress.ip_network("127.0.0.0/8")]
    server = AudioSocketServer("127.0.0.1", 0, accept, ticker=ticker, allow=loopback)
    await server.start()
    ticker.start()
    try:
        yield TonePeer(f"127.0.0.1:{server.port}", server, calls)
    finally:
        ticker.stop()
        await server.stop()
