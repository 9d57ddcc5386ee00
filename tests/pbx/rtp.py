"""The endpoint of `voicebridge load` on loopback, for tests that count what comes or want it as PCM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from voicebridge.audio.g711 import MU
from voicebridge.load.endpoint import RtpEndpoint
from voicebridge.protocol.rtp import PCMU, Packet

OnAudio = Callable[[bytes, int], None]


class Loopback:
    """`on_audio` gets what comes (PCM, 8000); `received` is all of it."""

    def __init__(self, on_audio: OnAudio) -> None:
        self._on_audio = on_audio
        self._link: RtpEndpoint | None = None
        self.received: list[Packet] = []

    @classmethod
    async def open(cls, on_audio: OnAudio) -> Self:
        made = cls(on_audio)
        made._link = await RtpEndpoint.open(made._on_packet)
        return made

    @property
    def link(self) -> RtpEndpoint:
        assert self._link is not None
        return self._link

    @property
    def port(self) -> int:
        return self.link.port

    def connect(self, port: int) -> None:
        self.link.connect("127.0.0.1", port)

    def send_audio(self, pcm: bytes) -> None:
        self.link.send_audio(pcm)

    def send_dtmf(self, digit: str) -> None:
        self.link.press(digit)

    def _on_packet(self, packet: Packet, _: float) -> None:
        self.received.append(packet)
        if packet.payload_type == PCMU:
            self._on_audio(MU.decode(packet.payload), 8_000)

    def close(self) -> None:
        self.link.close()
