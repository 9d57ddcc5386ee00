"""The door in front of a worker's socket: who gets in, and what of a connection gets through."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from voicebridge.engines import door as module
from voicebridge.engines.door import Door, HttpDoor, admitted

ELSEWHERE = [ipaddress.ip_network("192.0.2.0/24")]
KEY = {"Authorization": "Bearer s3cret"}


class Inside:
    """A server on a Unix socket that keeps what it was sent; `answer` is what it says to each first piece."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.got: list[bytes] = []
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                self.got.append(data)
                writer.write(self.answer)
                await writer.drain()
        self.left.set()
        writer.close()


@contextlib.asynccontextmanager
async def opened(folder: Path, answer: bytes = b"", *, kind: type[Door] = Door, **how: Any) -> AsyncIterator[Any]:
    inside = Inside(answer)
    server = await asyncio.start_unix_server(inside.serve, folder / "s")
    door = kind(folder / "s", **how)
    await door.open("127.0.0.1", 0)
    try:
        async with asyncio.timeout(20):
            yield door, inside
    finally:
        await door.close()
        server.close()


def reply(text: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}".encode()


# ---- bytes


async def test_bytes_go_both_ways_and_a_close_goes_through(tmp_path: Path) -> None:
    async with opened(tmp_path, b"pong") as (door, inside):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        for _ in range(2):
            writer.write(b"ping")
            assert await reader.readexactly(4) == b"pong"
        writer.close()
        await inside.left.wait()
        assert b"".join(inside.got) == b"pingping"


async def test_who_is_not_on_the_list_gets_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path, b"pong", allow=ELSEWHERE) as (door, inside):
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(b"ping")
            assert await reader.read() == b""
        assert inside.got == []


async def test_no_more_visitors_than_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CONNECTIONS", 1)
    async with opened(tmp_path, b"pong") as (door, _):
        first, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"ping")
        assert await first.readexactly(4) == b"pong"
        with contextlib.suppress(ConnectionError):
            second, _ = await asyncio.open_connection("127.0.0.1", door.port)
            assert await second.read() == b""
        writer.close()


async def test_while_the_worker_starts_anew_connections_end_at_once(tmp_path: Path) -> None:
    door = Door(tmp_path / "nobody")
    await door.open("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await door.close()


@pytest.mark.parametrize(
    ("host", "allow", "may"),
    [
        ("127.0.0.9", "127.0.0.0/8", True), ("::ffff:10.1.2.3", "10.0.0.0/8", True), ("10.1.2.3", "10.1.2.4", False),
        ("fe80::1%eth0", "fe80::/64", True), ("", "0.0.0.0/0", False), ("::1", "0.0.0.0/0", False),
    ],
)  # fmt: skip
def test_the_list(host: str, allow: str, may: bool) -> None:
    assert admitted(host, [ipaddress.ip_network(allow)]) is may


# ---- HTTP


async def test_a_request_with_the_key_gets_through_without_it(tmp_path: Path) -> None:
    async with opened(tmp_path, reply("fine"), kind=HttpDoor, key="s3cret") as (door, inside):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", headers=KEY) as client:
            answer = await client.post("/v1/chat/completions", json={"n": 1})
            assert (answer.status_code, answer.text) == (200, "fine")
        head, _, body = b"".join(inside.got).partition(b"\r\n\r\n")
        assert json.loads(body) == {"n": 1}
        assert head.startswith(b"POST /v1/chat/completions HTTP/1.1")
        assert b"s3cret" not in head
        assert b"connection: close" in head.lower()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/models", {}, 401),
        ("/v1/models", {"Authorization": "Bearer s3cre"}, 401),
        ("/slots/0?action=save", KEY, 404),
        ("/v1/../slots", KEY, 404),
        ("/props", KEY, 404),
    ],
)
async def test_what_is_refused_never_reaches_the_worker(
    tmp_path: Path, path: str, headers: dict[str, str], status: int
) -> None:
    async with opened(tmp_path, reply("fine"), kind=HttpDoor, key="s3cret") as (door, inside):
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{door.port}", headers=headers) as client:
            answer = await client.get(path)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]
        assert inside.got == []


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b" 400 "),
        (b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b""),
        (b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n" + bytes(5_000_000), b" 413 "),
    ],
    ids=["no http", "two lengths", "too long"],
)
async def test_what_is_no_request_is_not_passed_on(tmp_path: Path, sent: bytes, status: bytes) -> None:
    async with opened(tmp_path, reply("fine"), kind=HttpDoor) as (door, inside):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        answered = b""
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            await writer.drain()
            writer.write_eof()
            answered = await reader.read()
        assert status in answered or not answered
        assert b"200 OK" not in answered
        assert inside.got == []
        writer.close()


async def test_a_second_request_on_the_connection_is_nobody_s(tmp_path: Path) -> None:
    """It could bring a path that is not served, behind one that is."""
    two = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /slots HTTP/1.1\r\nHost: x\r\n\r\n"
    async with opened(tmp_path, reply("fine"), kind=HttpDoor) as (door, inside):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(two)
        assert b"fine" in await reader.read(1000)
        writer.close()
        assert b"slots" not in b"".join(inside.got)


async def test_a_request_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_S", 0.1)
    async with opened(tmp_path, reply("fine"), kind=HttpDoor) as (door, inside):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"GET /health HTTP/1.1\r\n")
        assert await reader.read() == b""
        assert inside.got == []
        writer.close()


async def test_a_client_that_leaves_ends_the_work(tmp_path: Path) -> None:
    async with opened(tmp_path, b"HTTP/1.1 200 OK\r\n\r\nsome", kind=HttpDoor) as (door, inside):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"some" in await reader.read(1000)
        writer.close()
        await inside.left.wait()
