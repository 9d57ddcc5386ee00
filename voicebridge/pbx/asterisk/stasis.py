"""The Stasis application: callers that the dialplan hands over by `Stasis(voicebridge,agent=desk)`.

A caller is answered, joined in a bridge with an AudioSocket leg to ourselves, and given back to the dialplan when that
has ended, with VB_RESULT and the other variables of the FastAGI way (pbx.asterisk.variables). Arguments of `Stasis()`
beat channel variables: `agent=desk` is VB_AGENT.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

from voicebridge.audio.clock import Ticker
from voicebridge.pbx.asterisk import ari_events as ev
from voicebridge.pbx.asterisk import ownership
from voicebridge.pbx.asterisk.ari import AriAccess, AriConflict, AriError, AriGone, AriUnreachable
from voicebridge.pbx.asterisk.giveback import give_back
from voicebridge.pbx.asterisk.keys import Keys
from voicebridge.pbx.asterisk.sweep import ORPHANED
from voicebridge.pbx.asterisk.switchboard import Switchboard
from voicebridge.pbx.asterisk.variables import end_variables, read_request, ticket_variables
from voicebridge.pbx.asterisk.warm import WarmTransfer
from voicebridge.pbx.asterisk.whisper import Whispers
from voicebridge.pbx.attach import FrontDesk, Refused, Ticket
from voicebridge.pbx.leg import LegListener, MediaLeg
from voicebridge.protocol.audiosocket import DIGITS

log = logging.getLogger(__name__)

SETUP_S = 5.0
"""From a caller's coming to his hearing us; after that he goes on to his fallback."""
GIVE_BACK_S = 10.0
"""So long we try to reach an Asterisk that does not answer, for a caller who must go on."""
STOP_S = 3.0
FAILED = {"VB_REASON": "no_media", "VB_RESULT": "FALLBACK"}


class _CallerGone(Exception):
    """He hung up, or somebody has taken the channel elsewhere."""


HungUp = Callable[[UUID, bool], None]


class StasisCall:
    """One caller. `serve` is his whole time with us."""

    def __init__(
        self, board: Switchboard, desk: FrontDesk, media: Callable[[], str], start: ev.StasisStart, hung_up: HungUp
    ) -> None:
        self.channel = start.channel
        self.call_id: UUID | None = None
        self.agent = ""
        self.keys: Keys | None = None
        self._board, self._desk, self._media, self._hung_up = board, desk, media, hung_up
        self._by_caller = False
        self._given = _given(start.args)
        self._inbox = board.watch(start.channel.id, started=True)
        self._leg = ""
        self._bridge = ""

    async def serve(self, on_id: Callable[[UUID], None]) -> None:
        """Ends when he is gone, or back in the dialplan. `on_id` is told by which id the AudioSocket will come."""
        try:
            try:
                variables = await self._talk(on_id)
            except (TimeoutError, AriError) as error:
                log.warning("call=%s channel=%s no agent: %s", self.call_id, self.channel.name, error or "too slow")
                variables = FAILED
            except _CallerGone:
                raise
            except Exception:  # ours, but the caller's way to the fallback all the same
                log.exception("call=%s channel=%s no agent", self.call_id, self.channel.name)
                variables = FAILED
            await self._give_back(variables)
        except _CallerGone:
            self._has_left()
        finally:
            await self._tear_down()

    async def _talk(self, on_id: Callable[[UUID], None]) -> Mapping[str, str]:
        """What the dialplan is to be told. Raises _CallerGone, AriError, TimeoutError."""
        async with asyncio.timeout(SETUP_S):
            answer = await self._admitted()
            if isinstance(answer, Refused):
                return {"VB_STATUS": answer.reason, "VB_REASON": answer.reason.lower(), "VB_RESULT": "FALLBACK"}
            on_id(answer.call_id)
            await self._set_up(answer)
        while not self._ends_leg(event := await self._next()):
            if isinstance(event, ev.ChannelDtmfReceived) and event.channel.id == self.channel.id and self.keys:
                self.keys.on_ari_dtmf(event.digit)
        return end_variables(answer.call_id, await self._desk.outcome(answer.call_id))

    async def _admitted(self) -> Ticket | Refused:
        ari, channel = self._board.ari, self.channel
        for name, value in {ownership.VARIABLE: ownership.mark(), "VB_STATUS": "FALLBACK", **FAILED}.items():
            await ari.set_variable(channel.id, name, value)
        request = dataclasses.replace(
            await read_request(self._get),
            caller=channel.caller_number, caller_name=channel.caller_name, dialled=channel.extension,
            channel=channel.name, unique_id=channel.id, tells_hangup=True,
        )  # fmt: skip
        answer = self._desk.attach(request)
        if isinstance(answer, Refused):
            log.warning("stasis channel=%s refused: %s", channel.name, answer.reason)
        return answer

    async def _get(self, name: str) -> str:
        if name in self._given:
            return self._given[name]
        return await self._board.ari.get_variable(self.channel.id, name)

    async def _set_up(self, ticket: Ticket) -> None:
        ari, call = self._board.ari, str(ticket.call_id)
        media = self._media()
        self.call_id, self.agent = ticket.call_id, ticket.agent
        self._leg, self._bridge = ownership.MEDIA_PREFIX + call, ownership.BRIDGE_PREFIX + call
        self._board.watch(self._leg, inbox=self._inbox)
        self._board.keep.add(self._bridge)
        owned = {ownership.VARIABLE: ownership.mark()}
        for name, value in ticket_variables(ticket, media=media, node="").items():
            if name != "VB_NODE":  # nobody is to be asked for the outcome: it is told
                await ari.set_variable(self.channel.id, name, value)
        if self.channel.state != "Up":
            await ari.answer(self.channel.id)
        await ari.make_bridge(self._bridge, ownership.mark())
        await ari.external_media(self._leg, call=call, host=media, variables=owned)
        while not (isinstance(event := await self._next(), ev.StasisStart) and event.channel.id == self._leg):
            if self._ends_leg(event):
                raise AriUnreachable(f"Asterisk could not bring the audio to {media}")
        await ari.join(self._bridge, self.channel.id, self._leg)
        log.info("call=%s channel=%s joined", call, self.channel.name)

    async def _next(self) -> ev.Event:
        event = await self._inbox.get()
        if isinstance(event, ev.ChannelHangupRequest) and event.channel.id == self.channel.id:
            self._by_caller = self._by_caller or not event.soft
        if isinstance(event, ev.StasisEnd | ev.ChannelDestroyed) and event.channel.id == self.channel.id:
            raise _CallerGone
        return event

    def _ends_leg(self, event: ev.Event) -> bool:
        return isinstance(event, ev.StasisEnd | ev.ChannelDestroyed) and event.channel.id == self._leg

    async def _give_back(self, variables: Mapping[str, str]) -> None:
        """Raises AriError where Asterisk cannot be reached for too long: what is left is an orphan for the sweep."""
        loop = asyncio.get_running_loop()
        until = loop.time() + GIVE_BACK_S
        while True:
            try:
                await give_back(self._board.ari, self.channel.id, variables)
            except AriGone:
                return self._has_left()
            except AriConflict:  # he is in the dialplan already
                return None
            except AriUnreachable:
                if loop.time() > until:
                    raise
                await asyncio.sleep(0.3)
            else:
                log.info("call=%s channel=%s given back: %s", self.call_id, self.channel.name, variables["VB_RESULT"])
                return None

    def _has_left(self) -> None:
        log.info("call=%s channel=%s has left", self.call_id, self.channel.name)
        if self.call_id is not None:
            self._hung_up(self.call_id, self._by_caller)

    async def _tear_down(self) -> None:
        self._board.forget(self.channel.id, self._leg)
        self._board.keep.discard(self._bridge)
        if not self._leg:
            return
        for request in (self._board.ari.hang_up(self._leg), self._board.ari.destroy_bridge(self._bridge)):
            try:
                await request
            except AriGone:
                pass
            except AriError as error:
                log.warning("call=%s: %s", self.call_id, error)


def _given(args: tuple[str, ...]) -> dict[str, str]:
    """`agent=desk` as VB_AGENT."""
    pairs = (arg.partition("=") for arg in args if "=" in arg)
    return {f"VB_{name.strip().upper()}": value.strip() for name, _, value in pairs}


class Stasis:
    """`desk` admits callers and knows how calls ended; `media` is the host:port where Asterisk brings the audio.

    `brief` makes what a human hears of an agent's (by name) briefing: 16-bit mono PCM at this rate, the keys to press
    at its end; empty where nothing can be spoken. `hung_up` is told of a caller's channel that has ended in the middle
    of a call, and whether he did that.
    """

    def __init__(
        self,
        access: AriAccess,
        desk: FrontDesk,
        media: Callable[[], str],
        ticker: Ticker,
        brief: Callable[[str, str, int], Awaitable[bytes]],
        hung_up: HungUp = lambda call_id, by_caller: None,
    ) -> None:
        self.board = Switchboard(access, self._came)
        self._desk, self._media, self._brief, self._hung_up = desk, media, brief, hung_up
        self._whispers = Whispers(ticker)
        self._calls: dict[asyncio.Task[None], StasisCall] = {}
        self._by_id: dict[UUID, StasisCall] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def start(self) -> None:
        """Callers come as soon as Asterisk can be reached; until then the log says why not."""
        self.board.start()

    async def stop(self) -> None:
        """Calls whose legs have ended are given back; whoever is left goes to the fallback."""
        if self._calls:
            await asyncio.wait(self._calls, timeout=STOP_S)
        left = list(self._calls.items())
        for task, _ in left:
            task.cancel()
        await asyncio.gather(*(task for task, _ in left), return_exceptions=True)
        for _, call in left:
            try:
                await give_back(self.board.ari, call.channel.id, ORPHANED)
            except AriError as error:
                log.warning("call=%s: %s", call.call_id, error)
        await self.board.stop()

    def accept(self, leg: MediaLeg, accept: Callable[[MediaLeg], LegListener | None]) -> LegListener | None:
        """The listener for an AudioSocket connection: ours to a human, else what `accept` gives."""
        if (whisper := self._whispers.accept(leg)) is not None:
            return whisper
        inner = accept(leg)
        return None if inner is None else self.listener(leg.call_id, inner)

    def listener(self, call_id: UUID, inner: LegListener) -> LegListener:
        """What the AudioSocket leg of a call must talk to, for its keys to come once; `inner` for other calls."""
        call = self._by_id.get(call_id)
        if call is None:
            return inner
        call.keys = Keys(inner)
        return call.keys

    def reaches(self, call_id: UUID) -> bool:
        """Whether the call came by ARI."""
        return call_id in self._by_id

    def warm(self, call_id: UUID) -> WarmTransfer | None:
        """Who calls a human for this call."""
        call = self._by_id.get(call_id)
        if call is None:
            return None

        async def brief(text: str, rate: int) -> bytes:
            return await self._brief(call.agent, text, rate)

        return WarmTransfer(self.board, self._whispers, self._media, call.channel, str(call_id), brief)

    async def send_dtmf(self, call_id: UUID, digits: str) -> bool:
        """Keys to the caller's side (0-9 A-D * #). False where it could not be."""
        call = self._by_id.get(call_id)
        if call is None or not digits or set(digits) - DIGITS:
            return False
        try:
            await self.board.ari.send_dtmf(call.channel.id, digits)
        except AriError as error:
            log.warning("call=%s keys not sent: %s", call_id, type(error).__name__)
            return False
        return True

    def _came(self, start: ev.StasisStart) -> None:
        call = StasisCall(self.board, self._desk, self._media, start, self._hung_up)
        task = asyncio.get_running_loop().create_task(
            call.serve(lambda call_id: self._by_id.update({call_id: call})), name=f"stasis {start.channel.name}"
        )
        self._calls[task] = call
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        call = self._calls.pop(task)
        if call.call_id is not None:
            self._by_id.pop(call.call_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("call=%s stasis: %r", call.call_id, error, exc_info=error)
