"""An OpenAI-compatible server that does on demand what real ones do on their bad days."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from voicebridge.engines.base import LlmEngine
from voicebridge.engines.openai_chat import ENGINE

WORDS = ("We ", "are ", "open ", "from ", "nine ", "to ", "five.")


class ChatServer:
    """Says WORDS, behind what an assistant's last message says of them already. `mood`: well, hung (gives nothing),
    empty, garbage, refuses, breaks (after three words), stalls (after three words), blanks (nothing
    else, for ever), calls (a tool)."""

    def __init__(self, name: str, folder: Path, mood: str = "well") -> None:
        self.name = name
        self.path = folder / f"{name}.sock"
        self.mood = mood
        self.asked: list[dict[str, Any]] = []
        self.go_on = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def die(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()
        self.path.unlink(missing_ok=True)

    def engine(self) -> LlmEngine:
        options = {"urls": f"unix:{self.path}", "model": "m", "first_output_s": 30, "continues": "prefix"}
        made = ENGINE.create(options)
        made.name = self.name
        return made

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            size = next((int(row.split(":")[1]) for row in head.splitlines() if row.lower().startswith("content-l")), 0)
            body = json.loads(await reader.readexactly(size) or b"{}")
            if head.startswith("GET"):
                writer.write(b'HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{"data": [{"id": "m"}]}')
            else:
                self.asked.append(body)
                await self._chat(writer, body)
            await writer.drain()
        writer.close()

    async def _chat(self, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        if self.mood == "refuses":
            writer.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n{}")
            return
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        await writer.drain()
        last = body["messages"][-1]
        said = last["content"] if last["role"] == "assistant" else ""
        words = WORDS[len(said.split()) :]
        match self.mood:
            case "hung":
                await self.go_on.wait()
            case "empty":
                words = ()
            case "garbage":
                writer.write(b"data: {{{\n\n")
                return
            case "breaks":
                self._say(writer, words[:3])
                return
            case "stalls":
                self._say(writer, words[:3])
                await writer.drain()
                await self.go_on.wait()
                words = words[3:]
            case "blanks":
                while True:
                    self._say(writer, (" \n",))
                    await writer.drain()
                    await asyncio.sleep(0.01)
            case "calls":
                call = {"index": 0, "id": "1", "function": {"name": "hours", "arguments": "{}"}}
                self._send(writer, {"tool_calls": [call]})
                words = ()
        self._say(writer, words)
        writer.write(b"data: [DONE]\n\n")

    def _say(self, writer: asyncio.StreamWriter, words: tuple[str, ...]) -> None:
        for word in words:
            self._send(writer, {"content": word})

    @staticmethod
    def _send(writer: asyncio.StreamWriter, delta: dict[str, Any]) -> None:
        writer.write(b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n")


@contextlib.asynccontextmanager
async def chatting(folder: Path, **moods: str) -> AsyncIterator[list[ChatServer]]:
    servers = [ChatServer(name, folder, mood) for name, mood in moods.items()]
    for server in servers:
        await server.start()
    try:
        yield servers
    finally:
        for server in servers:
            await server.die()
