"""Where the pages get what they show: the daemon's control socket, and the store's erasing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx

from voicebridge.config import Settings
from voicebridge.trace.store.erase import Wanted, erase
from voicebridge.web.live import Call, NoDaemon

ANSWER_S = 3.0
SILENCE_S = 25.0
"""The daemon sends a heartbeat every 10 s: one that is silent for so long is gone."""


class Daemon:
    """A `live.Source` over the control socket."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def calls(self) -> list[Call]:
        async with self._client(ANSWER_S) as client:
            try:
                answer = await client.get("/v1/calls")
                answer.raise_for_status()
                found: list[Call] = answer.json()
            except (httpx.HTTPError, ValueError) as error:
                raise NoDaemon(_why(error)) from error
        return found

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        async with self._client(SILENCE_S) as client:
            try:
                async with client.stream("GET", "/v1/events") as answer:
                    answer.raise_for_status()
                    async for line in answer.aiter_lines():
                        if line.strip():
                            yield json.loads(line)
            except (httpx.HTTPError, ValueError) as error:
                raise NoDaemon(_why(error)) from error
        raise NoDaemon("The daemon has ended.")

    def _client(self, timeout_s: float) -> httpx.AsyncClient:
        path = _socket(self._settings)
        if path is None:
            raise NoDaemon("The daemon's control socket is switched off: [control] socket.")
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        return httpx.AsyncClient(transport=transport, base_url="http://voicebridge", timeout=timeout_s)


def _socket(settings: Settings) -> Path | None:
    given = settings.config.control.socket
    if given == "":
        return None
    return Path(given) if given else settings.config.store.dir / "control.sock"


def _why(error: Exception) -> str:
    if isinstance(error, httpx.ConnectError):
        return "No daemon runs with this configuration."
    return f"The daemon does not answer: {type(error).__name__}."


def eraser(settings: Settings) -> Callable[[str], None]:
    """What deletes all of a call. Raises StoreError, OSError."""
    store = settings.config.store

    def erased(call_id: str) -> None:
        erase(store.dir, store.url, Wanted(call_id=call_id))

    return erased
