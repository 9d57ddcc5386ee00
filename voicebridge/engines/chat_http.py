"""OpenAI-compatible HTTP: streamed chat, and llama.cpp's embeddings and slots.

A new connection for every request: llama.cpp's server sometimes fails on one that has carried a stream (3 times in 12).
Closing the stream ends the work in the server, between two tokens. Over TLS, where a connection costs round trips and
proxies stand in front of the servers, connections are kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx

from voicebridge.conversation.commands import ChatMessage
from voicebridge.engines.guard import harmless, whole
from voicebridge.engines.liveness import OPTIONS

KEPT_S = 20.0
"""Shorter than the servers and proxies in use keep an idle connection, most of which do so for a minute."""
CONNECT_TIMEOUT_S = 2.0
MAX_LINE = 1_000_000
"""Bytes of one event: more is no answer to anybody on a telephone."""
NO_STREAM = ("text/html", "application/json")
"""What proxies and servers that cannot stream answer with. Not every server names the right type for a stream."""


class HttpTrouble(Exception):
    """A request failed. `cause` is one of EngineError's; `status` is HTTP's where the server answered with an error.

    `retry_after_s` is what a full server said of when to come again.
    """

    def __init__(self, cause: str, detail: str, status: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(f"{cause}: {detail}")
        self.retry_after_s = retry_after_s
        self.cause = cause
        self.detail = detail
        self.status = status


class ChatHttp:
    """A server, by its Unix socket or its address. Time limits are the caller's affair: cancel what takes too long."""

    def __init__(self, server: Path | str, headers: Mapping[str, str] | None = None) -> None:
        """`server`: the socket of a server on this machine, or the URL below which `/v1/...` is."""
        kept = isinstance(server, str) and server.startswith("https:")
        limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=None if kept else 0, keepalive_expiry=KEPT_S
        )
        if isinstance(server, Path):
            transport = httpx.AsyncHTTPTransport(uds=str(server), limits=limits)
        else:
            transport = httpx.AsyncHTTPTransport(socket_options=OPTIONS, limits=limits)
        self._client = httpx.AsyncClient(
            transport=transport,
            base_url="http://llama" if isinstance(server, Path) else server,
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            headers=headers,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def healthy(self) -> bool:
        """llama.cpp's own word that it is ready."""
        return await self.status("/health") == httpx.codes.OK

    async def status(self, path: str) -> int:
        """What HTTP status a GET is answered with; 0 when nobody answers."""
        return (await self.get(path))[0]

    async def get(self, path: str) -> tuple[int, Any]:
        """The HTTP status of a GET, 0 when nobody answers, and its JSON, None where it is none."""
        try:
            answer = await self._client.get(path)
        except httpx.HTTPError:
            return 0, None
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, None

    async def chat(self, messages: Sequence[ChatMessage], **options: Any) -> AsyncGenerator[str, None]:
        """The answer in pieces. Raises HttpTrouble."""
        async with aclosing(self.deltas({"messages": plain(messages), **options})) as deltas:
            async for delta in deltas:
                if piece := text_of(delta):
                    yield piece

    async def deltas(self, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """What a streamed answer adds, as OpenAI's `delta` objects. Raises HttpTrouble."""
        try:
            async with self._client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise _refusal(answer.status_code, await answer.aread(), answer.headers)
                if (kind := answer.headers.get("content-type", "").partition(";")[0]) in NO_STREAM:
                    raise HttpTrouble("garbage", f"{kind} instead of a stream: check the URL")
                finished = False
                async for line in _lines(answer):
                    if not line.startswith(b"data:"):
                        continue
                    event = line.removeprefix(b"data:").strip()
                    if event == b"[DONE]":
                        finished = True
                        break
                    choice = _choice(event)
                    finished = finished or bool(choice.get("finish_reason"))  # not every server says [DONE]
                    yield _delta(choice)
                if not finished:
                    raise HttpTrouble("crashed", "the stream broke off")
        except httpx.HTTPError as error:
            raise _trouble(error) from error

    async def compute(self, messages: Sequence[ChatMessage], **options: Any) -> None:
        """Have the prompt in the server's cache, generate nothing. Raises HttpTrouble."""
        await self.post("/v1/chat/completions", {"messages": plain(messages), "max_tokens": 0, **options})

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer. Raises HttpTrouble."""
        try:
            answer = await self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise _trouble(error) from error
        if answer.status_code != httpx.codes.OK:
            raise _refusal(answer.status_code, answer.content, answer.headers)
        try:
            return answer.json()
        except ValueError as error:
            raise HttpTrouble("garbage", "the answer is not JSON") from error


def plain(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    """Messages for a chat template; none of them can speak the template's own language."""
    return [{"role": message.role, "content": harmless(message.text)} for message in messages]


def text_of(delta: Mapping[str, Any]) -> str:
    """The text that a delta adds, which may be none. Raises HttpTrouble."""
    text = delta.get("content") or ""
    if not isinstance(text, str):
        raise HttpTrouble("garbage", "a stream event whose content is no text")
    return whole(text)


async def _lines(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Ended by LF or CR LF alone: what else Unicode ends a line with may stand inside a JSON string."""
    pending = b""
    async for chunk in answer.aiter_bytes():
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        if len(pending) > MAX_LINE:
            raise HttpTrouble("garbage", f"an event of more than {MAX_LINE} bytes")


def _choice(event: bytes) -> dict[str, Any]:
    """What a stream's event tells of the answer, which may be nothing. Raises HttpTrouble: an error, or garbage."""
    try:
        made = json.loads(event)
        if error := made.get("error"):
            raise _refusal(_code(error), event)
        choice = (made.get("choices") or [{}])[0]
    except (ValueError, AttributeError, LookupError, TypeError, RecursionError) as error:
        raise HttpTrouble("garbage", "a stream event that is none") from error
    if not isinstance(choice, dict):
        raise HttpTrouble("garbage", "a stream event whose choice is none")
    return choice


def _delta(choice: Mapping[str, Any]) -> dict[str, Any]:
    delta = choice.get("delta") or {}
    if not isinstance(delta, dict):
        raise HttpTrouble("garbage", "a stream event whose delta is none")
    return delta


def _code(error: Any) -> int:
    """The HTTP status in an error event; some servers put a word there."""
    code = error.get("code")
    return code if isinstance(code, int) else httpx.codes.INTERNAL_SERVER_ERROR


def _refusal(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> HttpTrouble:
    """400s are our fault, or the model's limits; 503 means that it is still loading, or full."""
    cause = "unreachable" if status == httpx.codes.SERVICE_UNAVAILABLE else "refused"
    try:
        detail = str(json.loads(body)["error"]["message"])[:160]
    except (ValueError, KeyError, TypeError):
        detail = f"HTTP {status}"
    return HttpTrouble(cause, detail, status, _seconds((headers or {}).get("retry-after", "")))


def _seconds(retry_after: str) -> float | None:
    """Retry-After: seconds, or a date (RFC 9110, 10.2.3)."""
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None


def _trouble(error: httpx.HTTPError) -> HttpTrouble:
    connecting = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return HttpTrouble("unreachable" if connecting else "crashed", type(error).__name__)
