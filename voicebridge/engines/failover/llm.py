"""Several language models as one. One that breaks off is gone on from by the next, behind the words that came."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import ClassVar, Literal

from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.base import EngineError, LlmEngine, LlmSession, Message
from voicebridge.engines.failover.group import Group
from voicebridge.engines.failover.health import WATCH, Member, Move, tell
from voicebridge.engines.failover.relay import Relay, Wanted


class LlmFailover(Group[LlmEngine]):
    """An LlmEngine. A conversation has to fit into the smallest of the models."""

    kind: ClassVar[Literal["llm"]] = "llm"

    @property
    def context_tokens(self) -> int:
        return min(engine.context_tokens for engine in self.engines)

    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> LlmSession:
        return LlmFailoverSession(self, lambda engine: engine.session(agent=agent, tools=tools))


class LlmFailoverSession:
    """One call's. See base.LlmSession."""

    def __init__(self, group: LlmFailover, opened: Callable[[LlmEngine], LlmSession]) -> None:
        self._roster = group.roster
        self._opened = opened
        self._sessions: dict[str, LlmSession] = {}
        self._active = self._roster.members[0]
        self._began = False
        self._deadline = math.inf

    async def warm(self, messages: Sequence[Message]) -> None:
        """The one that will answer, and the one behind it: a call that has to move should not wait for a cold one."""
        first = self._roster.ranked(self._stays)[:2]
        results = await asyncio.gather(
            *(self._session(member).warm(messages) for member in first), return_exceptions=True
        )
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, EngineError):
                raise result

    async def prefill(self, messages: Sequence[Message]) -> None:
        member = self._roster.ranked(self._stays)[0]
        if member.ready:
            with contextlib.suppress(EngineError):
                await self._session(member).prefill(messages)

    async def generate(
        self,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        deadline: float,
        give_up: float,
        grammar: str = "",
        tools: Sequence[ToolSpec] = (),
    ) -> AsyncIterator[str | ToolCall]:
        self._deadline = deadline
        wanted = Wanted(tuple(messages), max_tokens, give_up, grammar, tuple(tools))
        order = self._roster.ranked(self._stays)
        relay = Relay(self._roster, order, self._session, wanted, lambda: self._deadline)
        try:
            async for member, piece in relay.pieces():
                self._served_by(member, relay.causes)
                yield piece
        finally:
            relay.close()

    def defer(self, deadline: float) -> None:
        self._deadline = deadline
        for session in self._sessions.values():
            session.defer(deadline)

    async def close(self) -> None:
        for session in self._sessions.values():
            with contextlib.suppress(EngineError):
                await session.close()

    @property
    def _stays(self) -> Member[LlmEngine] | None:
        return self._active if self._began else None

    def _session(self, member: Member[LlmEngine]) -> LlmSession:
        if member.name not in self._sessions:
            self._sessions[member.name] = self._opened(member.engine)
        return self._sessions[member.name]

    def _served_by(self, member: Member[LlmEngine], causes: dict[str, str]) -> None:
        self._began = True
        if (watch := WATCH.get()) is not None:
            watch.stays["llm"] = member.name
        if member is not self._active:
            before, self._active = self._active, member
            tell(Move("llm", before.name, member.name, causes.get(before.name, before.trouble)))
