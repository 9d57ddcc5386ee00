"""The dashboard's server: its socket, uvicorn without an access log, and where it is to be found."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn

from voicebridge.config import ConfigError, Settings, split_address, unbound
from voicebridge.control.client import Control
from voicebridge.trace.review import unknown_rules
from voicebridge.trace.store.erase import Wanted, erase
from voicebridge.trace.store.reader import open_calls
from voicebridge.web.access import Door, check_exposure, networks, own_names, password_of
from voicebridge.web.app import make_app
from voicebridge.web.live import Live
from voicebridge.web.pages import Pages

BACKLOG = 128
END_S = 2


@dataclass
class Dashboard:
    """`say` is told the link by which to log in, and each time it was used the next one."""

    settings: Settings
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        """Raises ConfigError: it may not be shown so, or the address cannot be listened on."""
        web = self.settings.config.web
        try:
            password = password_of(web)
            check_exposure(web, password)
            allow = networks(web)
            self._socket = _listening(web.listen)
        except ConfigError as error:
            key, rest = re.split(r"(?<=\w)(?=\W)", str(error).removeprefix("web."), maxsplit=1)
            raise ConfigError(f"{self.settings.where('web', key)}{rest}") from error
        host, port = split_address(web.listen)
        port = port or self._socket.getsockname()[1]
        self.port = port
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        door = Door(password, announce=self._announce)
        pages = Pages(open_calls(self.settings), self._erase, unknown_rules(self.settings.agents))
        app = make_app(pages, Live(lambda: Control.of(self.settings)), door, allow=allow, names=own_names(web))
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                lifespan="off",
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=END_S,
                date_header=False,
            )  # fmt: skip
        )
        # Addresses hold tokens and what was searched for: not even a logger that another has opened gets them.
        logging.getLogger("uvicorn.access").disabled = True
        if password:
            self.say(f"the dashboard is at {self.url}")

    def _announce(self, token: str) -> None:
        self.say(f"open {self.url}login?token={token} (once; no password is set)")

    def _erase(self, call_id: str) -> None:
        store = self.settings.config.store
        erase(store.dir, store.url, Wanted(call_id=call_id))

    def serve(self) -> None:
        """Until SIGTERM or Ctrl-C."""
        asyncio.run(self.run())

    async def run(self) -> None:
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """From the loop it runs in; requests get a moment to end."""
        self._server.should_exit = True


def _listening(address: str) -> socket.socket:
    host, port = split_address(address)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(target[:2], family=family, backlog=BACKLOG, reuse_port=False)
    except OSError as error:
        raise ConfigError(f"web.listen = {address!r}: {unbound(error, port)}") from error
