"""The servers behind the engine `openai`: who answers, who is full, which one a call belongs to."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicebridge.engines.chat_http import ChatHttp, HttpTrouble
from voicebridge.engines.gate import Gate, Ticket

log = logging.getLogger(__name__)

PROBE_S = 5.0
REST_S = 15.0
FULL = {429, 503}
"""Too many requests, or still loading: not now, which is not the same as dead."""
FULL_S, FULL_MOST_S = 1.0, 30.0
LOSSES = 2
"""One that was overtaken by another so often in a row, with nothing said in between, is too slow for now."""
NO_SUCH_PATH = {404, 405}


@dataclass
class Server:
    """One address. One that is `down` is asked only where there is none better; one that is full is not asked.

    `rests_until` and `full_until` in time.monotonic(); `model` is the first that it says it has.
    """

    url: str
    http: ChatHttp
    gate: Gate | None = None
    seen: bool = False
    down: bool = False
    rests_until: float = -math.inf
    full_until: float = -math.inf
    losses: int = 0
    model: str | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def failed(self) -> None:
        """A request failed, whatever a probe says: others first, for a while."""
        self.down, self.rests_until = True, time.monotonic() + REST_S
        self.model = None  # it may come back with another one

    def refused(self, trouble: HttpTrouble) -> None:
        """It is full: not asked again before the time that it named."""
        wait_s = FULL_S if trouble.retry_after_s is None else min(trouble.retry_after_s, FULL_MOST_S)
        self.full_until = time.monotonic() + wait_s

    def overtaken(self) -> None:
        """Another one, asked later, said something first."""
        self.losses += 1
        if self.losses >= LOSSES:
            self.failed()

    def answered(self) -> None:
        self.down, self.losses, self.full_until = False, 0, -math.inf

    @property
    def full(self) -> bool:
        return time.monotonic() < self.full_until

    @contextlib.asynccontextmanager
    async def place(
        self, deadline: float, on_preempt: Callable[[], None] | None = None
    ) -> AsyncIterator[Ticket | None]:
        """One of the requests that may be made of it at once; the one that is needed first goes first."""
        if self.gate is None:
            yield None
            return
        async with self.gate.enter(deadline, on_preempt) as ticket:
            yield ticket

    async def first_model(self) -> str:
        """The name of its first model, asked once; "" where it does not tell (llama.cpp's takes any). HttpTrouble."""
        async with self.asking:
            if self.model is None:
                status, told = await self.http.get("/v1/models")
                if status == 0:
                    raise HttpTrouble("unreachable", "it does not tell which models it has")
                if status in FULL:
                    raise HttpTrouble("unreachable", f"HTTP {status}", status)
                self.model = _first_name(told)
            return self.model


def _first_name(told: Any) -> str:
    """From `{"data": [{"id": "..."}]}`."""
    try:
        return str(told["data"][0]["id"])
    except (KeyError, IndexError, TypeError):
        return ""


class Servers:
    """All of them, watched. `name` is the engine's, for the log."""

    def __init__(self, name: str, urls: Sequence[str], key: str, *, parallel: int, deadlines: bool = True) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else None
        self.name = name
        self.all = tuple(
            Server(url, ChatHttp(_where(url), headers), Gate(parallel, deadlines=deadlines) if parallel else None)
            for url in urls
        )
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_all(), name=f"watch {self.name}")

    async def stop(self) -> None:
        task, self._watch = self._watch, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for server in self.all:
            await server.http.close()

    def ranked(self, call: str, own: Server | None = None) -> list[Server]:
        """This call's own first: the one named, else by a hash, so that a lost server's calls spread over all others.

        Those that are full or down are at the end.
        """

        def rank(server: Server) -> tuple[bool, bool, bool, bytes]:
            chance = hashlib.sha256(f"{call} {server.url}".encode()).digest()
            return server.down, server.full, server is not own, chance

        return sorted(self.all, key=rank)

    async def _watch_all(self) -> None:
        while True:
            await asyncio.gather(*(self._probe(server) for server in self.all))
            await asyncio.sleep(PROBE_S)

    async def _probe(self, server: Server) -> None:
        try:
            async with asyncio.timeout(PROBE_S):
                status, told = await server.http.get("/v1/models")
                if status in NO_SUCH_PATH:
                    status, told = await server.http.status("/health"), None
        except TimeoutError:
            status, told = 0, None
        up = 0 < status < 500 and time.monotonic() >= server.rests_until
        if status in (401, 403) and not server.seen:
            log.error("llm %s: %s refuses our key (HTTP %d): check api_key_env", self.name, server.url, status)
        if up == server.down or not server.seen:
            level = logging.INFO if up else logging.WARNING
            log.log(level, "llm %s: %s %s", self.name, server.url, "answers" if up else "does not answer")
        if up and told is not None:
            server.model = _first_name(told) or server.model
        if up and server.down:
            server.losses = 0
        server.seen, server.down = True, not up


def _where(url: str) -> Path | str:
    return Path("/" + url.removeprefix("unix:").lstrip("/")) if url.startswith("unix:") else url
