"""The door through which other machines reach an engine: TCP in front of its worker's Unix socket.

Who may come in is told by an allow-list, and where HTTP is spoken by a key. Wyoming has neither keys nor encryption,
and the door adds none: between machines use a network of your own, WireGuard, an SSH tunnel or stunnel.
A connection that is closed on one side is closed on the other, so that nobody computes for somebody who has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Iterable
from pathlib import Path

import h11

from voicebridge.engines.liveness import notice_loss

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
MAX_CONNECTIONS = 500
CHUNK = 65_536
MAX_BODY = 4_000_000
REQUEST_S = 10.0
"""A request has to be complete within this time."""
PATHS = {"/health", "/v1/models", "/v1/chat/completions"}
"""What of a language model's server is for others; the rest reads and writes files, and calls, of its own machine."""


class Door:
    """Passes connections on to `inside`. `port` is known once it is open."""

    def __init__(self, inside: Path, allow: Iterable[Network] = LOOPBACK) -> None:
        self._inside = inside
        self._allow = tuple(allow)
        self._server: asyncio.Server | None = None
        self._visits: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def open(self, host: str, port: int) -> None:
        """Raises OSError."""
        self._server = await asyncio.start_server(self._enter, host, port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        visits = tuple(self._visits)
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)

    def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        if not admitted(peer, self._allow) or len(self._visits) >= MAX_CONNECTIONS:
            log.warning("peer=%s refused: not in the allow-list, or too many connections", peer)
            writer.transport.abort()
            return
        notice_loss(writer.get_extra_info("socket"))
        visit = asyncio.get_running_loop().create_task(self._visit(reader, writer))
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with self._upstream() as (inner_reader, inner_writer):
                await _until_one_ends(_copy(reader, inner_writer), _copy(inner_reader, writer))
        except OSError as error:  # the worker starts anew, or the visitor has left
            log.debug("connection ended: %s", type(error).__name__)
        finally:
            writer.close()

    @contextlib.asynccontextmanager
    async def _upstream(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_unix_connection(self._inside)
        try:
            yield reader, writer
        finally:
            writer.close()


class HttpDoor(Door):
    """For a server that speaks HTTP: one request a connection, with our key where there is one, to `PATHS` alone."""

    def __init__(self, inside: Path, allow: Iterable[Network] = LOOPBACK, *, key: str = "") -> None:
        super().__init__(inside, allow)
        self._key = key.encode()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outer = h11.Connection(h11.SERVER)
        try:
            async with asyncio.timeout(REQUEST_S):
                request, body = await _request(outer, reader)
            if refusal := self._refusal(request):
                writer.write(_answer(outer, *refusal))
                await writer.drain()
                return
            async with self._upstream() as (inner_reader, inner_writer):
                inner_writer.write(_passed_on(request, body))
                await _until_one_ends(_drained(reader), _copy(inner_reader, writer))
        except h11.RemoteProtocolError as error:
            writer.write(_answer(outer, error.error_status_hint, "that is no HTTP request that is taken here"))
        except (OSError, TimeoutError) as error:
            log.debug("connection ended: %s", type(error).__name__)
        finally:
            writer.close()

    def _refusal(self, request: h11.Request) -> tuple[int, str] | None:
        given = dict(request.headers).get(b"authorization", b"")
        if self._key and not hmac.compare_digest(given, b"Bearer " + self._key):
            return 401, "the key is missing or wrong: send it as `Authorization: Bearer KEY`"
        path = request.target.partition(b"?")[0].decode("latin-1")
        return None if path in PATHS else (404, f"{path} is not served to others")


def admitted(host: str, allow: Iterable[Network]) -> bool:
    """Whether a peer's address is in the allow-list."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in allow)


async def _request(outer: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request, bytes]:
    """The whole request. Raises h11.RemoteProtocolError; OSError where the client leaves."""
    request: h11.Request | None = None
    body = bytearray()
    while True:
        event = outer.next_event()
        if event is h11.NEED_DATA:
            outer.receive_data(await reader.read(CHUNK))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                raise h11.RemoteProtocolError("too large", error_status_hint=413)
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return request, bytes(body)
        else:
            raise ConnectionError("the client left before it had asked")


def _passed_on(request: h11.Request, body: bytes) -> bytes:
    """The request as the worker gets it: its length known, nothing behind it, our key not told."""
    inner = h11.Connection(h11.CLIENT)
    ours = {b"connection", b"content-length", b"transfer-encoding", b"authorization", b"expect"}
    headers = [(name, value) for name, value in request.headers if name not in ours]
    headers += [(b"Connection", b"close"), (b"Content-Length", str(len(body)).encode())]
    made = inner.send(h11.Request(method=request.method, target=request.target, headers=headers)) or b""
    return made + (inner.send(h11.Data(data=body)) or b"") + (inner.send(h11.EndOfMessage()) or b"")


def _answer(outer: h11.Connection, status: int, message: str) -> bytes:
    body = json.dumps({"error": {"message": message, "code": status}}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
    made = outer.send(h11.Response(status_code=status, headers=headers)) or b""
    return made + (outer.send(h11.Data(data=body)) or b"") + (outer.send(h11.EndOfMessage()) or b"")


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the end, or until the other side is gone."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()


async def _drained(reader: asyncio.StreamReader) -> None:
    """Until the client has closed; what else he sends is nobody's."""
    with contextlib.suppress(OSError):
        while await reader.read(CHUNK):
            pass


async def _until_one_ends(*ways: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
