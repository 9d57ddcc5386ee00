"""A language model behind an OpenAI-compatible API: llama-server, vLLM, Ollama, LM Studio, a provider; one or several.

    [engines]
    llm = "openai"
    [engines.options.openai]
    urls = ["http://10.0.0.5:8000/v1", "http://10.0.0.6:8000/v1"]
    model = "qwen3-4b"
    api_key_env = "VLLM_API_KEY"

A call stays with one server, where its conversation is in the cache: the servers are ranked by a hash of call and
address, so that those of a lost server spread over all others. One that fails, or gives nothing useful in time, is left
for the next at once, behind the words that have come, and avoided until it answers again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.base import EngineError, LlmSession, Message
from voicebridge.engines.chat_http import ChatHttp, HttpTrouble, text_of
from voicebridge.engines.decision import BrokenCall
from voicebridge.engines.native_tools import CallAssembler, conversation, offered
from voicebridge.engines.openai_options import Options, api_key, checked_options

log = logging.getLogger(__name__)

RETRY_S = 0.2
"""Between two rounds over all servers."""
STALL_S = 4.0
"""A stream that has begun and then gives nothing for so long has died."""
PROBE_S = 5.0
REST_S = 15.0
PREFILL_S = 10.0
CALL_TOKENS = 256
HOPELESS = {400, 401, 403, 404, 413, 422}
"""What asking again does not change."""
GO_ON = "Go on exactly behind your last words. Repeat nothing."


@dataclass
class Server:
    """One address. One that is `down` is asked only where there is none better. `rests_until` in time.monotonic()."""

    url: str
    http: ChatHttp
    seen: bool = False
    down: bool = False
    rests_until: float = -math.inf

    def failed(self) -> None:
        """A request failed, whatever a probe says: others first, for a while."""
        self.down, self.rests_until = True, time.monotonic() + REST_S


class OpenAiPlugin:
    """Options: see openai_options.Options."""

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
        headers = {"Authorization": f"Bearer {key}"} if key else None
        self.servers = tuple(Server(url, ChatHttp(_where(url), headers)) for url in options.urls)
        self._watch: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Some server answers."""
        return any(server.seen and not server.down for server in self.servers)

    async def start(self) -> None:
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_all(), name=f"watch {self.name}")

    async def stop(self) -> None:
        task, self._watch = self._watch, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for server in self.servers:
            await server.http.close()

    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> LlmSession:
        return OpenAiSession(self, tuple(tools))

    def ranked(self, call: str) -> list[Server]:
        """The servers, this call's own first; those that are down at the end."""

        def rank(server: Server) -> tuple[bool, bytes]:
            return server.down, hashlib.sha256(f"{call} {server.url}".encode()).digest()

        return sorted(self.servers, key=rank)

    async def _watch_all(self) -> None:
        while True:
            await asyncio.gather(*(self._probe(server) for server in self.servers))
            await asyncio.sleep(PROBE_S)

    async def _probe(self, server: Server) -> None:
        try:
            async with asyncio.timeout(PROBE_S):
                status = await server.http.status("/v1/models")
        except TimeoutError:
            status = 0
        up = 0 < status < 500 and time.monotonic() >= server.rests_until
        if status in (401, 403) and not server.seen:
            log.error("llm %s: %s refuses our key (HTTP %d): check api_key_env", self.name, server.url, status)
        if up == server.down or not server.seen:
            log.info("llm %s: %s %s", self.name, server.url, "answers" if up else "does not answer")
        server.seen, server.down = True, not up


def _where(url: str) -> Path | str:
    return Path(url.removeprefix("unix:")) if url.startswith("unix:") else url


class OpenAiSession:
    """One call's. See base.LlmSession."""

    def __init__(self, engine: OpenAiChat, tools: tuple[ToolSpec, ...]) -> None:
        self._engine = engine
        self._tools = tools
        self._call = uuid.uuid4().hex

    async def warm(self, messages: Sequence[Message]) -> None:
        await self.prefill(messages)

    async def prefill(self, messages: Sequence[Message]) -> None:
        engine = self._engine
        if not engine.options.prefill:
            return
        server = engine.ranked(self._call)[0]
        body = {**self._body(messages, ""), **self._with(self._tools), engine.options.max_tokens_name: 1}
        try:
            async with asyncio.timeout(PREFILL_S):
                await server.http.post("/v1/chat/completions", body)
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
        answer = _RemoteAnswer(messages, tuple(tools), max_tokens, {"grammar": grammar} if grammar else {})
        try:
            while not answer.complete:
                async with aclosing(self._round(answer, give_up)) as pieces:
                    async for piece in pieces:
                        yield piece
            calls = answer.calls.finish(tools)
        except BrokenCall as error:
            raise EngineError("llm", self._engine.name, "garbage", str(error)) from error
        for call in calls:
            yield call

    async def _round(self, answer: _RemoteAnswer, give_up: float) -> AsyncGenerator[str, None]:
        """Ask one server after the other until the answer is complete. Raises EngineError when that is hopeless."""
        trouble = HttpTrouble("unreachable", "no server was asked")
        servers = self._engine.ranked(self._call)
        for server in servers:
            patience = self._engine.options.first_output_s if server is not servers[-1] else math.inf
            try:
                async with aclosing(self._some_words(server, answer, give_up, patience)) as pieces:
                    async for piece in pieces:
                        yield piece
            except HttpTrouble as error:
                trouble = error
                answer.broke_off()
                if error.status not in HOPELESS:
                    server.failed()
                log.warning("llm %s: %s: %s", self._engine.name, server.url, error)
                if time.monotonic() >= give_up:
                    break
            else:
                server.down = False
                return
        if trouble.status in HOPELESS or time.monotonic() + RETRY_S >= give_up:
            raise EngineError("llm", self._engine.name, trouble.cause, f"{trouble.detail}{_cure(trouble.status)}")
        await asyncio.sleep(RETRY_S)

    async def _some_words(
        self, server: Server, answer: _RemoteAnswer, give_up: float, patience: float
    ) -> AsyncGenerator[str, None]:
        """What one server gives. Raises HttpTrouble."""
        now = asyncio.get_running_loop().time()
        until = now + give_up - time.monotonic()
        useful_by = now + patience
        tokens = max(answer.words_left, CALL_TOKENS) if answer.tools else answer.words_left
        body = {**self._body(answer.messages, answer.text), **self._with(answer.tools), **answer.extra}
        body[self._engine.options.max_tokens_name] = tokens
        try:
            async with aclosing(server.http.deltas(body)) as deltas:
                while True:
                    begun = answer.text or answer.calls
                    stalled = asyncio.get_running_loop().time() + STALL_S if begun else useful_by
                    async with asyncio.timeout_at(min(until, stalled)):
                        delta = await anext(deltas, None)
                    if delta is None:
                        break
                    answer.calls.feed(delta)
                    if piece := text_of(delta):
                        answer.text += piece
                        answer.words_left -= 1
                        yield piece
                    if answer.words_left <= 0:
                        break
        except TimeoutError:
            raise HttpTrouble("timeout", "nothing useful came in time") from None
        answer.complete = True

    def _with(self, tools: tuple[ToolSpec, ...]) -> dict[str, Any]:
        """Where none is offered now the agent's stay in the request: they are part of the prompt that is cached."""
        if told := tools or self._tools:
            return {"tools": offered(told)} if tools else {"tools": offered(told), "tool_choice": "none"}
        return {}

    def _body(self, messages: Sequence[Message], begun: str) -> dict[str, Any]:
        """A request without its limits. `begun` is what of the answer has come already."""
        options = self._engine.options
        said = conversation(messages)
        if begun and said and said[-1]["role"] == "assistant":
            said[-1]["content"] += begun
        elif begun:
            said.append({"role": "assistant", "content": begun})
        body: dict[str, Any] = {"model": options.model, "messages": said, **options.extra}
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if said and said[-1]["role"] == "assistant":
            if options.continues == "ask":
                said.append({"role": "user", "content": GO_ON})
            elif options.continues == "vllm":
                body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body

    def defer(self, deadline: float) -> None:
        """The server schedules by itself."""

    async def close(self) -> None:
        """Nothing is held for a call."""


@dataclass
class _RemoteAnswer:
    """An answer that several servers may have had a part in. Calls begin anew where one breaks off, words go on."""

    messages: Sequence[Message]
    tools: tuple[ToolSpec, ...]
    words_left: int
    extra: dict[str, Any]
    text: str = ""
    calls: CallAssembler = field(default_factory=CallAssembler)
    complete: bool = False

    def broke_off(self) -> None:
        self.calls = CallAssembler()


def _cure(status: int) -> str:
    cures = {
        401: "api_key_env or api_key_file of engines.options.openai",
        403: "the key's rights, and the model's name",
        404: "the model's name, and that the URL is the one below which /v1 is",
        413: "the option `context`",
    }
    return f"; check {cures[status]}" if status in cures else ""


ENGINE = OpenAiPlugin()
