"""A web server on loopback that answers a webhook as it is told, and keeps what came."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answers` are status codes, one a request, the last one for ever; 0 answers never. `came` is every request."""

    answers: list[int] = field(default_factory=lambda: [200])
    headers: tuple[str, ...] = ()
    came: list[Request] = field(default_factory=list)
    port: int = 0
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?token=geheim"

    async def start(self, port: int = 0) -> Receiver:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = dict(_header(line) for line in head[1:] if line)
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.came.append(Request(head[0].split()[1], headers, body))
            status = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if status == 0:
                await reader.read()  # until the client has had enough
                return
            lines: Iterable[str] = (f"HTTP/1.1 {status} so", "Content-Length: 0", "Connection: close", *self.headers)
            writer.write("\r\n".join((*lines, "", "")).encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()
