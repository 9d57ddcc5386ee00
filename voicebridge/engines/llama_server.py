"""The language model by llama.cpp's server (PyPI `xllamacpp`) in a worker process.

Each call has a slot of the server, which keeps its conversation computed. An agent's prompt is computed once, saved,
and restored (some 5 ms) into the slot of every other call, and after a crash. The gate lets the request in whose caller
would hear silence first; a running answer makes room at the end of a word and goes on from there later (24-41 ms on a
cached prefix).

ggml's threads wait for each other after every operation, by spinning: one that has lost its core to the recogniser
makes the others burn theirs. Nine tokens on two cores took 0.2 s, with one other busy process 2.2 to 8.9 s. With fewer
spins before they sleep (`model_host.SPINS`) it is 0.4 s; a single thread takes 0.25 and 0.4 s (`bench/threads`).
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, Literal, TypeVar

from voicebridge.conversation.toolspec import ToolSpec
from voicebridge.engines.answer import Answer
from voicebridge.engines.base import LlmSession, Message
from voicebridge.engines.chat_http import HttpTrouble
from voicebridge.engines.gate import Gate, Ticket
from voicebridge.engines.local_llm import DEFAULT_MODEL, LocalSession, prompt_key
from voicebridge.engines.model_host import HostedModel, ModelHost, model_path
from voicebridge.engines.slots import Slot, SlotTable

log = logging.getLogger(__name__)
T = TypeVar("T")

WORKER = "voicebridge.engines.llama_worker"
WARM_S = 60.0
PREFILL_S = 10.0


class LlamaServerPlugin:
    """Options: `model` (file or catalogue name), `slots` (conversations kept computed), `context` (tokens a call),
    `threads`, `parallel` (requests computed side by side), `temperature`, `nice`, `deadlines` (false: who comes first
    is served first)."""

    takes_deadlines = True
    name = "llama_server"
    kind: Literal["llm"] = "llm"
    requires = ("xllamacpp",)
    extra = "embedded"
    default_model = DEFAULT_MODEL

    def create(self, options: Mapping[str, Any]) -> LlamaServer:
        return LlamaServer(self.name, options)


class LlamaServer(HostedModel):
    """An LlmEngine."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.context_tokens = int(options.get("context", 2048))
        slots, cores = int(options.get("slots", 8)), os.cpu_count() or 1
        self.sampling = {"temperature": float(options.get("temperature", 0.2)), "seed": 1}
        self.gate = Gate(min(slots, int(options.get("parallel", 2))), deadlines=bool(options.get("deadlines", True)))
        self.slots = SlotTable(slots)
        served = {
            "model": str(model_path(name, options, DEFAULT_MODEL)),
            "slots": slots,
            "context": self.context_tokens,
            "threads": int(options.get("threads") or min(cores, max(2, cores // 2))),
        }
        super().__init__(name, ModelHost(name, WORKER, served, nice=int(options.get("nice", 10)), keeps="slot_dir"))
        self._sessions = itertools.count(1)
        self._saving: dict[str, asyncio.Lock] = {}

    def session(self, *, agent: str, tools: Sequence[ToolSpec] = ()) -> LlmSession:
        return LlamaSession(self, next(self._sessions), agent, tuple(tools))

    def saved_prompt(self, agent: str) -> str | None:
        """The file name of the agent's computed prompt, where it has been saved."""
        name = prompt_file(agent)
        return name if (self.host.slot_dir / name).is_file() else None

    def saving(self, agent: str) -> asyncio.Lock:
        return self._saving.setdefault(agent, asyncio.Lock())


def prompt_file(agent: str) -> str:
    return hashlib.sha256(agent.encode()).hexdigest()[:16] + ".slot"


class LlamaSession(LocalSession):
    """One call's place in the model. See base.LlmSession."""

    def __init__(self, engine: LlamaServer, number: int, agent: str, tools: tuple[ToolSpec, ...]) -> None:
        super().__init__(engine, tools)
        self._engine = engine
        self._number = number
        self._agent = prompt_key(agent, tools)  # by whom prompts are saved
        self._ticket: Ticket | None = None

    async def warm(self, messages: Sequence[Message]) -> None:
        engine = self._engine
        await engine.host.worker.wait_ready(WARM_S)  # outside the gate, in nobody's way
        async with engine.saving(self._agent):
            try:
                async with (
                    asyncio.timeout(WARM_S),
                    engine.gate.enter(time.monotonic() + WARM_S),
                    self._prepared_slot() as slot,
                ):
                    if engine.saved_prompt(self._agent) is not None:
                        return
                    await engine.host.http.compute(self._told(messages), **self._on(slot))
                    await engine.host.http.post(
                        f"/slots/{slot.number}?action=save", {"filename": prompt_file(self._agent)}
                    )
            except (HttpTrouble, TimeoutError) as error:
                log.warning("llm %s: the prompt of agent %s is not warm: %s", engine.name, self._agent, error)

    async def prefill(self, messages: Sequence[Message]) -> None:
        """Given up as soon as anybody needs an answer."""
        if not self._engine.ready:
            return
        task = asyncio.current_task()
        assert task is not None
        preempted = False

        def give_way() -> None:
            nonlocal preempted
            preempted = True
            task.cancel()

        try:
            async with (
                asyncio.timeout(PREFILL_S),
                self._engine.gate.enter(math.inf, give_way),
                self._prepared_slot() as slot,
            ):
                await self._engine.host.http.compute(self._told(messages), **self._on(slot))
        except (HttpTrouble, TimeoutError) as error:
            log.debug("llm %s: prefill dropped: %s", self._engine.name, error)
        except asyncio.CancelledError:
            if not preempted or task.uncancel() > 0:
                raise

    async def _some_words(self, answer: Answer, until: float) -> AsyncGenerator[str, None]:
        """From the gate on until the answer is complete or somebody else is more urgent."""
        ticket = self._ticket = self._engine.gate.enter(self._deadline)
        try:
            async with _in_time(ticket, until), _in_time(self._prepared_slot(), until) as slot:
                options = {**self._engine.sampling, **self._on(slot)}
                async with aclosing(self._stream(answer, until, options, lambda: ticket.should_yield)) as words:
                    async for piece in words:
                        yield piece
        finally:
            self._ticket = None

    def defer(self, deadline: float) -> None:
        self._deadline = deadline
        if self._ticket is not None:
            self._ticket.defer(deadline)

    async def close(self) -> None:
        self._engine.slots.release(self._number)

    @asynccontextmanager
    async def _prepared_slot(self) -> AsyncIterator[Slot]:
        """Our slot, with the agent's prompt in it where that has been computed before; nobody takes it meanwhile."""
        engine = self._engine
        slot = engine.slots.take(self._number)
        slot.busy += 1
        try:
            life = engine.host.worker.restarts
            if (slot.agent, slot.life) != (self._agent, life):
                slot.agent, slot.life = "", life
                await self._restore(slot)
                slot.agent = self._agent
            yield slot
        finally:
            slot.busy -= 1

    async def _restore(self, slot: Slot) -> None:
        """Best effort: a saved prompt that the server does not take (it died while it wrote?) is computed anew."""
        engine = self._engine
        if (saved := engine.saved_prompt(self._agent)) is None:
            return
        try:
            await engine.host.http.post(f"/slots/{slot.number}?action=restore", {"filename": saved})
        except HttpTrouble as error:
            if error.cause != "refused":
                raise
            log.warning("llm %s: the saved prompt of agent %s is of no use: %s", engine.name, self._agent, error)
            (engine.host.slot_dir / saved).unlink(missing_ok=True)

    @staticmethod
    def _on(slot: Slot) -> dict[str, Any]:
        return {"id_slot": slot.number, "cache_prompt": True}


@asynccontextmanager
async def _in_time(entered: AbstractAsyncContextManager[T], until: float) -> AsyncIterator[T]:
    """Entering, not the block, has to be done by `until` on the loop's clock; TimeoutError."""
    async with AsyncExitStack() as stack:
        async with asyncio.timeout_at(until):
            inside = await stack.enter_async_context(entered)
        yield inside


ENGINE = LlamaServerPlugin()
