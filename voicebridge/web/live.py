"""What happens in the daemon now, from its control socket, as the browser is sent it: Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Protocol

AGAIN_S = 2.0
"""How long it is waited before the daemon is looked for again."""
BROWSERS = 20
"""So many are told at once; each costs a connection to the daemon."""

Call = dict[str, Any]


class NoDaemon(Exception):  # noqa: N818 - a state of the world, not a mistake
    """No daemon answers."""


class Source(Protocol):
    """Raises NoDaemon where there is none, and where it goes away in the middle."""

    async def calls(self) -> list[Call]:
        """Those that are going on."""
        ...

    def events(self) -> AsyncIterator[dict[str, Any]]:
        """Happenings as they come (`trace.bus`), heartbeats too."""
        ...


class Live:
    """One stream a browser; it outlives the daemon and says when it comes and goes."""

    def __init__(self, source: Source, *, again_s: float = AGAIN_S) -> None:
        self._source = source
        self._again_s = again_s
        self.watching = 0

    async def stream(self) -> AsyncIterator[bytes]:
        """Ends when the browser goes away (cancelled)."""
        self.watching += 1
        try:
            while True:
                try:
                    async for piece in self._connected():
                        yield piece
                except NoDaemon as gone:
                    yield sse("down", {"text": str(gone)})
                await asyncio.sleep(self._again_s)
        finally:
            self.watching -= 1

    async def _connected(self) -> AsyncIterator[bytes]:
        """The calls as they stand, then what happens. Events are asked for first, so that none is missed between."""
        async with aclosing(_buffered(self._source.events())) as happenings:
            async for happening in happenings:
                if happening is not None and happening.get("event") == "heartbeat":
                    yield b": still here\n\n"
                elif happening is None or happening.get("event") == "lost":
                    yield sse("calls", {"calls": await self._source.calls()})
                else:
                    yield sse("happening", _short(happening))


async def _buffered(events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any] | None]:
    """Begins to listen at once; the first item is None, when that is done or nothing has come for a moment."""
    first = asyncio.ensure_future(anext(events, None))
    try:
        await asyncio.wait({first}, timeout=0.3)
        yield None
        head = await first
        if head is None:
            return
        yield head
        async for happening in events:
            yield happening
    finally:
        first.cancel()


def sse(event: str, data: dict[str, Any]) -> bytes:
    """One message; JSON has no line breaks of its own."""
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _short(happening: dict[str, Any]) -> dict[str, Any]:
    """A call that ended has its record in the store: only its outcome is told."""
    if happening.get("event") != "call_ended":
        return happening
    record = happening.get("record") or {}
    kept = {name: record.get(name) for name in ("outcome", "ended_by", "target", "seconds")}
    return {"event": "call_ended", "call_id": happening.get("call_id"), "at": happening.get("at"), "record": kept}
