"""What the control socket answers (HTTP; JSON unless said otherwise).

    GET  /v1/status             how the daemon stands
    GET  /v1/calls[?turns=0]    the calls that run; without what was said in them
    GET  /v1/calls/ID           one of them; 404 where it does not run
    GET  /v1/events[?call=ID]   what happens (`trace.bus`), a line of JSON each, for ever: beside the bus's own
                                {"event": "heartbeat"} at once and every 10 s, {"event": "lost", "n": ...} where the
                                watcher was too slow
    GET  /metrics               for Prometheus, as text
    POST /v1/reload             reads the agents anew: {"agents", "changed", "gone", "notes"}; 409 {"error"} with file
                                and line where they cannot be used, and nothing has changed
    POST /v1/calls/ID/end       {"outcome": "fallback" | "hangup"}; 404 where it does not run
    POST /v1/drain              {"on": true}: no new calls; {"on": false}: takes them again

Who may open the socket may do all of this: it is the daemon's user's own, and root's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from voicebridge.config import ConfigError
from voicebridge.control.feed import Feed, Watcher

METRICS = "text/plain; version=0.0.4; charset=utf-8"
LONGEST_BODY = 4096


class House(Protocol):
    """The daemon, as much of it as is asked here. In its event loop: nothing of it blocks."""

    def status(self) -> dict[str, Any]: ...
    def live_calls(self) -> tuple[str, ...]: ...

    def live_call(self, call_id: str, *, turns: bool = True) -> dict[str, Any] | None:
        """None where it does not run."""

    def end_call(self, call_id: str, outcome: Literal["fallback", "hangup"]) -> bool:
        """False where it does not run."""

    def drain(self, on: bool) -> None: ...

    async def reload(self) -> dict[str, Any]:
        """Raises ConfigError; then nothing has changed."""

    def metrics(self) -> Iterator[bytes]:
        """A little at a time."""


class _End(BaseModel):
    model_config = ConfigDict(extra="forbid")
    outcome: Literal["fallback", "hangup"] = "fallback"


class _Drain(BaseModel):
    model_config = ConfigDict(extra="forbid")
    on: bool = True


def control_app(house: House, feed: Feed) -> Starlette:
    desk = _Desk(house, feed)
    routes = [
        Route("/v1/status", desk.status),
        Route("/v1/calls", desk.calls),
        Route("/v1/calls/{id}", desk.call),
        Route("/v1/events", desk.events),
        Route("/metrics", desk.metrics),
        Route("/v1/reload", desk.reload, methods=["POST"]),
        Route("/v1/calls/{id}/end", desk.end, methods=["POST"]),
        Route("/v1/drain", desk.drain, methods=["POST"]),
    ]
    return Starlette(routes=routes)


class _Desk:
    def __init__(self, house: House, feed: Feed) -> None:
        self._house = house
        self._feed = feed

    async def status(self, request: Request) -> Response:
        return JSONResponse(self._house.status())

    async def calls(self, request: Request) -> Response:
        turns = request.query_params.get("turns") != "0"
        return StreamingResponse(self._calls(turns), media_type="application/json")

    async def _calls(self, turns: bool) -> AsyncIterator[bytes]:
        """One call at a time: between two of them the media clock has its turn."""
        before = b"["
        for call_id in self._house.live_calls():
            if (found := self._house.live_call(call_id, turns=turns)) is not None:
                yield before + json.dumps(found).encode()
                before = b","
            await asyncio.sleep(0)
        yield b"[]" if before == b"[" else b"]"

    async def call(self, request: Request) -> Response:
        call_id = request.path_params["id"]
        if (found := self._house.live_call(call_id)) is None:
            return _wrong(404, "no such call runs")
        return JSONResponse(found)

    async def events(self, request: Request) -> Response:
        return StreamingResponse(self._events(request), media_type="application/x-ndjson")

    async def _events(self, request: Request) -> AsyncIterator[bytes]:
        watcher = self._feed.watch(request.query_params.get("call", ""))
        leaving = asyncio.get_running_loop().create_task(_close_when_left(request, watcher))
        try:
            async for piece in watcher.lines():
                yield piece
        finally:
            leaving.cancel()

    async def metrics(self, request: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for piece in self._house.metrics():
                yield piece
                await asyncio.sleep(0)

        return StreamingResponse(pieces(), headers={"content-type": METRICS})

    async def reload(self, request: Request) -> Response:
        try:
            return JSONResponse(await self._house.reload())
        except ConfigError as error:
            return _wrong(409, str(error))

    async def end(self, request: Request) -> Response:
        try:
            wanted = _End.model_validate(await _body(request))
        except ValueError as error:
            return _wrong(400, _why(error))
        if not self._house.end_call(request.path_params["id"], wanted.outcome):
            return _wrong(404, "no such call runs")
        return JSONResponse({"ended": True})

    async def drain(self, request: Request) -> Response:
        try:
            wanted = _Drain.model_validate(await _body(request))
        except ValueError as error:
            return _wrong(400, _why(error))
        self._house.drain(wanted.on)
        return JSONResponse({"draining": wanted.on, "calls": len(self._house.live_calls())})


async def _close_when_left(request: Request, watcher: Watcher) -> None:
    """A response learns that its client has gone only when it sends."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    watcher.close()


async def _body(request: Request) -> Any:
    """Nothing is {}. Raises ValueError."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST_BODY:
            raise ValueError(f"more than {LONGEST_BODY} bytes")
    try:
        return json.loads(body) if body else {}
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _why(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, part['loc'])) or 'body'}: {part['msg']}" for part in error.errors())
    return str(error)


def _wrong(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status_code=status)
