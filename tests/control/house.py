"""A house with a control socket: what it tells stands here, the socket and the bus are real."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from voicebridge.config import ConfigError
from voicebridge.control.feed import Feed
from voicebridge.control.server import ControlServer
from voicebridge.trace.bus import Bus


class House:
    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}
        self.ended: list[tuple[str, str]] = []
        self.drained: list[bool] = []
        self.fault = ""

    def status(self) -> dict[str, Any]:
        return {"ready": True, "calls": len(self.calls), "draining": self.drained[-1:] == [True]}

    def live_calls(self) -> tuple[str, ...]:
        return tuple(self.calls)

    def live_call(self, call_id: str, *, turns: bool = True) -> dict[str, Any] | None:
        found = self.calls.get(call_id)
        return found if turns or found is None else {key: found[key] for key in found if key != "turns"}

    def end_call(self, call_id: str, outcome: Literal["fallback", "hangup"]) -> bool:
        self.ended.append((call_id, outcome))
        return call_id in self.calls

    def drain(self, on: bool) -> None:
        self.drained.append(on)

    async def reload(self) -> dict[str, Any]:
        if self.fault:
            raise ConfigError(self.fault)
        return {"agents": ["desk"], "changed": ["desk"], "gone": [], "notes": []}

    def metrics(self) -> Iterator[bytes]:
        yield b"# HELP a b\n"
        yield b"a 1\n"


class Served:
    """`async with Served(path) as served`."""

    def __init__(self, path: Path, **feed: Any) -> None:
        self.bus, self.house = Bus(), House()
        self.feed = Feed(self.bus, **feed)
        self.server = ControlServer(path, self.house, self.bus, feed=self.feed)

    async def __aenter__(self) -> Served:
        await self.server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.server.stop()

    def tell(self, event: str = "state", call_id: str = "c1", **more: Any) -> None:
        self.bus.publish({"event": event, "call_id": call_id, "at": 1.0, **more})


async def until(true, limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
