"""Warm transfer over ARI: the human is called and told while the caller stays with the agent, and takes him with a key.

Who accepts is joined with the caller in the dialplan (context voicebridge-warm of voicebridge-ari.conf), not in Stasis:
their call outlives us.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Literal
from uuid import uuid4

from voicebridge.pbx.asterisk import ari_events as ev
from voicebridge.pbx.asterisk import ownership
from voicebridge.pbx.asterisk.ari import AriError
from voicebridge.pbx.asterisk.giveback import exists
from voicebridge.pbx.asterisk.switchboard import Switchboard
from voicebridge.pbx.asterisk.variables import SUMMARY_BYTES
from voicebridge.pbx.asterisk.whisper import Whisper, Whispers
from voicebridge.protocol.variables import clean

log = logging.getLogger(__name__)

WarmState = Literal["calling", "connected", "declined", "busy", "no_answer", "failed"]
Brief = Callable[[str, int], Awaitable[bytes]]
"""What the human is to hear (16-bit mono PCM at this rate) for a briefing's text; empty where nothing can be spoken."""

ACCEPT, DECLINE = "1", "2"
DECIDE_S = 45.0
"""A voicemail that has answered presses no key."""
SETUP_S = 5.0
LEAVE_S = 2.0
CONTEXT = "voicebridge-warm"

_BY_CAUSE: dict[int, WarmState] = {16: "no_answer", 17: "busy", 18: "no_answer", 19: "no_answer", 21: "declined"}
"""Q.850: 16 is a normal end (a Local channel's when nobody took the call), 18 and 19 nobody answers, 21 rejected."""


class WarmTransfer:
    """For one caller. `media` is the host:port where Asterisk brings audio."""

    def __init__(
        self,
        board: Switchboard,
        whispers: Whispers,
        media: Callable[[], str],
        caller: ev.Channel,
        call_id: str,
        brief: Brief,
        *,
        decide_s: float = DECIDE_S,
    ) -> None:
        self._board, self._whispers, self._media = board, whispers, media
        self._caller, self._call_id, self._brief = caller, call_id, brief
        self.decide_s = decide_s

    async def call(
        self, endpoint: str, *, briefing: str, line: str, ring_s: float
    ) -> AsyncGenerator[WarmState, None]:
        """`calling`, then how it ended: `connected`, or why not. Closing it ends the ringing.

        `endpoint` is a dial string of the configuration. `briefing` is spoken to the human, `line` goes to his
        telephone as the SIP header X-VB-Summary.
        """
        attempt = _Attempt(self._board, self._whispers, self._media())
        try:
            async with attempt:
                if not await exists(self._board.ari, self._caller.id, (CONTEXT, "caller", 1)):
                    log.error("call=%s no warm transfer: the dialplan has no context %s; include voicebridge-ari.conf",
                              self._call_id, CONTEXT)  # fmt: skip
                    yield "failed"
                    return
                await attempt.ring(endpoint, round(ring_s), self._caller_id(), self._variables(endpoint, line))
                yield "calling"
                state = await self._decided(attempt, briefing, ring_s)
                log.info("call=%s human=%s %s", self._call_id, attempt.human, state)
                yield state
        except AriError as error:
            log.warning("call=%s no warm transfer: %s", self._call_id, error)
            yield "failed"

    async def _decided(self, attempt: _Attempt, briefing: str, ring_s: float) -> WarmState:
        speaking = asyncio.create_task(self._speech(briefing))  # while it rings
        try:
            async with asyncio.timeout(ring_s + SETUP_S):
                if (refused := await attempt.answered()) is not None:
                    return refused
            pcm = await speaking
            if not pcm:
                return "failed"
            async with asyncio.timeout(SETUP_S):
                if not await attempt.whisper(pcm):
                    return "declined"
        except TimeoutError:
            return "no_answer"
        finally:
            speaking.cancel()
        state = await attempt.decision(self.decide_s)
        if state == "connected":
            await attempt.connect(self._caller)
        return state

    async def _speech(self, briefing: str) -> bytes:
        return await self._brief(briefing, self._board.ari.access.rate)

    def _caller_id(self) -> str:
        name = re.sub(r"[^\w .+-]", "", clean(self._caller.caller_name, 60))
        number = re.sub(r"[^\w.+*#-]", "", clean(self._caller.caller_number, 40))
        return f'"{name}" <{number}>'

    def _variables(self, endpoint: str, line: str) -> dict[str, str]:
        summary = clean(line, SUMMARY_BYTES)
        found = {"__VB_SUMMARY": summary, "__VB_CALL": self._call_id, ownership.VARIABLE: ownership.mark()}
        if endpoint.upper().startswith("PJSIP/"):
            found["PJSIP_HEADER(add,X-VB-Call)"] = self._call_id
            if summary:
                found["PJSIP_HEADER(add,X-VB-Summary)"] = summary
        return found


class _Attempt:
    """One human being called, with what that takes in Asterisk. Puts away what is left when it is over."""

    def __init__(self, board: Switchboard, whispers: Whispers, media: str) -> None:
        self._board, self._whispers, self._media = board, whispers, media
        self._id = uuid4()
        self.human = ownership.HUMAN_PREFIX + str(self._id)
        self._leg = ownership.MEDIA_PREFIX + str(self._id)
        self._bridge = ownership.BRIDGE_PREFIX + str(self._id)
        self._name = ""
        self._rung = self._joined = self._connecting = False
        self._inbox = board.watch(self.human)

    async def __aenter__(self) -> _Attempt:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._whispers.end(self._id)
        if self._rung and not self._connecting:
            await self._quietly(self._board.ari.hang_up(self.human))
        if self._joined:
            await self._quietly(self._board.ari.hang_up(self._leg))
            await self._quietly(self._board.ari.destroy_bridge(self._bridge))
        self._board.forget(self.human, self._leg)
        self._board.keep.discard(self._bridge)

    async def ring(self, endpoint: str, ring_s: int, caller_id: str, variables: dict[str, str]) -> None:
        self._rung = True
        await self._board.ari.originate(
            self.human, endpoint, args="human", ring_s=ring_s, caller_id=caller_id, variables=variables
        )

    async def answered(self) -> WarmState | None:
        """None when he has."""
        while True:
            event = await self._inbox.get()
            match event:
                case ev.StasisStart():
                    self._name = event.channel.name
                    return None
                case ev.ChannelDestroyed():
                    return _BY_CAUSE.get(event.cause, "failed")

    async def whisper(self, pcm: bytes) -> bool:
        """Tell him. False where he has hung up."""
        ari, rate = self._board.ari, self._board.ari.access.rate
        self._joined = True
        self._whispers.expect(self._id, Whisper(pcm, rate))
        self._board.watch(self._leg, inbox=self._inbox)
        self._board.keep.add(self._bridge)
        await ari.make_bridge(self._bridge, ownership.mark())
        owned = {ownership.VARIABLE: ownership.mark()}
        await ari.external_media(self._leg, call=str(self._id), host=self._media, variables=owned)
        while True:
            event = await self._inbox.get()
            if self._is_over(event):
                return False
            if isinstance(event, ev.StasisStart):
                await ari.join(self._bridge, self.human, self._leg)
                return True

    async def decision(self, limit_s: float) -> WarmState:
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    event = await self._inbox.get()
                    if self._is_over(event):
                        return "declined"
                    if isinstance(event, ev.ChannelDtmfReceived) and event.channel.id == self.human:
                        if event.digit == ACCEPT:
                            return "connected"
                        if event.digit == DECLINE:
                            return "declined"
        except TimeoutError:
            return "no_answer"

    async def connect(self, caller: ev.Channel) -> None:
        """Both into the dialplan, the human first: the caller fetches him there. Raises AriError."""
        ari = self._board.ari
        back = f"{caller.context},{caller.extension},{caller.priority + 1}"
        await ari.set_variable(caller.id, "VB_PEER", self._name)
        await ari.set_variable(caller.id, "VB_BACK", back)
        await ari.go_on(self.human, (CONTEXT, "human", 1))
        try:
            async with asyncio.timeout(LEAVE_S):
                while not self._is_over(await self._inbox.get()):
                    pass
        except TimeoutError:
            raise AriError("the human's channel does not leave Stasis") from None
        self._connecting = True  # from here on he is not ours to hang up: he waits ten seconds by himself
        await ari.go_on(caller.id, (CONTEXT, "caller", 1))

    def _is_over(self, event: ev.Event) -> bool:
        """He has hung up, or left for the dialplan; or our voice to him broke."""
        ids = (self.human, self._leg)
        return isinstance(event, ev.StasisEnd | ev.ChannelDestroyed) and event.channel.id in ids

    async def _quietly(self, request: Awaitable[None]) -> None:
        try:
            await request
        except AriError as error:
            log.debug("warm: %s", error)
