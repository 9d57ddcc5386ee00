"""The HTTP client against a small server on a Unix socket that streams what a test wants, however broken."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from voicebridge.engines.base import Message
from voicebridge.engines.chat_http import ChatHttp, HttpTrouble

QUESTION = [Message("system", "Be brief."), Message("user", "Where are you?")]
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
DONE = b"data: [DONE]\n\n"


class FakeServer:
    """Reads a request a connection and lets `answer` write what it likes; then closes."""

    def __init__(self, answer: Callable[[FakeServer, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.answer = answer
        self.requests: list[tuple[str, Any]] = []
        self.gone = asyncio.Event()  # the client has closed its connection
        self.writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(v) for n, _, v in (x.partition(":") for x in head.split("\r\n")) if n.lower() == "content-length"), 0
        )
        body = await reader.readexactly(length)
        self.requests.append((head.split(" ")[1], json.loads(body) if body else None))
        watch = asyncio.create_task(self._watch(reader))
        self._tasks.add(watch)
        with contextlib.suppress(OSError):
            await self.answer(self, writer)
            await writer.drain()
        writer.close()

    async def _watch(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        self.gone.set()


def event(text: str) -> bytes:
    made = {"choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(made, ensure_ascii=False).encode() + b"\n\n"


def saying(*chunks: bytes) -> Callable[[FakeServer, asyncio.StreamWriter], Awaitable[None]]:
    async def answer(_: FakeServer, writer: asyncio.StreamWriter) -> None:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0.001)

    return answer


def plain(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@contextlib.asynccontextmanager
async def serving(path: Path, answer: Any) -> AsyncIterator[tuple[FakeServer, ChatHttp]]:
    fake = FakeServer(answer)
    server = await asyncio.start_unix_server(fake.serve, str(path))
    http = ChatHttp(path)
    try:
        async with asyncio.timeout(20):
            yield fake, http
    finally:
        await http.close()
        server.close()
        for writer in fake.writers:
            writer.close()


async def collect(http: ChatHttp, **options: Any) -> list[str]:
    return [piece async for piece in http.chat(QUESTION, **options)]


async def test_pieces_of_an_answer_and_what_was_asked(tmp_path: Path) -> None:
    answer = saying(STREAM, b'data: {"choices":[{"delta":{"role":"assistant","content":null}}]}\n\n')
    chunks = (event("We"), event(" are"), b": a comment\n\n", event(" here."), b'data: {"choices":[]}\n\n', DONE)

    async def all_of_it(server: FakeServer, writer: asyncio.StreamWriter) -> None:
        await answer(server, writer)
        await saying(*chunks)(server, writer)

    async with serving(tmp_path / "s", all_of_it) as (server, http):
        assert await collect(http, max_tokens=7, id_slot=2) == ["We", " are", " here."]
    path, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert body == {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where are you?"}],
        "stream": True,
        "max_tokens": 7,
        "id_slot": 2,
    }


@pytest.mark.parametrize("size", [1, 2, 7, 4096])
async def test_chunks_may_be_cut_anywhere(tmp_path: Path, size: int) -> None:
    whole = event("Grüße,") + event(" 東京") + event(" 🙂.") + DONE
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    async with serving(tmp_path / "s", saying(STREAM, *chunks)) as (_, http):
        assert await collect(http) == ["Grüße,", " 東京", " 🙂."]


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\n", "\r", "\x0c"])
async def test_line_ends_inside_the_text_end_no_line(tmp_path: Path, end: str) -> None:
    text = f"one{end}two"
    async with serving(tmp_path / "s", saying(STREAM, event(text), DONE)) as (_, http):
        assert await collect(http) == [text]


async def test_other_servers_ways_of_writing_a_stream(tmp_path: Path) -> None:
    """CR LF, no blank after the colon: both are server-sent events."""
    lines = event("Yes.").replace(b"\n", b"\r\n").replace(b"data: ", b"data:")
    async with serving(tmp_path / "s", saying(STREAM, lines, b"data:[DONE]\r\n\r\n")) as (_, http):
        assert await collect(http) == ["Yes."]


async def test_what_comes_after_the_end_is_not_waited_for(tmp_path: Path) -> None:
    async def never_closes(server: FakeServer, writer: asyncio.StreamWriter) -> None:
        await saying(STREAM, event("Yes."), DONE, event(" No."))(server, writer)
        await server.gone.wait()

    async with serving(tmp_path / "s", never_closes) as (server, http):
        assert await collect(http) == ["Yes."]
        await server.gone.wait()


@pytest.mark.parametrize(
    ("status", "body", "cause", "detail"),
    [
        ("400 Bad Request", b'{"error":{"code":400,"message":"too many tokens"}}', "refused", "too many tokens"),
        ("503 Service Unavailable", b'{"error":{"message":"Loading model"}}', "unreachable", "Loading model"),
        ("404 Not Found", b"<html>", "refused", "HTTP 404"),
        ("500 Internal Server Error", b'["a list"]', "refused", "HTTP 500"),
        ("400 Bad Request", b'{"error":"words"}', "refused", "HTTP 400"),
        ("400 Bad Request", b"\xff\xfe", "refused", "HTTP 400"),
    ],
)
async def test_error_status(tmp_path: Path, status: str, body: bytes, cause: str, detail: str) -> None:
    async with serving(tmp_path / "s", saying(plain(status, body))) as (_, http):
        for request in (collect(http), http.post("/v1/embeddings", {}), http.compute(QUESTION)):
            with pytest.raises(HttpTrouble) as raised:
                await request
            assert (raised.value.cause, raised.value.detail) == (cause, detail)


async def test_error_in_the_middle_of_a_stream(tmp_path: Path) -> None:
    failed = b'data: {"error":{"code":400,"message":"context is full"}}\n\n'
    got: list[str] = []
    async with serving(tmp_path / "s", saying(STREAM, event("Well"), failed, DONE)) as (_, http):
        with pytest.raises(HttpTrouble) as raised:
            async for piece in http.chat(QUESTION):
                got.append(piece)
    assert got == ["Well"]
    assert (raised.value.cause, raised.value.detail) == ("refused", "context is full")


@pytest.mark.parametrize("end", [b"", b'data: {"choices":[{"del', b"data: [DO"])
async def test_stream_that_breaks_off(tmp_path: Path, end: bytes) -> None:
    got: list[str] = []
    async with serving(tmp_path / "s", saying(STREAM, event("Well,"), end)) as (_, http):
        with pytest.raises(HttpTrouble) as raised:
            async for piece in http.chat(QUESTION):
                got.append(piece)
    assert raised.value.cause == "crashed"
    assert got == ["Well,"]


async def test_stream_that_breaks_off_inside_a_chunk(tmp_path: Path) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    one = event("Well,")
    got: list[str] = []
    async with serving(tmp_path / "s", saying(chunked, b"%x\r\n%s\r\n" % (len(one), one), b"ff\r\ndata: {")) as (
        _,
        http,
    ):
        with pytest.raises(HttpTrouble) as raised:
            async for piece in http.chat(QUESTION):
                got.append(piece)
    assert raised.value.cause == "crashed"
    assert got == ["Well,"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"{not json",
        b"[1, 2]",
        b"7",
        b"\xff\xfe",
        b'{"choices":{"a":1}}',
        b'{"choices":[7]}',
        b'{"choices":[{"delta":"x"}]}',
        b'{"choices":[{"delta":{"content":7}}]}',
        b'{"error":"words"}',
    ],
)
async def test_garbage_in_a_stream_is_told(tmp_path: Path, garbage: bytes) -> None:
    async with serving(tmp_path / "s", saying(STREAM, b"data: " + garbage + b"\n\n", DONE)) as (_, http):
        with pytest.raises(HttpTrouble) as raised:
            await collect(http)
    assert raised.value.cause == "garbage"


async def test_no_http_at_all(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", saying(b"220 mail.example ready\r\n")) as (_, http):
        with pytest.raises(HttpTrouble, match="crashed"):
            await collect(http)
        assert not await http.healthy()


async def test_post_that_is_not_json(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", saying(plain("200 OK", b"{,"))) as (_, http):
        with pytest.raises(HttpTrouble, match="garbage"):
            await http.post("/slots/0", {})


async def test_compute_generates_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", saying(plain("200 OK", b"{}"))) as (server, http):
        await http.compute(QUESTION, id_slot=1)
    body = server.requests[0][1]
    assert (body["max_tokens"], body["id_slot"], body.get("stream", False)) == (0, 1, False)


async def test_nobody_is_there(tmp_path: Path) -> None:
    http = ChatHttp(tmp_path / "nothing")
    for request in (collect(http), http.post("/x", {})):
        with pytest.raises(HttpTrouble) as raised:
            await request
        assert raised.value.cause == "unreachable"
    assert not await http.healthy()
    await http.close()


@pytest.mark.parametrize(("status", "healthy"), [("200 OK", True), ("503 Service Unavailable", False)])
async def test_health(tmp_path: Path, status: str, healthy: bool) -> None:
    async with serving(tmp_path / "s", saying(plain(status, b"{}"))) as (server, http):
        assert await http.healthy() is healthy
    assert server.requests == [("/health", None)]


async def endless(server: FakeServer, writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + event("Once"))
    await server.gone.wait()


async def test_closing_the_iterator_closes_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", endless) as (server, http):
        stream = http.chat(QUESTION)
        assert await anext(stream) == "Once"
        assert not server.gone.is_set()
        await stream.aclose()
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_cancelling_closes_the_connection(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", endless) as (server, http):
        task = asyncio.create_task(collect(http))
        while not server.requests:  # noqa: ASYNC110 - the fake has no event for it
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), 5)


async def test_every_request_has_its_own_connection(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", saying(plain("200 OK", b"{}"))) as (server, http):
        for _ in range(3):
            assert await http.post("/x", {}) == {}
        assert len(server.writers) == 3


# ---- what a full server says, and what is no stream


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("0", 0.0), ("", None), ("soon", None), ("-3", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
async def test_when_to_come_again(tmp_path: Path, said: str, seconds: float | None) -> None:
    head = f"HTTP/1.1 429 Too Many Requests\r\nRetry-After: {said}\r\nContent-Length: 0\r\n\r\n".encode()
    async with serving(tmp_path / "s", saying(head)) as (_, http):
        with pytest.raises(HttpTrouble) as raised:
            await http.post("/v1/x", {})
    assert (raised.value.status, raised.value.retry_after_s) == (429, seconds)


async def test_a_date_to_come_again_is_counted_from_now(tmp_path: Path) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    head = f"HTTP/1.1 503 No\r\nRetry-After: {later}\r\nContent-Length: 0\r\n\r\n".encode()
    async with serving(tmp_path / "s", saying(head)) as (_, http):
        with pytest.raises(HttpTrouble) as raised:
            await http.post("/v1/x", {})
    assert raised.value.retry_after_s == pytest.approx(60, abs=20)


async def test_an_answer_that_is_no_json_has_a_status_only(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", saying(plain("200 OK", b"<html>"))) as (_, http):
        assert await http.get("/v1/models") == (200, None)
    assert await ChatHttp(tmp_path / "nobody").get("/v1/models") == (0, None)
