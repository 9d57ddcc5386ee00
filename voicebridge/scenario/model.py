"""A language model that answers what a scenario says, on a virtual clock or a real one."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Hashable, Sequence

from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.base import Message
from voicebridge.scenario.format import Reply

NOT_SCRIPTED = "The script has no answer of the model for this."


class Replies:
    """Canned answers, in turn. A draft that is made again (the same `key`) gets the same one."""

    def __init__(self, replies: Sequence[Reply]) -> None:
        self._left = deque(replies)
        self._given: dict[Hashable, Reply] = {}

    def take(self, key: Hashable) -> Reply:
        if key not in self._given:
            self._given[key] = self._left.popleft() if self._left else Reply(text=NOT_SCRIPTED)
        return self._given[key]


def steps_of_turn(messages: Sequence[Message]) -> int:
    """How many tools have told something since the caller spoke last."""
    since = 0
    for message in reversed(messages):
        if message.role == "user":
            break
        since += message.role == "tool"
    return since


def call_of(reply: Reply) -> ToolCall:
    return ToolCall(reply.call, json.dumps(reply.arguments, ensure_ascii=False))


class CannedModel:
    """An LlmEngine and its one session, for one real call; `first_s`: until the first words come."""

    name = "canned"
    ready = True
    context_tokens = 2048

    def __init__(self, replies: Sequence[Reply], *, first_s: float) -> None:
        self._replies = Replies(replies)
        self._first_s = first_s

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> CannedModel:
        return self

    async def warm(self, messages: Sequence[Message]) -> None: ...

    async def prefill(self, messages: Sequence[Message]) -> None: ...

    def defer(self, deadline: float) -> None: ...

    async def close(self) -> None: ...

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
        asked = sum(message.role == "user" for message in messages)
        reply = self._replies.take((asked, steps_of_turn(messages)))
        await asyncio.sleep(self._first_s)
        yield call_of(reply) if reply.call else reply.text
