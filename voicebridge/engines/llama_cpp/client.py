"""The language model by llama-cpp-python in a worker process of ours (see worker.py), as the daemon uses it.

    [engines]
    llm = "llama_cpp"
    [engines.options.llama_cpp]
    model = "smollm2-135m-instruct"
    calls = 8

The worker decides between two steps of some 30 ms what is computed next, by the deadlines that its requests carry and
that move while they run. It keeps every agent's prompt computed, which all calls of the agent begin with, and every
call's conversation; after a restart it is told the prompts again before anybody asks.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from voicebridge.config import ConfigError
from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.engines.answer import Answer
from voicebridge.engines.base import LlmSession, Message
from voicebridge.engines.chat_http import HttpTrouble
from voicebridge.engines.llama_cpp.build import LIBRARIES, missing
from voicebridge.engines.local_llm import DEFAULT_MODEL, LocalSession, prompt_key
from voicebridge.engines.model_host import HostedModel, ModelHost, model_path
from voicebridge.engines.supervisor import Worker
from voicebridge.installation import cure

log = logging.getLogger(__name__)

WORKER = "voicebridge.engines.llama_cpp.worker"
WARM_S = 60.0
WARM_DUE_S = 5.0
"""A caller is greeted before he asks anything: so long after the beginning of a call its prompt has to be there."""
AGENTS = 8
"""So many agents' prompts are kept computed."""
PREFILL_S = 10.0
RELEASE_S = 1.0
DEFER_AGAIN_S = 0.05


class Options(BaseModel):
    """`model`: a file or a name of the catalogue. `calls`: conversations kept computed, `context`: tokens that each may
    have. `deadlines` off: first come, first served. `nice` is the worker's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = ""
    calls: int = Field(default=8, ge=1, le=200)
    context: int = Field(default=2048, ge=256)
    threads: int = Field(default=0, ge=0)
    """0: half of the cores, two at least."""
    temperature: float = Field(default=0.2, ge=0, le=2)
    nice: int = Field(default=10, ge=0, le=19)
    deadlines: bool = True

    @property
    def thread_count(self) -> int:
        cores = os.cpu_count() or 1
        return self.threads or min(cores, max(2, cores // 2))


class LlamaCppPlugin:
    """Options: see Options."""

    takes_deadlines = True
    name = "llama_cpp"
    kind: Literal["llm"] = "llm"
    requires = LIBRARIES
    extra = "llama"
    default_model = DEFAULT_MODEL

    def create(self, options: Mapping[str, Any]) -> LlamaCpp:
        """Raises ConfigError: an option, the model's file, or a library that is not installed."""
        return LlamaCpp(self.name, checked_options(options))


def checked_options(given: Mapping[str, Any]) -> Options:
    """Raises ConfigError, which names every option that is wrong."""
    try:
        return Options.model_validate(dict(given))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise ConfigError(f"engines.options.llama_cpp: {faults}") from None


class LlamaCpp(HostedModel):
    """An LlmEngine."""

    def __init__(self, name: str, options: Options) -> None:
        model = model_path(name, {"model": options.model}, DEFAULT_MODEL)
        if lacking := missing():
            raise ConfigError(f"engine {name}: not installed: {', '.join(lacking)}; run: {cure('llama')}")
        served = {
            "model": str(model),
            "calls": options.calls,
            "context": options.context,
            "agents": AGENTS,
            "threads": options.thread_count,
            "temperature": options.temperature,
            "deadlines": options.deadlines,
        }
        super().__init__(name, ModelHost(name, WORKER, served, nice=options.nice))
        self.context_tokens = options.context
        self.sampling = {"temperature": options.temperature, "seed": 1}
        self._prompts: dict[str, tuple[Message, ...]] = {}
        self._warming: dict[str, asyncio.Lock] = {}
        self._again: asyncio.Task[None] | None = None
        self.host.worker.on_change.append(self._worker_changed)

    async def stop(self) -> None:
        if self._again is not None:
            self._again.cancel()
        await super().stop()

    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> LlmSession:
        return LlamaCppSession(self, agent, tuple(tools))

    async def warm(self, key: str, prompt: tuple[Message, ...], call: str) -> None:
        """Have `prompt` computed, once for all calls; and again whenever the worker has been restarted. Best effort."""
        self._prompts.pop(key, None)
        self._prompts[key] = prompt  # the last is the one used last
        await self._compute(key, prompt, call, WARM_DUE_S)

    async def _compute(self, key: str, prompt: tuple[Message, ...], call: str, due_s: float) -> None:
        await self.host.worker.wait_ready(WARM_S)
        async with self._warming.setdefault(key, asyncio.Lock()):
            try:
                async with asyncio.timeout(WARM_S):
                    place = self.place(call, key, prompt, time.monotonic() + due_s)
                    await self.host.http.compute(prompt, **place)
            except (HttpTrouble, TimeoutError) as error:
                log.warning("llm %s: the prompt of agent %s is not warm: %s", self.name, key, error)

    def place(self, call: str, key: str, messages: Sequence[Message], deadline: float) -> dict[str, Any]:
        """What a request says of whose it is and how soon it is needed.

        `shared` leading messages are never dropped for want of room. The agent is named where they are its prompt to
        the letter, which is computed for all; of one with this call's facts in it the worker takes over what is alike.
        """
        prompt = self._prompts.get(key) or tuple(messages[:1] if messages and messages[0].role == "system" else ())
        same = key in self._prompts and tuple(messages[: len(prompt)]) == prompt
        due = None if deadline == math.inf else max(deadline, 0.0)
        told = {"call": call, "agent": key if same else "", "deadline": due, "shared": len(prompt)}
        return {"voicebridge": told}

    async def release(self, call: str) -> None:
        """The call is over. Best effort: the worker takes back what is unused for longest by itself."""
        if not self.ready:
            return
        try:
            async with asyncio.timeout(RELEASE_S):
                await self.host.http.post("/v1/voicebridge/release", {"call": call})
        except (HttpTrouble, TimeoutError) as error:
            log.debug("llm %s: a call's place was not given back: %s", self.name, error)

    def _worker_changed(self, worker: Worker) -> None:
        """A new life knows nothing."""
        if worker.ready and self._prompts:
            if self._again is not None:
                self._again.cancel()
            self._again = asyncio.get_running_loop().create_task(self._warm_again(), name=f"{self.name} warms again")

    async def _warm_again(self) -> None:
        """The one used last first. Nobody waits for it: whoever does has it computed by his own request."""
        for key, prompt in list(reversed(self._prompts.items()))[:AGENTS]:
            call = f"warm {uuid.uuid4().hex}"
            await self._compute(key, prompt, call, WARM_S)
            await self.release(call)


class LlamaCppSession(LocalSession):
    """One call's place in the model. See base.LlmSession."""

    def __init__(self, engine: LlamaCpp, agent: str, tools: tuple[ToolSpec, ...]) -> None:
        super().__init__(engine, tools)
        self._engine = engine
        self._key = prompt_key(agent, tools)
        self._call = uuid.uuid4().hex
        self._told_deadline: float | None = None  # the running request's, as the worker knows it
        self._telling: asyncio.Task[None] | None = None

    async def warm(self, messages: Sequence[Message]) -> None:
        await self._engine.warm(self._key, tuple(self._told(messages)), self._call)

    async def prefill(self, messages: Sequence[Message]) -> None:
        if not self._engine.ready:
            return
        prompt = self._told(messages)
        try:
            async with asyncio.timeout(PREFILL_S):
                place = self._engine.place(self._call, self._key, prompt, math.inf)
                await self._engine.host.http.compute(prompt, **place)
        except (HttpTrouble, TimeoutError) as error:
            log.debug("llm %s: prefill dropped: %s", self._engine.name, error)

    async def _some_words(self, answer: Answer, until: float) -> AsyncGenerator[str, None]:
        deadline = self._told_deadline = self._deadline
        place = self._engine.place(self._call, self._key, answer.prompt(), deadline)
        try:
            async with aclosing(self._stream(answer, until, {**self._engine.sampling, **place})) as words:
                async for piece in words:
                    yield piece
        finally:
            self._told_deadline = None

    def defer(self, deadline: float) -> None:
        self._deadline = deadline
        if self._told_deadline is not None and (self._telling is None or self._telling.done()):
            self._telling = asyncio.get_running_loop().create_task(self._tell_deadline(), name="llm deadline")

    async def _tell_deadline(self) -> None:
        """Until the worker knows the latest, or the request is over."""
        while self._told_deadline not in (None, self._deadline):
            deadline = self._deadline
            try:
                async with asyncio.timeout(RELEASE_S):
                    await self._engine.host.http.post(
                        "/v1/voicebridge/defer", {"call": self._call, "deadline": deadline}
                    )
            except (HttpTrouble, TimeoutError):  # the request is not there yet, or no longer
                await asyncio.sleep(DEFER_AGAIN_S)
            else:
                if self._told_deadline is not None:
                    self._told_deadline = deadline

    async def close(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        await self._engine.release(self._call)


ENGINE = LlamaCppPlugin()
