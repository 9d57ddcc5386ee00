"""A client of the control socket, for the command line, `doctor` and the dashboard."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx

from voicebridge.config import Settings
from voicebridge.control.place import socket_path

ANSWER_S = 5.0
RELOAD_S = 300.0
"""New lines are rendered before the agents are taken."""
SILENCE_S = 25.0
"""A daemon sends a heartbeat every 10 s: one that is silent for so long is gone."""
BASE = "http://voicebridge"


class NoDaemon(Exception):  # noqa: N818 - a state of the world, not a mistake
    """None answers; the text names the socket and the cure."""


class Refused(Exception):  # noqa: N818 - the daemon's answer, not a mistake of ours
    """The daemon said no; the text is its reason. `status`: of HTTP."""

    def __init__(self, why: str, status: int) -> None:
        super().__init__(why)
        self.status = status


class Control:
    """The daemon of a socket. Everything raises NoDaemon, and Refused where the daemon does not want to."""

    def __init__(self, path: Path, *, answer_s: float = ANSWER_S) -> None:
        self.path = path
        self._answer_s = answer_s

    @classmethod
    def of(cls, settings: Settings, *, answer_s: float = ANSWER_S) -> Control:
        """The daemon that runs with these settings. Raises NoDaemon where its socket is switched off."""
        if (path := socket_path(settings.config)) is None:
            raise NoDaemon(f'the control socket is switched off ({settings.where("control", "socket")} = "")')
        return cls(path, answer_s=answer_s)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", "/v1/status").json()
        return found

    def calls(self, *, turns: bool = True) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("GET", f"/v1/calls?turns={int(turns)}").json()
        return found

    def call(self, call_id: str) -> dict[str, Any] | None:
        """None where it does not run."""
        try:
            found: dict[str, Any] = self._ask("GET", f"/v1/calls/{quote(call_id, safe='')}").json()
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return found

    def end(self, call_id: str, outcome: Literal["fallback", "hangup"] = "fallback") -> None:
        self._ask("POST", f"/v1/calls/{quote(call_id, safe='')}/end", {"outcome": outcome})

    def reload(self) -> dict[str, Any]:
        """What has changed, see `control.app`."""
        done: dict[str, Any] = self._ask("POST", "/v1/reload", timeout_s=RELOAD_S).json()
        return done

    def drain(self, on: bool = True) -> None:
        self._ask("POST", "/v1/drain", {"on": on})

    def metrics(self) -> str:
        return self._ask("GET", "/metrics").text

    async def events(self, call_id: str = "") -> AsyncGenerator[dict[str, Any], None]:
        """What happens, from now on, heartbeats too (the first one at once); ends with NoDaemon where the daemon
        ends."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.path))
        timeout = httpx.Timeout(SILENCE_S, connect=self._answer_s)
        query = {"call": call_id} if call_id else {}
        async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=timeout) as client:
            try:
                async with client.stream("GET", "/v1/events", params=query) as answer:
                    answer.raise_for_status()
                    async for line in answer.aiter_lines():
                        yield json.loads(line)
            except (httpx.HTTPError, ValueError) as error:
                raise NoDaemon(self._absent(error)) from error
        raise NoDaemon(f"the daemon of {self.path} has ended")

    async def live(self) -> list[dict[str, Any]]:
        """As `calls`, for who must not block."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.path))
        async with httpx.AsyncClient(transport=transport, base_url=BASE, timeout=self._answer_s) as client:
            try:
                found: list[dict[str, Any]] = (await client.get("/v1/calls")).raise_for_status().json()
            except (httpx.HTTPError, ValueError) as error:
                raise NoDaemon(self._absent(error)) from error
        return found

    def _ask(self, method: str, path: str, body: Any = None, *, timeout_s: float | None = None) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=str(self.path))
        timeout = httpx.Timeout(timeout_s or self._answer_s, connect=self._answer_s)
        try:
            with httpx.Client(transport=transport, base_url=BASE, timeout=timeout) as client:
                answer = client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise NoDaemon(self._absent(error)) from error
        if answer.is_success:
            return answer
        try:
            why = str(answer.json()["error"])
        except (ValueError, KeyError, TypeError):
            why = f"the daemon answered {answer.status_code}"
        raise Refused(why, answer.status_code)

    def _absent(self, error: Exception) -> str:
        if isinstance(error, httpx.TimeoutException):
            return f"the daemon of {self.path} does not answer"
        if not isinstance(error, httpx.ConnectError):
            return f"the daemon of {self.path} went away: {type(error).__name__}"
        if self.path.exists() and "Permission" in str(error):
            return f"{self.path} is not yours to open: run this as the daemon's user, or as root"
        return (f"no daemon runs with this configuration: nobody listens at {self.path}"
                " (start it with `voicebridge run`; another one's configuration: -c FILE)")  # fmt: skip
