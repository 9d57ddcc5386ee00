"""One call's use of a language model in a worker process of ours: what all such sessions have in common.

An answer survives its worker: it goes on behind the words that have come, or says that it cannot.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.answer import Answer, ToolAnswer
from voicebridge.engines.base import EngineError, Message
from voicebridge.engines.chat_http import HttpTrouble
from voicebridge.engines.decision import BrokenCall
from voicebridge.engines.model_host import HostedModel
from voicebridge.engines.telling import told

DEFAULT_MODEL = "smollm2-135m-instruct"
RETRY_S = 0.03
STALL_S = 4.0
"""A stream that gives nothing for so long is asked for again; what the server has computed so far is not lost."""


class LocalSession(ABC):
    """The half of base.LlmSession that generates; `_some_words` is the engine's own."""

    def __init__(self, model: HostedModel, tools: tuple[ToolSpec, ...]) -> None:
        self._model = model
        self._tools = tools
        self._deadline = math.inf

    @abstractmethod
    def _some_words(self, answer: Answer, until: float) -> AsyncGenerator[str, None]:
        """More of the answer, by one request; sets `answer.complete` when that was all. `until` on the loop's clock.

        Raises HttpTrouble, and TimeoutError at `until`.
        """

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
        until = asyncio.get_running_loop().time() + give_up - time.monotonic()
        try:
            answer = self._answer(messages, max_tokens, grammar, tools)
            while not answer.complete:
                try:
                    self._check_ready()
                    async with aclosing(self._some_words(answer, until)) as pieces:
                        async for piece in pieces:
                            yield piece
                except HttpTrouble as error:
                    again = answer.broke_off() and error.cause != "refused"
                    if not again or time.monotonic() + RETRY_S >= give_up:
                        raise EngineError("llm", self._model.name, error.cause, error.detail) from error
                    await asyncio.sleep(RETRY_S)
            words, call = answer.finish()
        except TimeoutError as error:
            raise EngineError("llm", self._model.name, "timeout") from error
        except BrokenCall as error:
            raise EngineError("llm", self._model.name, "garbage", str(error)) from error
        if words:
            yield words
        if call is not None:
            yield call

    def _check_ready(self) -> None:
        """A server that is just coming up takes requests and forgets them: HttpTrouble."""
        if not self._model.ready:
            raise HttpTrouble("crashed", "the worker is starting")

    async def _stream(
        self, answer: Answer, until: float, options: Mapping[str, Any], make_room: Callable[[], bool] = lambda: False
    ) -> AsyncGenerator[str, None]:
        """One request's words. At the end of each `make_room` may end it: the answer is not complete then."""
        wanted = {"max_tokens": answer.tokens_left, **options}
        if answer.grammar:
            wanted["grammar"] = answer.grammar
        async with aclosing(self._model.host.http.chat(answer.prompt(), **wanted)) as stream:
            while (piece := await next_piece(stream, until)) is not None:
                if piece[:1].isspace() and answer.divisible and make_room():
                    return
                if words := answer.add(piece):
                    yield words
                if answer.tokens_left <= 0:
                    break
        answer.complete = True

    def _answer(
        self, messages: Sequence[Message], max_tokens: int, grammar: str, offered: Sequence[ToolSpec]
    ) -> Answer:
        """The tools told are the agent's, also where fewer are offered: the prompt stays as the cache has it."""
        if agents := self._tools or tuple(offered):
            return ToolAnswer(messages, max_tokens, agents, offered)
        return Answer(messages, max_tokens, grammar)

    def _told(self, messages: Sequence[Message]) -> Sequence[Message]:
        return told(messages, self._tools) if self._tools else messages


def prompt_key(agent: str, tools: tuple[ToolSpec, ...]) -> str:
    """By whom a prompt is kept computed: the tools stand in it."""
    if not tools:
        return agent
    return f"{agent} #{hashlib.sha256(repr(told((), tools)).encode()).hexdigest()[:8]}"


async def next_piece(stream: AsyncIterator[str], until: float) -> str | None:
    """None at the end. `until` on the loop's clock: TimeoutError; HttpTrouble when the server stalls before that."""
    stalled = asyncio.get_running_loop().time() + STALL_S
    try:
        async with asyncio.timeout_at(min(until, stalled)):
            return await anext(stream, None)
    except TimeoutError:
        if stalled < until:
            raise HttpTrouble("timeout", f"nothing came for {STALL_S:.0f} s") from None
        raise
