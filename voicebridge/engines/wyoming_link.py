"""Our side of the Wyoming protocol: connections to a server, one request at a time on each.

A request that is cancelled or fails costs its connection: whatever the server still sends on it cannot be
taken for the answer to the next request, whether or not the server echoes our ids, and our own workers
see the close and don't compute what nobody waits for.
"""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

from wyoming.event import Event, async_read_event, async_write_event

from voicebridge.engines.base import EngineError, EngineKind
from voicebridge.engines.liveness import notice_loss

log = logging.getLogger(__name__)

RETRY_S = (0.0, 0.03, 0.06, 0.12, 0.25)
CONNECT_TIMEOUT_S = 2.0
CONNECT_LEAST_S = 0.5
"""On a local network a connection takes a millisecond; what takes longer has lost its first packet, and the next try's
is sooner than the kernel's second (1 s)."""
DESCRIBE_TIMEOUT_S = 2.0
MAX_EVENTS = 10_000
MAX_TEXT = 20_000
"""Characters of a transcript: nobody says more in an utterance, and what is understood of it is found out beside the
media clock (a megabyte took 4 s)."""
ALSO_ENDS = {"transcript": ("transcript-start", "transcript-stop"), "audio-stop": ("audio-start", "synthesize-stopped")}
"""What ends the answer of a server that streams, too, once that answer has begun with the first of the two."""
SPECULATIVE = 1e12  # JSON has no infinity


@dataclass(frozen=True, slots=True)
class Address:
    """Where a Wyoming server listens: `unix:///run/x.sock` or `tcp://host:port`."""

    uri: str

    def __post_init__(self) -> None:
        parts = urlparse(self.uri)
        if not (
            (parts.scheme == "unix" and parts.path)
            or (parts.scheme == "tcp" and parts.hostname and parts.port)
        ):
            raise ValueError(f"{self.uri!r} is neither unix:///PATH nor tcp://HOST:PORT")

    @property
    def shares_our_clock(self) -> bool:
        """time.monotonic() means the same to the server: it is on this machine."""
        return self.uri.startswith("unix:")

    async def connect(self, within_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Raises OSError, TimeoutError."""
        parts = urlparse(self.uri)
        async with asyncio.timeout(within_s):
            if parts.scheme == "unix":
                return await asyncio.open_unix_connection(parts.path)
            made = await _connected(parts.hostname or "", parts.port or 0, within_s)
        notice_loss(made[1].get_extra_info("socket"))
        return made


async def _connected(host: str, port: int, within_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """To the first of the host's addresses that answers; each has its share of the time, as IPv6 may lead nowhere."""
    known = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    hosts = list(dict.fromkeys(str(address[0]) for *_, address in known))
    if len(hosts) == 1:
        return await asyncio.open_connection(host, port)
    trouble: OSError = ConnectionError("no address answers")
    for one in hosts:
        try:
            async with asyncio.timeout(within_s / len(hosts)):
                return await asyncio.open_connection(one, port)
        except OSError as error:  # TimeoutError is one
            trouble = error
    raise trouble


class LinkLost(Exception):
    """The connection failed during a request; the same request may succeed on a new one.

    `cause` is one of EngineError's.
    """

    def __init__(self, cause: str, detail: str = "") -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail


class Refused(Exception):
    """The server answered with an error event: another try would get the same."""


class Link:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: Address, within_s: float = CONNECT_TIMEOUT_S) -> Link:
        try:
            return cls(*await address.connect(within_s))
        except socket.gaierror as error:
            name = urlparse(address.uri).hostname
            raise LinkLost("unreachable", f"no address is known for {name}: {error.strerror}") from error
        except TimeoutError as error:
            raise LinkLost("unreachable", f"no connection within {within_s:.1f} s") from error
        except OSError as error:
            raise LinkLost("unreachable", type(error).__name__) from error

    @property
    def usable(self) -> bool:
        return not (self._reader.at_eof() or self._writer.is_closing())

    def close(self) -> None:
        self._writer.close()

    async def request(self, events: Sequence[Event], last: str) -> list[Event]:
        """Send `events`; what comes back up to and with the event of type `last`. LinkLost, Refused.

        A `transcript` that a streaming server does not send is put together from its pieces.
        """
        begins, stops = ALSO_ENDS.get(last, ("", ""))
        try:
            for event in events:
                await async_write_event(event, self._writer)
            answer: list[Event] = []
            while len(answer) < MAX_EVENTS:
                event_or_none = await async_read_event(self._reader)
                if event_or_none is None:
                    raise LinkLost("crashed" if self._reader.at_eof() else "garbage")
                if event_or_none.type == "error":
                    raise Refused(str(event_or_none.data.get("text", ""))[:200])
                answer.append(event_or_none)
                if event_or_none.type == last:
                    return answer
                if event_or_none.type == stops and any(event.type == begins for event in answer):
                    return [*answer, _whole(last, answer)]
        except (OSError, EOFError) as error:
            raise LinkLost("crashed", type(error).__name__) from error
        except (KeyError, TypeError, AttributeError) as error:  # JSON, but no Wyoming event
            raise LinkLost("garbage", type(error).__name__) from error
        raise LinkLost("garbage", "no end")


def _whole(last: str, answer: Sequence[Event]) -> Event:
    pieces = [event.data["text"] for event in answer if event.type == "transcript-chunk"]
    return Event(last, {"text": "".join(pieces)} if last == "transcript" else {})


class Links:
    """A pool of connections to one server that keeps `idle` open ones."""

    def __init__(self, kind: EngineKind, name: str, address: Address, *, idle: int = 1) -> None:
        self.address = address
        self._kind = kind
        self._name = name
        self._max_idle = idle
        self._idle: list[Link] = []

    async def ask(
        self, events: Sequence[Event], last: str, *, give_up: float, deadline: float = math.inf
    ) -> list[Event]:
        """The answer to a request that may be sent again; tries until `give_up`. EngineError.

        The sooner it is needed (`deadline`), the sooner another connection is tried.
        """
        lost = LinkLost("timeout", "no answer")
        tries = 0
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + give_up - time.monotonic()):
                while True:
                    try:
                        return await self._once(events, last, deadline - time.monotonic())
                    except LinkLost as error:
                        lost = error
                    await asyncio.sleep(RETRY_S[min(tries, len(RETRY_S) - 1)])
                    tries += 1
        except TimeoutError as error:
            raise EngineError(
                self._kind, self._name, lost.cause, f"{lost.detail} after {tries} tries"
            ) from error
        except Refused as error:
            raise EngineError(self._kind, self._name, "refused", str(error)) from error

    async def _once(self, events: Sequence[Event], last: str, left_s: float) -> list[Event]:
        connect_s = min(CONNECT_TIMEOUT_S, max(CONNECT_LEAST_S, left_s))
        link = self._take() or await Link.open(self.address, connect_s)
        try:
            answer = await link.request(events, last)
        except BaseException:
            link.close()
            raise
        if len(self._idle) < self._max_idle:
            self._idle.append(link)
        else:
            link.close()
        return answer

    def _take(self) -> Link | None:
        while self._idle:
            link = self._idle.pop()
            if link.usable:
                return link
            link.close()
        return None

    def close(self) -> None:
        for link in self._idle:
            link.close()
        self._idle.clear()


async def describe(address: Address, within_s: float = DESCRIBE_TIMEOUT_S) -> dict[str, Any] | None:
    """What the server says it offers (Wyoming's `info`); None when it does not answer."""
    try:
        async with asyncio.timeout(within_s):
            link = await Link.open(address)
            try:
                return dict((await link.request([Event("describe")], "info"))[-1].data)
            finally:
                link.close()
    except (LinkLost, Refused, TimeoutError):
        return None


async def reachable(address: Address) -> bool:
    """Somebody takes connections there, whether or not he answers."""
    try:
        (await Link.open(address)).close()
    except LinkLost:
        return False
    return True


def request_context(address: Address, identifier: str, deadline: float) -> dict[str, Any]:
    """The `context` of a request: see worker.py."""
    context: dict[str, Any] = {"id": identifier}
    if address.shares_our_clock:
        context["deadline"] = min(deadline, SPECULATIVE)
    return context
