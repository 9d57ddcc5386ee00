"""Who is called: answers with SIP, listens and speaks in tones over RTP, `delay` after the caller's last loud frame."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from tests.tones import LOUD, tone
from voicebridge.audio.g711 import MU, Law
from voicebridge.audio.pcm import FRAME_S, samples
from voicebridge.load.endpoint import RtpEndpoint
from voicebridge.protocol.rtp import Packet
from voicebridge.sip.messages import Message, reply_to

FRAME = 320
NOWHERE = 9
"""The discard port: what is sent there is lost."""


class Callee(asyncio.DatagramProtocol):
    """Use as an async context manager. `early`: sound before the answer; `loses`: each so-manieth packet."""

    def __init__(
        self, *, delay: float = 0.2, law: Law = MU, early: bool = False, loses: int = 0,
        hangs_up_after: float | None = None, refuses: str = "",
    ) -> None:  # fmt: skip
        self.delay, self.law, self.early, self.loses = delay, law, early, loses
        self.hangs_up_after, self.refuses = hangs_up_after, refuses
        self.methods: list[str] = []
        self.heard_last: list[float] = []
        self.spoke: list[float] = []
        self.sent = self.loudest = 0
        self._out = bytearray(tone(0.4))
        self._last_loud: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Callee:
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", 0))
        self.port = self.transport.get_extra_info("sockname")[1]
        self.media = await RtpEndpoint.open(self._hear, law=self.law)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        self.media.close()
        self.transport.close()

    def datagram_received(self, data: bytes, addr) -> None:
        message = Message.parsed(data)
        assert message is not None
        if message.code:
            return
        self.methods.append(message.method)
        if message.method == "INVITE" and self.refuses:
            self._say(reply_to(message, self.refuses), addr)
        elif message.method == "INVITE":
            self.invite = message
            self._tasks.append(asyncio.get_running_loop().create_task(self._answer(message, addr)))
        elif message.method == "BYE":
            self._say(reply_to(message, "200 OK"), addr)

    def _say(self, text: str, addr) -> None:
        self.transport.sendto(text.encode(), addr)

    async def _answer(self, invite: Message, addr) -> None:
        media = invite.media()
        assert media is not None
        self._peer = (media.host, media.port)
        self.media.connect(*self._peer)
        self._say(reply_to(invite, "180 Ringing"), addr)
        if self.early:
            for _ in range(10):
                self._put(tone(FRAME_S))
                await asyncio.sleep(FRAME_S)
        kind = self.law.payload_type
        sdp = f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {self.media.port}"
        more = [f"Contact: <sip:agent@127.0.0.1:{self.port}>", "Content-Type: application/sdp"]
        self._say(reply_to(invite, "200 OK", more, f"{sdp} RTP/AVP {kind} 101\r\n"), addr)
        await self._converse(invite, addr)

    async def _converse(self, invite: Message, addr) -> None:
        due = began = time.monotonic()
        while True:
            now = time.monotonic()
            if self._last_loud is not None and now - self._last_loud >= self.delay and not self._out:
                self.heard_last.append(self._last_loud)
                self.spoke.append(now)
                self._last_loud = None
                self._out += tone(0.4)
            self._put(bytes(self._out[:FRAME]).ljust(FRAME, b"\0"))
            del self._out[:FRAME]
            if self.hangs_up_after is not None and now - began > self.hangs_up_after:
                head = f"BYE sip:x SIP/2.0\r\nVia: v\r\nFrom: a\r\nTo: b\r\nCall-ID: {invite.first('call-id')}\r\n"
                return self._say(f"{head}CSeq: 1 BYE\r\n\r\n", addr)
            due += FRAME_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def _put(self, pcm: bytes) -> None:
        self.sent += 1
        if self.loses and self.sent % self.loses == 0:
            self.media.connect("127.0.0.1", NOWHERE)
            self.media.send_audio(pcm)
            self.media.connect(*self._peer)
        else:
            self.media.send_audio(pcm)

    def _hear(self, packet: Packet, arrival: float) -> None:
        if packet.payload_type == self.law.payload_type:
            peak = int(np.abs(samples(self.law.decode(packet.payload))).max(initial=0))
            self.loudest = max(self.loudest, peak)
            if peak > LOUD:
                self._last_loud = arrival
