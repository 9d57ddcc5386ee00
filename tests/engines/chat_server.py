"""Servers that speak OpenAI's HTTP and SSE by hand, however badly, for the tests of the engine `openai`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from voicebridge.conversation.commands import ChatMessage
from voicebridge.conversation.toolspec import ToolCall, ToolSpec
from voicebridge.engines.openai_chat import ENGINE, OpenAiChat, OpenAiSession
from voicebridge.engines.openai_servers import Server

ASKED = [ChatMessage("system", "Be brief."), ChatMessage("user", "What time is it?")]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"

Script = Callable[["Fake", asyncio.StreamWriter], Awaitable[None]]


def sse(delta: dict[str, Any], **more: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, **more}]}).encode() + b"\n\n"


def words(*pieces: str) -> list[bytes]:
    return [sse({"content": piece}) for piece in pieces]


def part(arguments: str, **first: Any) -> bytes:
    function = {"arguments": arguments, **({"name": first.pop("name")} if "name" in first else {})}
    return sse({"tool_calls": [{"index": 0, **first, "function": function}]})


def failing(status: str, message: str = "") -> Script:
    body = json.dumps({"error": {"message": message}}).encode() if message else b""
    return saying(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def saying(*chunks: bytes | float) -> Script:
    """Bytes are sent, numbers waited for."""

    async def answer(_: Fake, writer: asyncio.StreamWriter) -> None:
        for chunk in chunks:
            if isinstance(chunk, bytes):
                writer.write(chunk)
                await writer.drain()
            else:
                await asyncio.sleep(chunk)

    return answer


class Fake:
    """A server. Each chat request is answered by the next script, the last one over and over."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.bodies: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.models = "200 OK"
        self.model_list = "{}"
        self.probes: list[str] = []
        self.url = ""
        self.closed = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            if head.startswith("GET "):
                self.probes.append(head.split(" ")[1])
                length = len(self.model_list)
                writer.write(f"HTTP/1.1 {self.models}\r\nContent-Length: {length}\r\n\r\n{self.model_list}".encode())
            else:
                self.heads.append(head)
                self.bodies.append(json.loads(body))
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                answering = asyncio.ensure_future(script(self, writer))
                leaving = asyncio.ensure_future(reader.read())
                await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
                self.closed += leaving.done() and not answering.done()
                for task in (answering, leaving):
                    task.cancel()
                await asyncio.gather(answering, leaving, return_exceptions=True)
        writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.close()


@contextlib.asynccontextmanager
async def serving(
    *fakes: Fake, more_urls: Sequence[str] = (), limit_s: float = 30.0, **options: Any
) -> AsyncIterator[OpenAiChat]:
    """An engine (not started: nothing is probed) before these servers."""
    servers = []
    for fake in fakes:
        server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
        fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        servers.append(server)
    urls = [*(fake.url + "/v1" for fake in fakes), *more_urls]
    engine = ENGINE.create({"urls": urls, **{"model": "m", **options}})
    try:
        async with asyncio.timeout(limit_s):
            yield engine
    finally:
        await engine.stop()
        for fake, server in zip(fakes, servers, strict=True):
            server.close()
            fake.cut()


async def ask(
    engine: OpenAiChat,
    messages: list[ChatMessage] = ASKED,
    tools: tuple[ToolSpec, ...] = (),
    *,
    seconds: float = 5.0,
    due_s: float = 0.0,
    first: Fake | Server | None = None,
    session: OpenAiSession | None = None,
    got: list[str | ToolCall] | None = None,
) -> list[str | ToolCall]:
    """What a new call gets, by a session whose own server is `first`."""
    session = session or engine.session(agent="a", tools=tools)
    while first is not None and session.ranked()[0].url != first.url:
        session = engine.session(agent="a", tools=tools)
    made = [] if got is None else got
    now = time.monotonic()
    async for piece in session.generate(
        messages, max_tokens=40, deadline=now + due_s, give_up=now + seconds, tools=tools
    ):
        made.append(piece)
    return made
