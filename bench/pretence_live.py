"""A daemon that never was: the control socket as a daemon has it, with calls that a test or a picture tells it of."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal

import uvicorn

from voicebridge.control.app import control_app
from voicebridge.control.feed import Feed
from voicebridge.trace.bus import Bus


class House:
    """`control.app.House`: calls by id as `/v1/calls` shows them; `tell` changes one and tells the bus."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.calls: dict[str, dict[str, Any]] = {}

    def begin(self, call_id: str, agent: str = "northgate", caller: str = "***42", ago_s: float = 0.0) -> None:
        self.calls[call_id] = {
            "call_id": call_id, "agent": agent, "caller": caller, "dialled": "100", "peer": "192.0.2.20:41830",
            "began_at": time.time() - ago_s, "state": {"caller": "silent", "agent": "speaking"}, "turns": [],
        }  # fmt: skip
        self._tell("call_began", call_id, agent=agent, caller=caller, dialled="100")

    def turn(self, call_id: str, turn: dict[str, Any]) -> None:
        turns = self.calls[call_id]["turns"]
        turns[:] = [*(kept for kept in turns if kept["turn"] != turn["turn"]), turn]
        self._tell("turn", call_id, turn=turn)

    def state(self, call_id: str, caller: str, agent: str) -> None:
        self.calls[call_id]["state"] = {"caller": caller, "agent": agent}
        self._tell("state", call_id, caller=caller, agent=agent)

    def end(self, call_id: str, record: dict[str, Any]) -> None:
        del self.calls[call_id]
        self._tell("call_ended", call_id, record=record)

    def _tell(self, event: str, call_id: str, **more: Any) -> None:
        self.bus.publish({"event": event, "call_id": call_id, "at": time.time(), **more})

    def status(self) -> dict[str, Any]:
        return {"ready": True, "calls": len(self.calls)}

    def live_calls(self) -> tuple[str, ...]:
        return tuple(self.calls)

    def live_call(self, call_id: str, *, turns: bool = True) -> dict[str, Any] | None:
        return self.calls.get(call_id)

    def end_call(self, call_id: str, outcome: Literal["fallback", "hangup"]) -> bool:
        return False

    def drain(self, on: bool) -> None:
        pass

    async def reload(self) -> dict[str, Any]:
        return {}

    def metrics(self) -> Iterator[bytes]:
        yield b""


@contextlib.asynccontextmanager
async def pretended_daemon(path: Path) -> AsyncIterator[House]:
    """Listens at the path until the block ends, and then breaks off, as a killed one does."""
    house = House()
    config = uvicorn.Config(
        control_app(house, Feed(house.bus)), uds=str(path), log_config=None, lifespan="off", access_log=False
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield house
    finally:
        server.force_exit = True
        for connection in list(server.server_state.connections):
            if (transport := getattr(connection, "transport", None)) is not None:
                transport.abort()
        for listener in server.servers:
            listener.close()
        for task in list(server.server_state.tasks):
            task.cancel()
        await asyncio.sleep(0.05)
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - a moment
