"""Serves the control socket in the daemon's event loop. A daemon that cannot have it serves calls all the same."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from voicebridge.control.app import House, control_app
from voicebridge.control.feed import Feed
from voicebridge.control.place import Taken, identity, listening
from voicebridge.trace.bus import Bus

log = logging.getLogger(__name__)

AGAIN_S = 2.0
"""Another daemon may be about to end, as in an upgrade."""
CLOSE_S = 1
MOST_AT_ONCE = 100


class ControlServer:
    """`start` never fails for the socket's sake; where another daemon has it, it is taken when that one has gone."""

    def __init__(self, path: Path, house: House, bus: Bus, *, feed: Feed | None = None) -> None:
        self.path = path
        self.feed = feed if feed is not None else Feed(bus)
        self._house = house
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None
        self._identity: tuple[int, int] | None = None

    @property
    def listening(self) -> bool:
        return self._server is not None and self._server.started

    async def start(self) -> None:
        """Returns when it listens, or when it is known that it cannot yet."""
        first = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(first), name="control socket")
        await first.wait()

    async def stop(self) -> None:
        self.feed.close()
        if self._task is None:
            return
        if self._server is not None:
            self._server.should_exit = True
        else:
            self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        if self._identity is not None and identity(self.path) == self._identity:
            self.path.unlink(missing_ok=True)

    async def _run(self, first: asyncio.Event) -> None:
        try:
            sock = await self._taken(first)
            if sock is None:
                return
            with contextlib.closing(sock):
                self._identity = identity(self.path)
                self._server = _Server(self._config(), first)
                await self._server.serve([sock])
        finally:
            first.set()

    async def _taken(self, first: asyncio.Event) -> socket.socket | None:
        told = False
        while True:
            try:
                return await asyncio.to_thread(listening, self.path)
            except Taken:
                if not told:
                    log.warning("control socket %s: another daemon has it; taken when that one has ended", self.path)
                told = True
            except OSError as error:
                why = error.strerror or error
                log.error("control socket %s: %s; this daemon goes on without (another path: [control] socket)",  # noqa: TRY400
                          self.path, why)  # fmt: skip
                return None
            first.set()
            await asyncio.sleep(AGAIN_S)

    def _config(self) -> uvicorn.Config:
        return uvicorn.Config(
            control_app(self._house, self.feed),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=MOST_AT_ONCE,
            timeout_graceful_shutdown=CLOSE_S,
        )


class _Server(uvicorn.Server):
    """Leaves the signals to the daemon, and says when it listens."""

    def __init__(self, config: uvicorn.Config, first: asyncio.Event) -> None:
        super().__init__(config)
        self._first = first

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._first.set()
