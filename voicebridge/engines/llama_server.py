"""The language model by llama.cpp's server (PyPI `xllamacpp`) in a worker process.

Each call has a slot of the server, which keeps its conversation computed. An agent's prompt is computed once, saved,
and restored (some 5 ms) into the slot of every other call, and after a crash. The gate lets the request in whose caller
would hear silence first; a running answer makes room at the end of a word and goes on from there later (24-41 ms on a
cached prefix).

ggml's threads wait for each other after every operation, by spinning: one that has lost its core to the recogniser
makes the others burn theirs. Nine tokens on two cores took 0.2 s, with one other busy process 2.2 to 8.9 s. With fewer
spins before they sleep (`SPINS`) it is 0.4 s; a single thread takes 0.25 and 0.4 s (`bench/threads`).
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import logging
import math
import os
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from voicebridge.config import cache_dir
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.answer import Answer, ToolAnswer
from voicebridge.engines.base import EngineError, LlmSession, Message
from voicebridge.engines.chat_http import ChatHttp, HttpTrouble
from voicebridge.engines.decision import BrokenCall
from voicebridge.engines.gate import Gate, Ticket
from voicebridge.engines.slots import Slot, SlotTable
from voicebridge.engines.supervisor import Worker, WorkerSpec
from voicebridge.engines.telling import told
from voicebridge.modelstore.resolve import resolve

log = logging.getLogger(__name__)
T = TypeVar("T")

DEFAULT_MODEL = "smollm2-135m-instruct"
RETRY_S = 0.03
SPINS = "1000"
"""How often a thread of ggml (by GNU OpenMP) looks for the others before it sleeps; the default is 300,000."""
STALL_S = 4.0
"""A stream that gives nothing for so long is asked for again; what the server has computed so far is not lost."""
WARM_S = 60.0
PREFILL_S = 10.0
START_TIMEOUT_S = 120.0


class LlamaHost:
    """The worker process and its address; used by the chat engine and by the embedder."""

    def __init__(self, name: str, options: Mapping[str, Any], *, nice: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="voicebridge-")
        folder = Path(self._folder.name)
        self.slot_dir = folder / "slots"
        self.slot_dir.mkdir()
        socket = folder / f"{name}.sock"
        self.http = ChatHttp(socket)
        passed = json.dumps({**options, "slot_dir": str(self.slot_dir)})
        self.worker = Worker(
            WorkerSpec(
                name=name,
                argv=(
                    *(sys.executable, "-m", "voicebridge.engines.llama_worker"),
                    *("--socket", str(socket), "--options", passed),
                ),
                probe=self.http.healthy,
                socket=socket,
                nice=nice,
                env={"PYTHONPATH": str(Path(__file__).parents[2]), "GOMP_SPINCOUNT": SPINS},
                start_timeout_s=START_TIMEOUT_S,
            )
        )

    @property
    def ready(self) -> bool:
        return self.worker.ready

    async def start(self) -> None:
        self.worker.start()

    async def stop(self) -> None:
        await self.worker.stop()
        await self.http.close()
        self._folder.cleanup()


def model_path(engine: str, options: Mapping[str, Any], default: str, kind: str = "llm") -> Path:
    """`options.model` is a file or a name of the catalogue. Raises ConfigError, with the cure; UnknownModel is one."""
    return resolve(engine, str(options.get("model") or ""), default, cache_dir(), kind=kind)


class LlamaServerPlugin:
    """Options: `model` (file or catalogue name), `slots` (conversations kept computed), `context` (tokens a call),
    `threads`, `parallel` (requests computed side by side), `temperature`, `nice`."""

    name = "llama_server"
    kind: Literal["llm"] = "llm"

    def create(self, options: Mapping[str, Any]) -> LlamaServer:
        return LlamaServer(self.name, options)


class LlamaServer:
    """An LlmEngine."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.name = name
        self.context_tokens = int(options.get("context", 2048))
        slots, cores = int(options.get("slots", 8)), os.cpu_count() or 1
        self.sampling = {"temperature": float(options.get("temperature", 0.2)), "seed": 1}
        self.gate = Gate(min(slots, int(options.get("parallel", 2))))
        self.slots = SlotTable(slots)
        served = {
            "model": str(model_path(name, options, DEFAULT_MODEL)),
            "slots": slots,
            "context": self.context_tokens,
            "threads": int(options.get("threads") or min(cores, max(2, cores // 2))),
        }
        self.host = LlamaHost(name, served, nice=int(options.get("nice", 10)))
        self._sessions = itertools.count(1)
        self._saving: dict[str, asyncio.Lock] = {}

    @property
    def ready(self) -> bool:
        return self.host.ready

    async def start(self) -> None:
        await self.host.start()

    async def stop(self) -> None:
        await self.host.stop()

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


class LlamaSession:
    """One call's place in the model. See base.LlmSession."""

    def __init__(self, engine: LlamaServer, number: int, agent: str, tools: tuple[ToolSpec, ...]) -> None:
        self._engine = engine
        self._number = number
        self._tools = tools
        self._agent = agent  # by whom prompts are saved; the tools stand in them
        if tools:
            self._agent += " #" + hashlib.sha256(repr(told((), tools)).encode()).hexdigest()[:8]
        self._ticket: Ticket | None = None
        self._deadline = math.inf

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
        try:
            answer = self._answer(messages, max_tokens, grammar, tools)
            while not answer.complete:
                try:
                    async with aclosing(self._some_words(answer, give_up)) as pieces:
                        async for piece in pieces:
                            yield piece
                except HttpTrouble as error:
                    again = answer.broke_off() and error.cause != "refused"
                    if not again or time.monotonic() + RETRY_S >= give_up:
                        raise EngineError("llm", self._engine.name, error.cause, error.detail) from error
                    await asyncio.sleep(RETRY_S)
            words, call = answer.finish()
        except TimeoutError as error:
            raise EngineError("llm", self._engine.name, "timeout") from error
        except BrokenCall as error:
            raise EngineError("llm", self._engine.name, "garbage", str(error)) from error
        if words:
            yield words
        if call is not None:
            yield call

    def _answer(
        self, messages: Sequence[Message], max_tokens: int, grammar: str, offered: Sequence[ToolSpec]
    ) -> Answer:
        """The tools told are the agent's, also where fewer are offered: the prompt stays as the cache has it."""
        if agents := self._tools or tuple(offered):
            return ToolAnswer(messages, max_tokens, agents, offered)
        return Answer(messages, max_tokens, grammar)

    def _told(self, messages: Sequence[Message]) -> Sequence[Message]:
        return told(messages, self._tools) if self._tools else messages

    async def _some_words(self, answer: Answer, give_up: float) -> AsyncGenerator[str, None]:
        """From the gate on until the answer is complete or somebody else is more urgent."""
        if not self._engine.ready:  # a server that is just coming up takes requests and forgets them
            raise HttpTrouble("crashed", "the worker is starting")
        until = asyncio.get_running_loop().time() + give_up - time.monotonic()
        ticket = self._ticket = self._engine.gate.enter(self._deadline)
        try:
            async with _in_time(ticket, until), _in_time(self._prepared_slot(), until) as slot:
                options = {"max_tokens": answer.tokens_left, **self._engine.sampling, **self._on(slot)}
                if answer.grammar:
                    options["grammar"] = answer.grammar
                async with aclosing(self._engine.host.http.chat(answer.prompt(), **options)) as stream:
                    while (piece := await _next_piece(stream, until)) is not None:
                        if piece[:1].isspace() and answer.divisible and ticket.should_yield:
                            return
                        if words := answer.add(piece):
                            yield words
                        if answer.tokens_left <= 0:
                            break
                answer.complete = True
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


async def _next_piece(stream: AsyncIterator[str], until: float) -> str | None:
    """None at the end. `until` on the loop's clock: TimeoutError; HttpTrouble when the server stalls before that."""
    stalled = asyncio.get_running_loop().time() + STALL_S
    try:
        async with asyncio.timeout_at(min(until, stalled)):
            return await anext(stream, None)
    except TimeoutError:
        if stalled < until:
            raise HttpTrouble("timeout", f"nothing came for {STALL_S:.0f} s") from None
        raise


ENGINE = LlamaServerPlugin()
