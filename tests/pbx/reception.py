"""All of a daemon but its engines: FastAGI, admission and AudioSocket are the real ones, the agents are tones."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

from tests.pbx.peer import ToneCall
from voicebridge.audio.clock import Ticker
from voicebridge.call.admission import Admission, Turned
from voicebridge.conversation.commands import EndCall, Outcome
from voicebridge.pbx.asterisk.audiosocket import AudioSocketLeg, AudioSocketServer
from voicebridge.pbx.asterisk.fastagi import Addresses, FastAgiServer, scripts
from voicebridge.pbx.attach import AttachRequest, CallEnd, Destination, Refused, Ticket

TARGETS = {
    "sales": Destination("sales", "queue", "sales"),
    "night": Destination("night", "context", "fallback,s,1"),
    "back": Destination("back", "extension", "200@humans"),
    "gone": Destination("gone", "extension", "nobody@humans"),
    "desk": Destination("desk", "endpoint", "Local/sales@humans/n"),
    "far": Destination("far", "sip", "sip:alice@example.com"),
}
LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]


class Call(ToneCall):
    """One that can be ended as an agent ends it."""

    def __init__(self, leg: AudioSocketLeg, house: Reception) -> None:
        super().__init__(leg)
        self._house = house
        self._ending: EndCall | None = None
        self._summary = ""

    def end(self, outcome: Outcome, target: str = "", *, reason: str = "asked", summary: str = "") -> None:
        self._ending, self._summary = EndCall(outcome, reason, target), summary
        self.leg.hang_up()

    def on_closed(self, reason: str) -> None:
        super().on_closed(reason)
        by = self._ending.reason if self._ending is not None else reason
        self._house.admission.ended(self.leg.call_id, self._ending, by, time.monotonic(), summary=self._summary)


@dataclass
class Reception:
    """`agi` is where its FastAGI listens. Is its own `pbx.attach.FrontDesk`."""

    admission: Admission
    calls: dict[UUID, Call] = field(default_factory=dict)
    asked: list[AttachRequest] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    agi: str = ""
    media: str = ""
    ticker: Ticker = field(default_factory=Ticker)
    server: FastAgiServer | None = None

    async def close_agi(self) -> None:
        """From now on nobody can ask."""
        assert self.server is not None
        await self.server.stop()

    def attach(self, request: AttachRequest) -> Ticket | Refused:
        self.asked.append(request)
        return self.admission.attach(request, time.monotonic())

    async def outcome(self, call_id: UUID) -> CallEnd:
        for _ in range(50):
            if (end := self.admission.outcome(call_id, time.monotonic())) is not None:
                return end
            await asyncio.sleep(0.02)
        return self.admission.lost(call_id, "unknown")

    def accept(self, leg: AudioSocketLeg) -> Call | None:
        admitted = self.admission.redeem(leg.call_id, time.monotonic())
        if isinstance(admitted, Turned):
            self.turned.append(admitted.why)
            return None
        call = self.calls[leg.call_id] = Call(leg, self)
        self.ticker.add(call.tick)
        return call

    async def call(self, *, limit_s: float = 5.0) -> Call:
        """The newest call, once there is one that is on."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            for call in reversed(self.calls.values()):
                if not call.closed:
                    return call
            await asyncio.sleep(0.02)
        raise AssertionError("no call came")


@asynccontextmanager
async def reception(*, max_calls: int = 5, bare: bool = False) -> AsyncIterator[Reception]:
    admission = Admission(["desk", "demo"], "demo", max_calls=max_calls, targets=TARGETS, bare=bare)
    house = Reception(admission)
    media = AudioSocketServer("127.0.0.1", 0, house.accept, ticker=house.ticker, allow=LOOPBACK)
    await media.start()
    agi = FastAgiServer("127.0.0.1", 0, scripts(house, lambda: addresses), allow=LOOPBACK)
    await agi.start()
    house.server = agi
    addresses = Addresses(("127.0.0.1", media.port), ("127.0.0.1", agi.port), advertise="")
    house.agi, house.media = f"127.0.0.1:{agi.port}", f"127.0.0.1:{media.port}"
    house.ticker.start()
    try:
        yield house
    finally:
        house.ticker.stop()
        await agi.stop()
        await media.stop()
