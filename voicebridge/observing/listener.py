"""`[metrics] listen`: `GET /metrics` over HTTP for a Prometheus, in the daemon, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
from collections.abc import Iterable

import h11

from voicebridge.config import ConfigError, Settings, is_loopback, split_address, unbound
from voicebridge.engines.door import admitted
from voicebridge.trace.metrics import CONTENT_TYPE, Metrics

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
REQUEST_S = 10.0
"""For a request and its answer, however slowly the other side reads."""
MAX_CONNECTIONS = 8
CHUNK = 8_192


class MetricsListener:
    """`start`, `stop`. Peers that are not in `allow` get no answer."""

    def __init__(self, metrics: Metrics, host: str, port: int, allow: Iterable[Network] = LOOPBACK) -> None:
        self._metrics = metrics
        self._host, self._port = host, port
        self._allow = tuple(allow)
        self._server: asyncio.Server | None = None
        self._open = 0

    @property
    def port(self) -> int:
        """The one that is listened on (a free one where 0 was wanted)."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        """Raises OSError."""
        self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=CHUNK)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = str((writer.get_extra_info("peername") or ("",))[0])
        if not admitted(peer, self._allow) or self._open >= MAX_CONNECTIONS:
            log.warning("metrics peer=%s refused: not in metrics.allow, or too many connections", peer)
            writer.transport.abort()
            return
        self._open += 1
        try:
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(REQUEST_S):
                    await self._answer(reader, writer)
        finally:
            self._open -= 1
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=CHUNK)
        try:
            request = await _request(http, reader)
        except h11.RemoteProtocolError as error:
            if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                _tell(http, writer, error.error_status_hint, "no HTTP request")
                await writer.drain()
            return
        if request is None:
            return
        path, head = request.target.partition(b"?")[0], request.method == b"HEAD"
        if path != b"/metrics":
            _tell(http, writer, 404, "" if head else "there is only /metrics")
        elif head:
            writer.write(http.send(h11.Response(status_code=200, headers=_headers(CONTENT_TYPE))) or b"")
        elif request.method != b"GET":
            _tell(http, writer, 405, "only GET")
        else:
            await self._exposition(http, writer)
        await writer.drain()

    async def _exposition(self, http: h11.Connection, writer: asyncio.StreamWriter) -> None:
        writer.write(http.send(h11.Response(status_code=200, headers=_headers(CONTENT_TYPE))) or b"")
        for piece in self._metrics.pieces():
            writer.write(http.send(h11.Data(data=piece)) or b"")
            await writer.drain()
            await asyncio.sleep(0)  # calls' frames go first
        writer.write(http.send(h11.EndOfMessage()) or b"")


async def _request(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """Its head; None where the other side has left. Raises h11.RemoteProtocolError."""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(CHUNK))
        elif isinstance(event, h11.Request):
            return event
        else:
            return None


def _tell(http: h11.Connection, writer: asyncio.StreamWriter, status: int, text: str) -> None:
    body = f"{text}\n".encode() if text else b""
    writer.write(http.send(h11.Response(status_code=status, headers=_headers("text/plain", len(body)))) or b"")
    writer.write(http.send(h11.Data(data=body)) or b"")
    writer.write(http.send(h11.EndOfMessage()) or b"")


def _headers(kind: str, size: int | None = None) -> list[tuple[str, str]]:
    length = [("Content-Length", str(size))] if size is not None else []
    return [("Content-Type", kind), ("Connection", "close"), ("Cache-Control", "no-store"), *length]


def listener(settings: Settings, metrics: Metrics) -> MetricsListener | None:
    """As the settings want it; not started. Raises ConfigError."""
    wanted = settings.config.metrics
    if not wanted.listen:
        return None
    try:
        host, port = split_address(wanted.listen)
    except ValueError as error:
        raise ConfigError(f"{settings.where('metrics', 'listen')}: {error}") from None
    try:
        allow = tuple(ipaddress.ip_network(each) for each in wanted.allow)
    except ValueError as error:
        raise ConfigError(f"{settings.where('metrics', 'allow')}: {error}") from None
    if not allow and not is_loopback(host):
        raise ConfigError(
            f"{settings.where('metrics', 'listen')}: {wanted.listen!r} is reachable from outside: name the machines "
            'that may read it, e.g. metrics.allow = ["192.0.2.20/32"]'
        )
    return MetricsListener(metrics, host, port, (*allow, *LOOPBACK))


async def started(settings: Settings, metrics: Metrics) -> MetricsListener | None:
    """The listener, listening; None where none is wanted. Raises ConfigError."""
    made = listener(settings, metrics)
    if made is not None:
        try:
            await made.start()
        except OSError as error:
            port = split_address(settings.config.metrics.listen)[1]
            where = settings.where("metrics", "listen")
            raise ConfigError(f"{where} = {settings.config.metrics.listen}: {unbound(error, port)}") from error
        log.info("listening metrics=%s", settings.config.metrics.listen)
    return made
