"""A language model behind an OpenAI-compatible API: llama-server, vLLM, Ollama, LM Studio, a provider; one or several.

    [engines]
    llm = "openai"
    [engines.options.openai]
    urls = ["http://10.0.0.5:8000/v1", "http://10.0.0.6:8000/v1"]
    model = "qwen3-4b"
    api_key_env = "VLLM_API_KEY"

A call stays with one server, where its conversation is in the cache: the servers are ranked by a hash of call and
address, so that those of a lost server spread over all others. One that gives nothing useful in a part of its time is
raced by the next, and the call goes with the one that speaks first. One that fails is left for the next at once,
behind the words that have come, and avoided until it answers again; one that is full (429, 503) is not asked before
the time that it names. `https://` and a key protect what goes over a network that others use.

How servers differ is told by options. llama-server: `continues = "prefix"`, `prefill = true`. vLLM: `continues =
"vllm"`, `prefill = true`. Ollama: its context length is set over there (num_ctx), `context` here must not exceed it.
A model that thinks first has to be kept from it by `extra`, or callers wait: e.g. for Qwen 3 on vLLM and llama-server
`extra = { chat_template_kwargs = { enable_thinking = false } }`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal

from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.base import EngineError, Message
from voicebridge.engines.chat_http import HttpTrouble
from voicebridge.engines.decision import BrokenCall
from voicebridge.engines.gate import Ticket
from voicebridge.engines.native_tools import conversation, offered
from voicebridge.engines.openai_options import Options, api_key, checked_options
from voicebridge.engines.openai_race import Attempt, Race, Terms
from voicebridge.engines.openai_servers import FULL, Server, Servers

log = logging.getLogger(__name__)

RETRY_S = 0.2
"""Between two rounds over all servers."""
STALL_S = 4.0
"""A stream that has begun and then gives nothing for so long has died."""
PREFILL_S = 10.0
CALL_TOKENS = 256
GARBAGE_ROUNDS = 2
"""After so many rounds over all servers that ended in garbage another would, too."""
HOPELESS = {400, 401, 403, 404, 413, 422}
"""What asking again does not change."""
GO_ON = "Go on exactly behind your last words. Repeat nothing."


class OpenAiPlugin:
    """Options: see openai_options.Options."""

    takes_deadlines = True
    name = "openai"
    kind: Literal["llm"] = "llm"

    def create(self, options: Mapping[str, Any]) -> OpenAiChat:
        checked = checked_options(options)
        return OpenAiChat(self.name, checked, api_key(checked))


class OpenAiChat:
    """An LlmEngine."""

    def __init__(self, name: str, options: Options, key: str) -> None:
        self.name = name
        self.options = options
        self.context_tokens = options.context
        self.pool = Servers(name, options.urls, key, parallel=options.parallel, deadlines=options.deadlines)
        self.servers = self.pool.all

    @property
    def ready(self) -> bool:
        """Some server answers."""
        return any(server.seen and not server.down for server in self.servers)

    async def start(self) -> None:
        await self.pool.start()

    async def stop(self) -> None:
        await self.pool.stop()

    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> OpenAiSession:
        return OpenAiSession(self, tuple(tools))

    def terms(self, deadline: float, give_up: float) -> Terms:
        """What a request may wait for its first useful output: until the caller would hear silence and a while more,
        and never so long that the other servers had no time left."""
        now, options = time.monotonic(), self.options
        up = max(1, sum(not (server.down or server.full) for server in self.servers))
        slack = min(max(0.0, deadline - now), give_up - now) if deadline < math.inf else 0.0
        patience = max(0.0, min(slack + options.first_output_s, (give_up - now) / up))
        hedged = deadline < math.inf and options.hedge < 1.0
        return Terms(patience, options.hedge * patience if hedged else None, give_up)


class OpenAiSession:
    """One call's. See base.LlmSession."""

    def __init__(self, engine: OpenAiChat, tools: tuple[ToolSpec, ...]) -> None:
        self._engine = engine
        self._tools = tools
        self._call = uuid.uuid4().hex
        self._own: Server | None = None  # who answered last has the conversation in his cache
        self._tickets: set[Ticket] = set()

    def ranked(self) -> list[Server]:
        """The servers, in the order in which this call would ask them."""
        return self._engine.pool.ranked(self._call, self._own)

    async def warm(self, messages: Sequence[Message]) -> None:
        await self.prefill(messages)

    async def prefill(self, messages: Sequence[Message]) -> None:
        """Given up where somebody waits for an answer from that server, and all its places are taken."""
        engine = self._engine
        server = self.ranked()[0]
        if not engine.options.prefill or server.full:
            return
        try:
            async with asyncio.timeout(PREFILL_S) as limit:
                now = asyncio.get_running_loop().time
                async with server.place(math.inf, lambda: limit.reschedule(now())):
                    body = {**await self._body(server, messages, ""), **self._with(self._tools)}
                    await server.http.post("/v1/chat/completions", {**body, engine.options.max_tokens_name: 1})
        except (HttpTrouble, TimeoutError) as error:
            log.debug("llm %s: prefill dropped: %s", engine.name, error)

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
        """`grammar` is llama.cpp's: sent along, and understood there only."""
        answer = _Answer(messages, tuple(tools), max_tokens, {"grammar": grammar} if grammar else {})
        garbage = 0
        while not answer.complete:
            try:
                async with aclosing(self._round(answer, deadline, give_up)) as pieces:
                    async for piece in pieces:
                        yield piece
            except HttpTrouble as trouble:
                garbage += trouble.cause == "garbage"
                await self._wait_for_another(trouble, give_up, hopeless=garbage >= GARBAGE_ROUNDS)
        for call in answer.made:
            yield call

    async def _wait_for_another(self, trouble: HttpTrouble, give_up: float, *, hopeless: bool) -> None:
        """Until it makes sense to ask again. Raises EngineError where it does not, or not in time."""
        full_s = min(server.full_until for server in self._engine.servers) - time.monotonic()
        wait_s = max(RETRY_S, full_s)
        if hopeless or trouble.status in HOPELESS or time.monotonic() + wait_s >= give_up:
            detail = f"{trouble.detail}{_cure(trouble.status)}"
            raise EngineError("llm", self._engine.name, trouble.cause, detail) from trouble
        await asyncio.sleep(wait_s)

    async def _round(self, answer: _Answer, deadline: float, give_up: float) -> AsyncGenerator[str, None]:
        """Ask one server after the other until the answer is complete. Raises HttpTrouble where none can do it."""
        left = [server for server in self.ranked() if not server.full]
        trouble = HttpTrouble("refused", "all servers are full", 429)
        while left:
            race = Race(left, lambda one: self._attempt(one, answer, deadline), self._failed,
                        self._engine.terms(deadline, give_up))  # fmt: skip
            won = await race.winner()
            left = [server for server in left if not (server is won.server or server.down or server.full)]
            self._own = won.server
            try:
                async with aclosing(self._pieces(won, give_up)) as pieces:
                    async for piece in pieces:
                        answer.text += piece
                        yield piece
            except HttpTrouble as error:
                trouble = error
                self._failed(won.server, error)
                answer.words_left -= won.tokens
            else:
                won.server.answered()
                answer.made, answer.complete = won.made, True
                return
            finally:
                await won.stop()
        raise trouble

    def _failed(self, server: Server, trouble: HttpTrouble) -> None:
        if trouble.status in FULL:
            server.refused(trouble)
        elif trouble.status not in HOPELESS:
            server.failed()
        log.warning("llm %s: %s: %s", self._engine.name, server.url, trouble)

    async def _pieces(self, attempt: Attempt, give_up: float) -> AsyncGenerator[str, None]:
        """What the server gives. Raises HttpTrouble."""
        while True:
            try:
                async with asyncio.timeout(max(0.0, min(STALL_S, give_up - time.monotonic()))):
                    piece = await attempt.pieces.get()
            except TimeoutError:
                raise HttpTrouble("timeout", "nothing useful came in time") from None
            if piece is None:
                break
            if piece:
                yield piece
        if (failure := attempt.failure) is not None:
            raise failure

    def _attempt(self, server: Server, answer: _Answer, deadline: float) -> Attempt:
        async def read(attempt: Attempt) -> None:
            try:
                await self._read(attempt, answer, deadline)
            except BrokenCall as error:
                raise HttpTrouble("garbage", str(error)) from error

        return Attempt(server, read)

    async def _read(self, attempt: Attempt, answer: _Answer, deadline: float) -> None:
        """All that one server has to say. Raises HttpTrouble and BrokenCall."""
        server = attempt.server
        async with server.place(deadline) as ticket:
            if ticket is not None:
                self._tickets.add(ticket)
            try:
                body = {**await self._body(server, answer.messages, answer.text), **self._with(answer.tools)}
                tokens = max(answer.words_left, CALL_TOKENS) if answer.tools else answer.words_left
                body |= {**answer.extra, self._engine.options.max_tokens_name: tokens}
                async with aclosing(server.http.deltas(body)) as deltas:
                    async for delta in deltas:
                        attempt.take(delta)
                        if attempt.tokens >= answer.words_left:
                            break
            finally:
                if ticket is not None:
                    self._tickets.discard(ticket)
        attempt.finish()
        attempt.made = attempt.calls.finish(answer.tools)
        if not attempt.useful and not answer.goes_on:
            raise HttpTrouble("garbage", "an answer without words (a model that thinks first needs `extra` to stop it)")

    def _with(self, tools: tuple[ToolSpec, ...]) -> dict[str, Any]:
        """Where none is offered now the agent's stay in the request: they are part of the prompt that is cached."""
        if told := tools or self._tools:
            return {"tools": offered(told)} if tools else {"tools": offered(told), "tool_choice": "none"}
        return {}

    async def _body(self, server: Server, messages: Sequence[Message], begun: str) -> dict[str, Any]:
        """A request without its limits. `begun` is what of the answer has come already. Raises HttpTrouble."""
        options = self._engine.options
        said = conversation(messages)
        if begun and said and said[-1]["role"] == "assistant":
            said[-1]["content"] += begun
        elif begun:
            said.append({"role": "assistant", "content": begun})
        body: dict[str, Any] = {"messages": said, **options.extra}
        if model := options.model or await server.first_model():
            body = {"model": model, **body}
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if said and said[-1]["role"] == "assistant":
            if options.continues == "ask":
                said.append({"role": "user", "content": GO_ON})
            elif options.continues == "vllm":
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body

    def defer(self, deadline: float) -> None:
        """Heeded while it waits at our gate; a server schedules by itself."""
        for ticket in self._tickets:
            ticket.defer(deadline)

    async def close(self) -> None:
        """Nothing is held for a call."""


class _Answer:
    """An answer that several servers may have had a part in. Calls begin anew where one breaks off, words go on."""

    def __init__(
        self, messages: Sequence[Message], tools: tuple[ToolSpec, ...], max_tokens: int, extra: dict[str, Any]
    ) -> None:
        self.messages = messages
        self.tools = tools
        self.words_left = max_tokens
        self.extra = extra
        self.text = ""
        self.made: list[ToolCall] = []
        self.complete = False

    @property
    def goes_on(self) -> bool:
        """It has begun, here or in an earlier request, and may be whole already."""
        return bool(self.text) or (bool(self.messages) and self.messages[-1].role == "assistant")


def _cure(status: int) -> str:
    cures = {
        401: "api_key_env or api_key_file of engines.options.openai",
        403: "the key's rights, and the model's name",
        404: "the model's name, and that the URL is the one below which /v1 is",
        413: "the option `context`",
    }
    return f"; check {cures[status]}" if status in cures else ""


ENGINE = OpenAiPlugin()
