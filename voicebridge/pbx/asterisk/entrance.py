"""Where Asterisk comes in: AudioSocket and FastAGI together, opened, shut for new callers, and closed."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

from voicebridge.audio.clock import Ticker
from voicebridge.config import ConfigError, Listen, split_address, unbound
from voicebridge.pbx.asterisk.audiosocket import Accept, AudioSocketServer
from voicebridge.pbx.asterisk.doors import address_of
from voicebridge.pbx.asterisk.fastagi import Addresses, FastAgiServer, scripts
from voicebridge.pbx.attach import FrontDesk

log = logging.getLogger(__name__)

Given = Mapping[str, Sequence[socket.socket]]
"""Sockets that somebody holds open for us, by what is spoken on them: "audiosocket", "fastagi"."""
SETTLED_S = 3.0
"""Who was let in at the shared doors says what he wants within this."""
OUTCOME_S = 0.5
"""A PBX whose call has ended asks for its outcome within this (a few milliseconds)."""


class Entrance:
    """`desk` answers FastAGI, `accept` AudioSocket legs. Where sockets are `given`, they count for the addresses."""

    def __init__(
        self,
        listen: Listen,
        desk: FrontDesk,
        accept: Accept,
        hung_up: Callable[[UUID, bool], None],
        *,
        ticker: Ticker,
        given: Given | None = None,
    ) -> None:
        given = given or {}
        self._listen = listen
        host, port = split_address(listen.audiosocket)
        own_ports = range(listen.own_ports[0], listen.own_ports[1] + 1) if listen.own_ports else None
        self._media_given, self._agi_given = given.get("audiosocket", ()), given.get("fastagi", ())
        self._media = AudioSocketServer(
            host, port, accept, allow=listen.allow, handshake_s=listen.handshake_s, max_calls=listen.max_calls + 8,
            ticker=ticker, given=self._media_given, own_ports=own_ports,
        )  # fmt: skip
        self._agi: FastAgiServer | None = None
        self._agi_open = False
        if (address := listen.fastagi_address) is not None:
            answers = scripts(desk, self.addresses, hung_up)
            self._agi = FastAgiServer(
                *address, answers, allow=listen.allow, given=self._agi_given, own_ports=own_ports
            )

    @property
    def port(self) -> int:
        """Of AudioSocket: our own door's."""
        return self._media.port

    @property
    def agi_port(self) -> int | None:
        """Of FastAGI; None where it is off."""
        return self._agi.port if self._agi is not None and self._agi_open else None

    @property
    def told(self) -> list[str]:
        """Where callers come in, for people: "AudioSocket on 127.0.0.1:9092"."""
        said = [f"AudioSocket on {_joined(*self._public(self._media_given, self._media_address))}"]
        if self._agi_open:
            said.append(f"FastAGI on {_joined(*self._public(self._agi_given, self._agi_address))}")
        return said

    @staticmethod
    def _public(given: Sequence[socket.socket], own: tuple[str, int]) -> tuple[str, int]:
        return address_of(given) if given else own

    @property
    def _media_address(self) -> tuple[str, int]:
        """As configured, so that a name stays one; as given, where it was."""
        host = self._media.address[0] if self._media_given else split_address(self._listen.audiosocket)[0]
        return host, self._media.port

    @property
    def _agi_address(self) -> tuple[str, int]:
        host = (self._listen.fastagi_address or ("", 0))[0]
        if self._agi is not None and self._agi_given:
            host = self._agi.address[0]
        return host, self.agi_port or 0

    def addresses(self) -> Addresses:
        """What PBXs are told of where a call of ours belongs."""
        return Addresses(self._media_address, self._agi_address, advertise=self._listen.advertise)

    async def open(self) -> None:
        """Raises ConfigError."""
        listen = self._listen
        try:
            await self._media.start()
        except OSError as error:
            port = split_address(listen.audiosocket)[1]
            raise ConfigError(f"listen.audiosocket = {listen.audiosocket}: {unbound(error, port)}") from error
        await self._open_agi()
        log.info("listening %s", ", ".join(self.told))

    async def _open_agi(self) -> None:
        if self._agi is None:
            return
        try:
            await self._agi.start()
        except OSError as error:
            host, port = self._listen.fastagi_address or ("", 0)
            where = f"listen.fastagi = {host}:{port}"
            if self._listen.fastagi is not None:
                raise ConfigError(f"{where}: {unbound(error, port)}") from error
            log.warning("%s: %s; off: the dialplan gets no agent from this daemon (another address?)", where, error)
        else:
            self._agi_open = True

    async def shut(self) -> None:
        """New callers wait for the next daemon from now on; who is in already has been answered when this returns."""
        shared = [self._media.shut(), self._agi.shut() if self._agi is not None else False]
        until = time.monotonic() + SETTLED_S
        while any(shared) and time.monotonic() < until and self._unsettled():  # noqa: ASYNC110 - a moment, with a limit
            await asyncio.sleep(0.02)

    def _unsettled(self) -> bool:
        return bool(self._media.unknown or (self._agi is not None and len(self._agi)))

    async def close(self, *, asked: bool) -> None:
        """FastAGI first and a moment later, where calls ended just now and their PBX will ask (`asked`) how."""
        if self._agi is not None:
            if asked and self._agi_open:
                await asyncio.sleep(OUTCOME_S)
            await self._agi.stop()

    async def hang_up(self) -> None:
        """Close every connection of AudioSocket."""
        await self._media.stop()


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
