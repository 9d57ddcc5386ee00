"""Asterisk's AudioSocket, server side: a leg a connection, on asyncio's Protocol (not streams: see bench/media)."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from voicebridge.audio.clock import Ticker
from voicebridge.audio.pcm import frame_bytes
from voicebridge.pbx.asterisk.doors import BACKLOG, address_of, beside, bound
from voicebridge.pbx.leg import LegListener
from voicebridge.protocol import audiosocket as wire

log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Accept = Callable[["AudioSocketLeg"], LegListener | None]

DEFAULT_RATE = 8_000
RATES = (8_000, 16_000)
"""What a call can be held at: an endpoint that brings another must be told to use slin or slin16."""
STALLED_S = 5.0
"""A peer that reads nothing for so long is gone."""
CLOSE_S = 1.0
"""So long a peer may take to read what was sent before we closed."""
STOP_S = 0.5
BACKLOG_S = 1.0
"""More unsent audio than this is not worth sending."""


class AudioSocketLeg(asyncio.Protocol):
    """One connection; `pbx.leg.MediaLeg` once its UUID has come. Sends silence from the first tick on."""

    def __init__(self, server: AudioSocketServer) -> None:
        self._server = server
        self._parser = wire.AudioSocketParser()
        self._transport: asyncio.Transport | None = None
        self._listener: LegListener | None = None
        self._call_id: UUID | None = None
        self._rate = DEFAULT_RATE
        self._rate_known = False
        self._sending = False
        self._peer = "?"
        self._last_heard = self._connected_at = time.monotonic()
        self._stalled_since: float | None = None
        self._closing = ""
        self._aborting: asyncio.TimerHandle | None = None
        self.frames_dropped = 0
        self.unknown_frames = 0

    # ---- what the call sees

    @property
    def call_id(self) -> UUID:
        assert self._call_id is not None
        return self._call_id

    @property
    def nameless(self) -> bool:
        """Whether its call id has not come yet."""
        return self._call_id is None

    @property
    def rate(self) -> int:
        return self._rate

    @property
    def peer(self) -> str:
        return self._peer

    def send_audio(self, frame: bytes) -> None:
        self._sending = self._rate_known = True
        self._send(frame)

    def _send(self, frame: bytes) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        unsent = transport.get_write_buffer_size()
        if unsent > BACKLOG_S * self._rate * 2:
            self._note_stall()
            return
        self._stalled_since = None
        transport.write(wire.audio_frame(frame, self._rate))

    def hang_up(self) -> None:
        self._close("local", say_goodbye=True)

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        name = transport.get_extra_info("peername")
        self._peer = _address_text(name[0], name[1]) if name else "?"
        if not self._server.admits(name[0] if name else ""):
            log.warning("peer=%s refused: not in the allow-list, or too many connections", self._peer)
            transport.abort()
            return
        self._transport = transport
        raw = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._closing:
            return
        self._last_heard = time.monotonic()
        self._parser.feed(data)
        try:
            for event in self._parser.events():
                self._take(event)
                if self._is_closing():
                    return
        except wire.RemoteProtocolError as error:
            log.warning("call=%s peer=%s closed: %s", self._call_id, self._peer, error)
            self._close("error")

    def _is_closing(self) -> bool:
        return bool(self._closing)

    def _take(self, event: wire.Event) -> None:
        match event:
            case wire.Audio() if self._listener is not None:
                self._hear(event, self._listener)
            case wire.CallId():
                self._identify(event.uuid)
            case wire.Dtmf() if self._listener is not None:
                self._listener.on_dtmf(event.digit)
            case wire.Hangup():
                self._close("hangup")
            case wire.PeerError():
                log.warning("call=%s peer=%s reports error %s", self._call_id, self._peer, event.code)
                self._close("error")
            case wire.Unknown():
                self.unknown_frames += 1
            case _:
                pass

    def _hear(self, audio: wire.Audio, listener: LegListener) -> None:
        if not audio.pcm:
            return
        if not self._rate_known:  # what the call begins with it goes on with
            if audio.rate not in RATES:
                log.warning("call=%s peer=%s closed: %d Hz, which no call takes", self._call_id, self._peer, audio.rate)
                self._close("error", say_goodbye=True)
                return
            self._rate, self._rate_known = audio.rate, True
        listener.on_audio(audio.pcm, audio.rate)

    def _identify(self, call_id: UUID) -> None:
        self._call_id = call_id
        self._listener = self._server.accept(self)
        if self._listener is None:
            self._close("local", say_goodbye=True)

    def eof_received(self) -> None:
        """The peer has nothing more to send. One that doesn't read what we owe it is aborted, too.

        Asterisk 22 ends like this, without a hang-up frame, when its caller hangs up (8 of 8 calls traced), and when it
        is shut down or killed (12 of 12): who it was only the dialplan can tell (voicebridge-hangup).
        """
        self._close("hangup")

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.closed(self)
        self._transport = None
        if self._aborting is not None:
            self._aborting.cancel()
        self._tell_closed(self._closing or "dropped")

    def watch(self, now: float, *, handshake_s: float, idle_s: float) -> None:
        """Once a tick: nobody may keep a connection without saying who he is, or say nothing for ever."""
        if not self._sending:
            self._send(bytes(frame_bytes(self._rate)))
        if self._call_id is None:
            if now - self._connected_at > handshake_s:
                log.warning("peer=%s closed: no call id within %.0f s", self._peer, handshake_s)
                self._close("error")
        elif now - self._last_heard > idle_s:
            log.warning("call=%s peer=%s closed: nothing received for %.0f s", self._call_id, self._peer, idle_s)
            self._close("dropped")

    def _note_stall(self) -> None:
        self.frames_dropped += 1
        now = time.monotonic()
        if self._stalled_since is None:
            self._stalled_since = now
        elif now - self._stalled_since > STALLED_S:
            log.warning("call=%s peer=%s closed: it has read nothing for %.0f s", self._call_id, self._peer, STALLED_S)
            self._close("dropped", abort=True)

    def _close(self, reason: str, *, say_goodbye: bool = False, abort: bool = False) -> None:
        if self._closing or self._transport is None:
            return
        self._closing = reason
        if say_goodbye:
            self._transport.write(wire.hangup_frame())
        if abort:
            self._transport.abort()
        else:
            self._transport.close()
            self._aborting = asyncio.get_running_loop().call_later(CLOSE_S, self.abort)

    def abort(self) -> None:
        """A peer that does not read must not keep a closed connection's buffer for ever."""
        if self._transport is not None:
            self._transport.abort()

    def _tell_closed(self, reason: str) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_closed(reason)


def admitted(host: str, allow: Iterable[Network]) -> bool:
    """Whether a peer's address is in the allow-list."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in allow)


def _address_text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class AudioSocketServer:
    """Takes AudioSocket connections. `accept` is asked for a listener when a connection's UUID has come.

    `given`: sockets that listen already; `own_ports`: where the own door beside them may be (see doors.py).
    """

    def __init__(
        self,
        host: str,
        port: int,
        accept: Accept,
        *,
        ticker: Ticker,
        allow: Iterable[Network],
        handshake_s: float = 5.0,
        idle_s: float = 60.0,
        max_calls: int = 1000,
        given: Sequence[socket.socket] = (),
        own_ports: range | None = None,
    ) -> None:
        self.accept = accept
        self._given, self._own_ports = given, own_ports
        self._host, self._wanted_port = host, port
        self._ticker = ticker
        self._allow = tuple(allow)
        self._handshake_s, self._idle_s = handshake_s, idle_s
        self._max = max_calls
        self._legs: set[AudioSocketLeg] = set()
        self._shared: list[asyncio.Server] = []
        self._own: list[asyncio.Server] = []
        self._address = ("", 0)
        self._stopping = False
        self._ticket: int | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of our own door, once it is open."""
        return self._address

    @property
    def port(self) -> int:
        return self._address[1]

    def __len__(self) -> int:
        return len(self._legs)

    async def start(self) -> None:
        """Raises OSError where the address cannot be had."""
        own = beside(self._given, self._own_ports) if self._given else bound(self._host, self._wanted_port)
        self._address = address_of(own)
        self._own = [await self._open(each) for each in own]
        self._shared = [await self._open(each) for each in self._given]
        self._ticket = self._ticker.add(self._watch)

    async def _open(self, door: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: AudioSocketLeg(self), sock=door, backlog=BACKLOG)

    def shut(self) -> bool:
        """Who comes to the given sockets from now on waits there for the next daemon. Whether there were any."""
        shared, self._shared = self._shared, []
        for server in shared:
            server.close()
        return bool(shared)

    @property
    def unknown(self) -> int:
        """Connections that have not said yet which call they are."""
        return sum(leg.nameless for leg in self._legs)

    async def stop(self) -> None:
        self._stopping = True
        if self._ticket is not None:
            self._ticker.remove(self._ticket)
        self.shut()
        for server in self._own:
            server.close()
        for leg in list(self._legs):
            leg.hang_up()
        for _ in range(round(STOP_S / 0.02)):
            if not self._legs:
                return
            await asyncio.sleep(0.02)
        for leg in list(self._legs):
            leg.abort()
        await asyncio.sleep(0)  # for their `connection_lost`

    def admits(self, host: str) -> bool:
        """Whether a connection from there may be served."""
        if self._stopping or len(self._legs) >= self._max:
            return False
        return admitted(host, self._allow)

    def opened(self, leg: AudioSocketLeg) -> None:
        self._legs.add(leg)

    def closed(self, leg: AudioSocketLeg) -> None:
        self._legs.discard(leg)

    def _watch(self, _: float) -> None:
        now = time.monotonic()
        for leg in list(self._legs):
            leg.watch(now, handshake_s=self._handshake_s, idle_s=self._idle_s)
