"""Asterisk's FastAGI, server side: the scripts `attach` (before a call's audio) and `outcome` (after it).

The dialplan (dialplan/asterisk/voicebridge.conf) asks, this answers by setting channel variables. A script that fails
sets nothing: the dialplan has set VB_STATUS and VB_RESULT to FALLBACK before it asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from voicebridge.pbx.asterisk.audiosocket import Network, admitted
from voicebridge.pbx.asterisk.doors import address_of, beside, bound
from voicebridge.pbx.asterisk.variables import end_variables, read_request, ticket_variables
from voicebridge.pbx.attach import FrontDesk, Refused
from voicebridge.protocol import agi

log = logging.getLogger(__name__)

HELLO_S = 3.0
"""So long a connection may take to say what it wants."""
SCRIPT_S = 5.0
"""So long a script may take in all: a caller waits, in silence."""
CLOSE_S = 1.0
MAX_CONNECTIONS = 256
READ_BYTES = 4_096
WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - not bound here


class Gone(Exception):
    """The peer closed the connection, or did not answer a command as it must."""


class Session:
    """One connection whose environment has come: asks for variables and sets them, one command at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._wire = agi.AgiConnection()
        self.environment = agi.Environment({})
        self.hung_up = False

    @property
    def own_host(self) -> str:
        """The address of ours by which the peer came."""
        return str(self._writer.get_extra_info("sockname")[0])

    async def open(self) -> None:
        """Raises Gone and agi.RemoteProtocolError."""
        event = await self._event()
        if not isinstance(event, agi.Environment):
            raise Gone("no environment")
        self.environment = event

    async def get(self, name: str) -> str:
        """A channel variable; "" where there is none."""
        reply = await self._ask(agi.get_variable(name))
        return reply.value or ""

    async def set(self, name: str, value: str) -> None:
        """A channel variable; `value` must be clean (protocol.variables), or ours."""
        reply = await self._ask(agi.set_variable(name, value))
        if not reply.ok:
            raise Gone(f"SET VARIABLE {name}: {reply.code}")

    async def _ask(self, command: bytes) -> agi.Reply:
        self._writer.write(self._wire.command(command))
        await self._writer.drain()
        while not isinstance(event := await self._event(), agi.Reply):
            self.hung_up = True
        return event

    async def _event(self) -> agi.Event:
        while (event := self._wire.next_event()) is agi.NEED_DATA:
            data = await self._reader.read(READ_BYTES)
            if not data:
                raise Gone("closed by the peer")
            self._wire.feed(data)
        return event


Script = Callable[[Session], Awaitable[None]]


class FastAgiServer:
    """Takes FastAGI connections from allowed addresses and runs one script on each.

    `given`: sockets that listen already; `own_ports`: where the own door beside them may be (see doors.py).
    """

    def __init__(
        self,
        host: str,
        port: int,
        scripts: Mapping[str, Script],
        *,
        allow: Iterable[Network],
        hello_s: float = HELLO_S,
        script_s: float = SCRIPT_S,
        max_connections: int = MAX_CONNECTIONS,
        given: Sequence[socket.socket] = (),
        own_ports: range | None = None,
    ) -> None:
        self._given, self._own_ports = given, own_ports
        self._host, self._wanted_port = host, port
        self._scripts = dict(scripts)
        self._allow = tuple(allow)
        self._hello_s, self._script_s = hello_s, script_s
        self._max = max_connections
        self._shared: list[asyncio.Server] = []
        self._own: list[asyncio.Server] = []
        self._address = ("", 0)
        self._running: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of our own door, once it is open."""
        return self._address

    @property
    def port(self) -> int:
        return self._address[1]

    def __len__(self) -> int:
        return len(self._running)

    async def start(self) -> None:
        """Raises OSError where the address cannot be had."""
        own = beside(self._given, self._own_ports) if self._given else bound(self._host, self._wanted_port)
        self._address = address_of(own)
        self._own = [await self._open(each) for each in own]
        self._shared = [await self._open(each) for each in self._given]

    async def _open(self, door: socket.socket) -> asyncio.Server:
        return await asyncio.start_server(self._connected, sock=door, limit=agi.MAX_LINE, backlog=256)

    def shut(self) -> bool:
        """Who comes to the given sockets from now on waits there for the next daemon. Whether there were any."""
        shared, self._shared = self._shared, []
        for server in shared:
            server.close()
        return bool(shared)

    async def stop(self) -> None:
        """Scripts that run may come to their end within a second."""
        self.shut()
        for server in self._own:
            server.close()
        running = list(self._running)
        if running:
            _, late = await asyncio.wait(running, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")
        host = name[0] if name else ""
        if not admitted(host, self._allow) or len(self._running) >= self._max:
            log.warning("agi peer=%s refused: not in the allow-list, or too many connections", host)
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer, host))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        session = Session(reader, writer)
        try:
            async with asyncio.timeout(self._hello_s):
                await session.open()
            script = self._scripts.get(session.environment.script)
            if script is None:
                log.warning("agi peer=%s refused: it asked for none of %s", peer, ", ".join(self._scripts))
            else:
                async with asyncio.timeout(self._script_s):
                    await script(session)
        except TimeoutError:
            log.warning("agi peer=%s closed: too slow", peer)
        except (Gone, agi.ProtocolError, OSError) as error:
            log.warning("agi peer=%s closed: %s", peer, error)
        except Exception:  # a script's own fault must not be the end of the listener; the dialplan has its fallback
            log.exception("agi peer=%s: a script failed", peer)
        finally:
            await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    """Close; a peer that does not read what we owe it is aborted."""
    writer.close()
    try:
        async with asyncio.timeout(CLOSE_S):
            await writer.wait_closed()
    except (TimeoutError, OSError):
        writer.transport.abort()


class Addresses:
    """What is told to the PBX: where to bring the audio (VB_MEDIA) and where to ask for the outcome (VB_NODE).

    `media` and `agi` are what is listened on; `advertise` is the host by which PBXs reach us, "" where that is the
    same, or for a wildcard the address by which this PBX came (`own_host`).
    """

    def __init__(self, media: tuple[str, int], agi: tuple[str, int], *, advertise: str) -> None:
        self._media, self._agi, self._advertise = media, agi, advertise

    def media(self, own_host: str) -> str:
        return self._told(self._media, own_host)

    def node(self, own_host: str) -> str:
        return self._told(self._agi, own_host)

    def _told(self, listening: tuple[str, int], own_host: str) -> str:
        host, port = listening
        return _joined(self._advertise or (own_host if host in WILDCARDS else host), port)


def _joined(host: str, port: int) -> str:
    host = host.partition("%")[0].removeprefix("::ffff:")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


HANGUP: Final = "hangup"
"""Argument of `attach`: a hangup handler is in place. Of `outcome`: it is the handler that asks, then who hung up."""


def scripts(
    desk: FrontDesk,
    addresses: Callable[[], Addresses],
    hung_up: Callable[[UUID, bool], None] = lambda call_id, by_caller: None,
) -> dict[str, Script]:
    """`attach` and `outcome`, the way the shipped dialplan asks for them.

    `hung_up` is told of a channel that has ended in the middle of a call, and whether its caller did that (the channel
    has a hangup source then; Asterisk 22 shutting down leaves that empty).
    """

    async def attach(session: Session) -> None:
        env = session.environment
        request = dataclasses.replace(
            await read_request(session.get),
            caller=env.get("callerid"), caller_name=env.get("calleridname"), dialled=env.get("dnid"),
            channel=env.get("channel"), unique_id=env.get("uniqueid"),
            tells_hangup=HANGUP in env.arguments,
        )  # fmt: skip
        if session.hung_up:
            log.info("attach channel=%s: hung up meanwhile", request.channel)
            return
        answer = desk.attach(request)
        if isinstance(answer, Refused):
            log.warning("attach channel=%s refused: %s", request.channel, answer.reason)
            await session.set("VB_STATUS", answer.reason)
            return
        log.info("call=%s channel=%s agent=%s expected", answer.call_id, request.channel, answer.agent)
        if request.fallback and not answer.fallback.name:
            log.warning("call=%s VB_FALLBACK names none of the configured targets", answer.call_id)
        where, own = addresses(), session.own_host
        await _set_all(session, ticket_variables(answer, media=where.media(own), node=where.node(own)))

    async def outcome(session: Session) -> None:
        try:
            call_id = UUID(await session.get("VB_CALL"))
        except ValueError:
            raise Gone("outcome without a UUID in VB_CALL") from None
        if (told := session.environment.arguments)[:1] == (HANGUP,):
            hung_up(call_id, any(told[1:]))
        end = await desk.outcome(call_id)
        log.info("call=%s outcome told: %s %s", call_id, end.result, end.target.name or "-")
        await _set_all(session, end_variables(call_id, end))

    async def ping(session: Session) -> None:
        """Says who is here (`voicebridge dialplan check`)."""
        await session.set("VB_PONG", "voicebridge")

    return {"attach": attach, "outcome": outcome, "ping": ping}


async def _set_all(session: Session, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        await session.set(name, value)
