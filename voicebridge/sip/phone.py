"""The test phone as a SIP telephone: signalling by `agent`, G.711 by `load`'s endpoint, measured like any test call.

What the agent says is placed on its track by RTP timestamps, and each frame's arrival is the kernel's.
"""

from __future__ import annotations

import ipaddress
import socket
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from voicebridge.load.endpoint import RtpEndpoint
from voicebridge.load.reception import Reception
from voicebridge.load.run import SIP_PORT, Target
from voicebridge.phone import Link, Phone, PhoneError
from voicebridge.protocol.rtp import CLOCK, Packet
from voicebridge.sip.agent import Account, Answered, SipError, UserAgent
from voicebridge.sip.messages import Whom

GUEST = "voicebridge"
UNSAFE = set("\r\n<>\"@;:, ")


@dataclass(frozen=True, slots=True)
class Received:
    """What the line was like. `answered_s`: from the INVITE to the answer; `jitter_s`: the worst (RFC 3550)."""

    codec: str
    answered_s: float
    packets: int
    lost: int
    reordered: int
    duplicates: int
    jitter_s: float
    sent: int


@dataclass(frozen=True, slots=True)
class _Wire:
    """The media of a call that is on. Hanging up is the signalling's."""

    answered: Answered
    endpoint: RtpEndpoint
    reception: Reception

    def send_audio(self, pcm: bytes) -> None:
        self.endpoint.send_audio(pcm)

    def hang_up(self) -> None:
        self.endpoint.close()


class SipPhone(Phone):
    """Calls `target`. Without a password it is a guest, named `user`; with `register` it registers before, and takes
    that back. `headers` go into the INVITE, `local` is an address of this machine. ValueError: what is no name.
    """

    def __init__(
        self, target: Target, *, user: str = GUEST, password: str | None = None, register: bool = False,
        headers: Sequence[str] = (), local: str | None = None, on_event: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(target.host, target.port, rate=CLOCK, on_event=on_event)
        for text in (user, target.extension):
            if not text or set(text) & UNSAFE:
                raise ValueError(f"{text!r} cannot be a SIP user: no spaces and none of < > \" @ ; : ,")
        for header in headers:
            if ":" not in header or set(header) & set("\r\n"):
                raise ValueError(f"{header!r} is no header: Name: value, on one line")
        server = target.host if target.port == SIP_PORT else f"{target.host}:{target.port}"
        self._whom = Whom(target.extension, server, user, tuple(headers))
        self._account = None if password is None else Account(user, password)
        self._register, self._local = register, local
        self._agent: UserAgent | None = None
        self._wire: _Wire | None = None

    async def _connect(self, number: uuid.UUID) -> Link:
        if _is_v6(self._host):
            raise PhoneError(
                f"{self._host}: pyVoIP, which makes our messages, knows no IPv6: name the PBX's IPv4 address "
                "(`voicebridge load` can call over IPv6)"
            )
        whom = Whom(
            self._whom.extension, self._whom.server, self._whom.user, (*self._whom.headers, f"X-VB-Call: {number}")
        )
        media: socket.socket | None = None
        try:
            agent = self._agent = await UserAgent.open(
                whom, (self._host, self._port), account=self._account, on_ended=lambda: self._on_closed("hangup"),
                local=self._local,
            )  # fmt: skip
            media = RtpEndpoint.bound(agent.local[0])
            agent.take(int(media.getsockname()[1]))
            wire = await self._answered(agent, media)
        except (SipError, OSError) as error:
            raise PhoneError(str(error)) from error
        finally:
            if self._wire is None:  # whatever came in between
                await self._drop(media)
        return wire

    async def _answered(self, agent: UserAgent, media: socket.socket) -> _Wire:
        if self._register:
            await agent.register()
            self._tell(f"registered as {self._whom.user}")
        answered = await agent.invite()
        self._tell(f"answered after {answered.after_s:.1f} s, {answered.media.law.name}")
        self._zero = answered.at
        endpoint = RtpEndpoint(media, self._on_packet, answered.media.law)
        self._wire = _Wire(answered, endpoint, Reception(answered.at, answered.media.law))
        endpoint.connect(answered.media.host, answered.media.port)
        return self._wire

    async def _drop(self, media: socket.socket | None) -> None:
        await self._leave()
        if media is not None:
            media.close()

    async def _leave(self) -> None:
        if self._agent is not None:
            await self._agent.hang_up()
            self._agent.close()

    def _on_packet(self, packet: Packet, arrival: float) -> None:
        wire = self._wire
        if wire is None or arrival < self._zero:  # what was played before the answer, ringing for one
            return
        coded = wire.reception.feed(packet, arrival)
        if coded:
            self._listen(wire.answered.media.law.decode(coded), arrival - self._zero)

    def _gather(self) -> None:
        if self._wire is not None:
            pcm, self._heard.arrivals, self._heard.positions = self._wire.reception.track()
            self._heard.agent = bytearray(pcm)

    @property
    def zero(self) -> float:
        """When the call was answered (`time.monotonic`): all its times are since then."""
        return self._zero

    @property
    def received(self) -> Received | None:
        """None where the call was not answered."""
        if self._wire is None:
            return None
        got, answered = self._wire.reception, self._wire.answered
        return Received(
            answered.media.law.name, answered.after_s, got.packets, got.lost, got.reordered, got.duplicates,
            got.worst_jitter_s, self._wire.endpoint.sent,
        )  # fmt: skip


def _is_v6(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 6
    except ValueError:
        return False
