"""The calls that live: admission, the ticks that keep them going, and their records when they end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, Protocol
from uuid import UUID

from voicebridge.audio.clock import Ticker
from voicebridge.audio.recording import Recorder
from voicebridge.call.admission import Admission, Turned
from voicebridge.call.call import Call
from voicebridge.call.work import Parts
from voicebridge.pbx.attach import AttachRequest, CallEnd, Refused, Ticket
from voicebridge.pbx.leg import LegListener, MediaLeg
from voicebridge.trace.bus import Bus
from voicebridge.trace.privacy import Privacy
from voicebridge.trace.store import CallStore

log = logging.getLogger(__name__)


ENDING_S = 1.0
"""A call whose PBX asks how it ended may take so long to end."""
ASK_EVERY_S = 0.02
TOLD_S = 1.0
"""A PBX that tells who hung up does so within this (a few milliseconds), unless it has died."""


class Chooser(Protocol):
    """Which agent answers a leg, by its ticket or without one; None refuses the call."""

    def __call__(self, leg: MediaLeg, ticket: Ticket | None) -> Parts | None: ...


class Registry:
    """`admission` is told by the PBX's attach what comes (`pbx.attach.FrontDesk`), by `accept` what has come."""

    def __init__(
        self,
        choose: Chooser,
        ticker: Ticker,
        store: CallStore,
        *,
        admission: Admission,
        record_audio: bool = False,
        event_log: bool = False,
        bus: Bus | None = None,
        privacy: Privacy | None = None,
    ) -> None:
        self._privacy = privacy or Privacy()
        self._bus = bus if bus is not None else Bus()
        self._choose = choose
        self._ticker = ticker
        self._store = store
        self._admission = admission
        self._record_audio = record_audio
        self._event_log = event_log
        self._calls: dict[str, Call] = {}
        self._begun: dict[str, dict[str, Any]] = {}
        self._tickets: dict[str, int] = {}
        self._writes: set[asyncio.Task[None]] = set()
        self._hangups: dict[UUID, asyncio.Future[bool]] = {}
        self._hurried = False
        self.on_record: Callable[[Mapping[str, object]], None] = lambda record: None

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def draining(self) -> bool:
        return self._admission.draining

    @property
    def refusals(self) -> Mapping[str, int]:
        """Calls that were not taken since the start, by reason (`Admission.refusals`)."""
        return self._admission.refusals

    def accept(self, leg: MediaLeg) -> LegListener | None:
        """Answer a leg with a new call; None where it must be refused (its PBX goes on with the fallback)."""
        call_id = str(leg.call_id)
        admitted = self._admission.redeem(leg.call_id, time.monotonic())
        if isinstance(admitted, Turned):
            log.warning("call=%s peer=%s refused: %s", call_id, leg.peer, admitted.why)
            return None
        ticket = admitted if isinstance(admitted, Ticket) else None
        parts = self._choose(leg, ticket)
        if parts is None:
            self._admission.ended(leg.call_id, None, "no_agent", time.monotonic())
            return None
        call = Call(
            leg, parts, finished=self._finished, recorder=self._recorder(call_id), keep_events=self._event_log,
            ticket=ticket, bus=self._bus, privacy=self._privacy,
        )  # fmt: skip
        if ticket is not None and ticket.request.tells_hangup:
            self._hangups[leg.call_id] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = call
        self._tickets[call_id] = self._ticker.add(call.tick)
        log.info("call=%s peer=%s agent=%s accepted", call_id, leg.peer, parts.agent.name)
        record = call.record()
        told = {key: record[key] for key in ("agent", "caller", "dialled", "peer")}
        self._begun[call_id] = {**told, "language": parts.agent.language}
        if self._bus.wants("call_began"):
            self._bus.publish({"event": "call_began", "call_id": call_id, "at": call.began_at, **self._begun[call_id]})
        return call

    def _recorder(self, call_id: str) -> Callable[[int], Recorder] | None:
        def make(rate: int) -> Recorder:
            return Recorder(self._store.path(call_id, ".wav"), rate)

        return make if self._record_audio else None

    def _finished(self, call: Call) -> None:
        ticket = self._tickets.pop(call.id, None)
        if ticket is not None:
            self._ticker.remove(ticket)
        self._calls.pop(call.id, None)
        self._begun.pop(call.id, None)
        record = call.record()
        self._admission.ended(
            call.leg.call_id, call.ending, str(record["ended_by"]), time.monotonic(), summary=call.summary
        )
        task = asyncio.get_running_loop().create_task(self._keep(call, record))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _keep(self, call: Call, record: dict[str, Any]) -> None:
        """Write the record, as soon as it is known whether it was the caller who hung up."""
        told = self._hangups.get(call.leg.call_id)
        if told is not None and record["ended_by"] == "hangup" and not await _by_caller(told):
            record["ended_by"] = "dropped"
        self._hangups.pop(call.leg.call_id, None)
        log.info(
            "call=%s ended by=%s outcome=%s seconds=%.1f turns=%d",
            call.id, record["ended_by"], record["outcome"], record["seconds"], len(record["turns"]),
        )
        self.on_record(record)
        self._bus.publish({"event": "call_ended", "call_id": call.id, "at": time.time(), "record": record})
        self._store.write(call.id, record, call.events or None)

    def hung_up(self, call_id: UUID, by_caller: bool) -> None:
        """The PBX's channel of a call has ended."""
        if (told := self._hangups.get(call_id)) is not None and not told.done():
            told.set_result(by_caller)

    # ---- what an administrator asks

    @property
    def live(self) -> tuple[str, ...]:
        """The calls that run, by id, the oldest first."""
        return tuple(self._calls)

    def picture(self, call_id: str, *, turns: bool = True) -> dict[str, Any] | None:
        """A running call: who, since when, what caller and agent do, and with `turns` what was said. None where there
        is no such call."""
        if (call := self._calls.get(call_id)) is None:
            return None
        told = {"call_id": call_id, **self._begun[call_id], "began_at": call.began_at}
        return told | call.news.live(turns=turns)

    def end(self, call_id: str, outcome: Literal["fallback", "hangup"]) -> bool:
        """End a running call from outside; False where there is none, or it is ending already."""
        call = self._calls.get(call_id)
        if call is None or call.ending is not None:
            return False
        log.info("call=%s ended by an operator: %s", call_id, outcome)
        call.end(outcome, "operator")
        return True

    def refuse(self, on: bool) -> None:
        """Take no new calls for now, or take them again."""
        self._admission.draining = on

    def serve(self, agents: Collection[str]) -> None:
        """The agents that callers may ask for, by name."""
        self._admission.serve(agents)

    # ---- what a PBX asks before and after the audio

    def attach(self, request: AttachRequest) -> Ticket | Refused:
        return self._admission.attach(request, time.monotonic())

    async def outcome(self, call_id: UUID) -> CallEnd:
        """At once where the agent has ended it: what the call holds may take longer to be put away."""
        call = self._calls.get(str(call_id))
        if call is not None and call.ending is not None:
            return self._admission.foreseen(call_id, call.ending, call.ending.reason, summary=call.summary)
        until = time.monotonic() + ENDING_S
        while (end := self._admission.outcome(call_id, time.monotonic())) is None:
            if not self._admission.is_running(call_id):
                return self._admission.lost(call_id, "unknown_call")
            if time.monotonic() > until:
                return self._admission.lost(call_id, "still_running")
            await asyncio.sleep(ASK_EVERY_S)
        return end

    # ---- the end of the day

    def hurry(self) -> None:
        """Whoever drains us shall wait no longer."""
        self._hurried = True

    async def _empty_within(self, limit_s: float) -> bool:
        """Until no call runs and nobody is expected. Whether it came to that."""
        until = time.monotonic() + limit_s
        while self._calls or self._admission.expected(time.monotonic()):
            if self._hurried or time.monotonic() >= until:
                return False
            await asyncio.sleep(ASK_EVERY_S)
        return True

    async def drain(self, *, limit_s: float) -> None:
        """No new calls; wait for the running ones and who was given a place, then end them into their fallback."""
        self._admission.draining = True
        if not await self._empty_within(limit_s):
            self._admission.closed = True
            for call in list(self._calls.values()):
                call.end("fallback", "shutdown")
            await self._ended_within(1.0)
        if self._writes:
            await asyncio.wait(self._writes)

    async def _ended_within(self, limit_s: float) -> None:
        until = time.monotonic() + limit_s
        while self._calls and time.monotonic() < until:  # noqa: ASYNC110 - with a limit, and it ends in a moment
            await asyncio.sleep(ASK_EVERY_S)


async def _by_caller(told: asyncio.Future[bool]) -> bool:
    try:
        return await asyncio.wait_for(told, TOLD_S)
    except TimeoutError:
        return False
