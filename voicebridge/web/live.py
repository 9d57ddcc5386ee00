"""What happens in the daemon now, from its control socket, as the browser is sent it: Server-Sent Events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Protocol, cast

from voicebridge.control.client import NoDaemon

AGAIN_S = 2.0
"""How long it is waited before the daemon is looked for again."""
BROWSERS = 20
"""So many are told at once; each costs a connection to the daemon."""


class Source(Protocol):
    """`control.client.Control`, as much of it as is wanted here. Raises NoDaemon."""

    async def live(self) -> list[dict[str, Any]]: ...
    def events(self) -> AsyncIterator[dict[str, Any]]: ...


class Live:
    """One stream a browser; it outlives the daemon and says when it comes and goes. `find`: raises NoDaemon."""

    def __init__(self, find: Callable[[], Source], *, again_s: float = AGAIN_S) -> None:
        self._find = find
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
                    yield sse("down", {"text": _sentence(str(gone))})
                await asyncio.sleep(self._again_s)
        finally:
            self.watching -= 1

    async def _connected(self) -> AsyncIterator[bytes]:
        """The calls as they stand, then what happens. Events begin with a heartbeat once they are listened to, so that
        none is missed between."""
        source, standing = self._find(), False
        # Its own type says less than what it is, which is what can be closed.
        events = cast(AsyncGenerator[dict[str, Any], None], source.events())
        async with aclosing(events) as happenings:
            async for happening in happenings:
                if not standing or happening.get("event") == "lost":
                    standing = True
                    yield sse("calls", {"calls": await source.live()})
                elif happening.get("event") == "heartbeat":
                    yield b": still here\n\n"
                else:
                    yield sse("happening", _short(happening))


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


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
