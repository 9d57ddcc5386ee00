"""OpenAI-compatible HTTP, as llama.cpp's server speaks it: streamed chat, embeddings, slots.

A new connection for every request: llama.cpp's server sometimes fails on one that has carried a stream (3 times in 12).
Closing the stream ends the work in the server, between two tokens.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx

from voicebridge.conversation.commands import ChatMessage

CONNECT_TIMEOUT_S = 2.0


class HttpTrouble(Exception):
    """A request failed. `cause` is one of EngineError's."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail


class ChatHttp:
    """A server on a Unix socket. Time limits are the caller's affair: cancel what takes too long."""

    def __init__(self, socket: Path) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket), limits=limits),
            base_url="http://llama",
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def healthy(self) -> bool:
        try:
            return (await self._client.get("/health")).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def chat(self, messages: Sequence[ChatMessage], **options: Any) -> AsyncGenerator[str, None]:
        """The answer in pieces. Raises HttpTrouble."""
        body = {"messages": _plain(messages), "stream": True, **options}
        try:
            async with self._client.stream("POST", "/v1/chat/completions", json=body) as answer:
                if answer.status_code != httpx.codes.OK:
                    raise _refusal(answer.status_code, await answer.aread())
                finished = False
                async for line in _lines(answer):
                    if not line.startswith(b"data:"):
                        continue
                    event = line.removeprefix(b"data:").strip()
                    if event == b"[DONE]":
                        finished = True
                        break
                    if piece := _piece(event):
                        yield piece
                if not finished:
                    raise HttpTrouble("crashed", "the stream broke off")
        except httpx.HTTPError as error:
            raise _trouble(error) from error

    async def compute(self, messages: Sequence[ChatMessage], **options: Any) -> None:
        """Have the prompt in the server's cache, generate nothing. Raises HttpTrouble."""
        await self.post("/v1/chat/completions", {"messages": _plain(messages), "max_tokens": 0, **options})

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON answer. Raises HttpTrouble."""
        try:
            answer = await self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise _trouble(error) from error
        if answer.status_code != httpx.codes.OK:
            raise _refusal(answer.status_code, answer.content)
        try:
            return answer.json()
        except ValueError as error:
            raise HttpTrouble("garbage", "the answer is not JSON") from error


def _plain(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.text} for message in messages]


async def _lines(answer: httpx.Response) -> AsyncIterator[bytes]:
    """Ended by LF or CR LF alone: what else Unicode ends a line with may stand inside a JSON string."""
    pending = b""
    async for chunk in answer.aiter_bytes():
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")


def _piece(event: bytes) -> str:
    """The text of a stream's event, which may be none. Raises HttpTrouble: an error event, or garbage."""
    try:
        made = json.loads(event)
        if error := made.get("error"):
            raise _refusal(int(error.get("code", 500)), event)
        choices = made.get("choices") or [{}]
        text = (choices[0].get("delta") or {}).get("content") or ""
    except (ValueError, AttributeError, LookupError, TypeError) as error:
        raise HttpTrouble("garbage", "a stream event that is none") from error
    if not isinstance(text, str):
        raise HttpTrouble("garbage", "a stream event whose content is no text")
    return text


def _refusal(status: int, body: bytes) -> HttpTrouble:
    """400s are our fault, or the model's limits; 503 means that it is still loading."""
    cause = "unreachable" if status == httpx.codes.SERVICE_UNAVAILABLE else "refused"
    try:
        detail = str(json.loads(body)["error"]["message"])[:160]
    except (ValueError, KeyError, TypeError):
        detail = f"HTTP {status}"
    return HttpTrouble(cause, detail)


def _trouble(error: httpx.HTTPError) -> HttpTrouble:
    connecting = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
    return HttpTrouble("unreachable" if connecting else "crashed", type(error).__name__)
