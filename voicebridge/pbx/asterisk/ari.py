"""Asterisk's REST interface (ARI): a thin client, httpx for requests and a WebSocket for events.

Source: https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/Asterisk_REST_Interface/ and what
Asterisk 22.10 was seen to answer. Parameters travel in JSON bodies: addresses end up in logs.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

from voicebridge.config import Config, ConfigError
from voicebridge.pbx.asterisk.ari_events import Channel, Event, parsed

log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.WARNING)  # below that, websockets writes the Authorization header

PASSWORD_VARIABLE = "VB_ARI_PASSWORD"
REQUEST_S = 5.0
PING_S = 5.0
RETRY_FIRST_S = 0.2
RETRY_MOST_S = 5.0


class AriError(Exception):
    """A request was not carried out; the text says why and, where it is a setting, which."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class AriUnreachable(AriError):
    """Nobody answers at the address, or not in time."""


class AriDenied(AriError):
    """Asterisk does not know the user, or not with this password."""


class AriGone(AriError):
    """404: no such channel, bridge or application (any more)."""


class AriConflict(AriError):
    """409: the channel is in no state for it, mostly: not in a Stasis application."""


@dataclass(frozen=True, slots=True)
class AriAccess:
    """`url` as in http://127.0.0.1:8088/ari."""

    url: str
    user: str
    password: str = field(repr=False)
    app: str = "voicebridge"
    rate: int = 8_000
    """Hz of the audio between Asterisk and us."""

    @property
    def authorization(self) -> str:
        pair = f"{self.user}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode("ascii")

    @property
    def events_url(self) -> str:
        base = self.url.rstrip("/").replace("http", "ws", 1)
        return f"{base}/events?app={quote(self.app, safe='')}"


class Ari:
    """Requests. Every method raises AriError. Use as an async context manager, or `close` it."""

    def __init__(self, access: AriAccess, *, timeout_s: float = REQUEST_S) -> None:
        self.access = access
        self._http = httpx.AsyncClient(
            base_url=access.url.rstrip("/"),
            headers={"Authorization": access.authorization},
            timeout=timeout_s,
            trust_env=False,  # a proxy of the environment is not for the PBX next door
        )

    async def __aenter__(self) -> Ari:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    async def request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer, None where there is none."""
        try:
            answer = await self._http.request(method, path, json=dict(body) if body is not None else None)
        except httpx.TimeoutException as error:
            raise AriUnreachable(f"ARI at {self.access.url} does not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AriUnreachable(f"ARI at {self.access.url} cannot be reached: {error or type(error).__name__}; "
                                 "is http.conf enabled there, and [ari] url right?") from error
        if answer.is_success:
            return answer.json() if answer.content else None
        raise _failure(answer.status_code, _message(answer), f"{method} {path}", self.access)

    # ---- channels

    async def channels(self) -> list[Channel]:
        return [Channel.parsed(found) for found in await self.request("GET", "/channels")]

    async def channel(self, channel: str) -> Channel:
        return Channel.parsed(await self.request("GET", _at("channels", channel)))

    async def answer(self, channel: str) -> None:
        await self.request("POST", _at("channels", channel, "answer"))

    async def hang_up(self, channel: str, reason_code: int = 16) -> None:
        """`reason_code` as in Q.850: 16 is a normal end."""
        await self.request("DELETE", _at("channels", channel) + f"?reason_code={reason_code}")

    async def go_on(self, channel: str, where: tuple[str, str, int] | None = None) -> None:
        """Leave Stasis for the dialplan: (context, extension, priority), or the step behind `Stasis()`."""
        body = {} if where is None else dict(zip(("context", "extension", "priority"), where, strict=True))
        await self.request("POST", _at("channels", channel, "continue"), body)

    async def get_variable(self, channel: str, name: str) -> str:
        """Empty where it is not set. `name` may be a function: `CHANNEL(uniqueid)`."""
        try:
            query = f"?variable={quote(name, safe='')}"
            answer = await self.request("GET", _at("channels", channel, "variable") + query)
        except AriGone as error:
            if "Provided variable" in str(error):
                return ""
            raise
        return str(answer["value"])

    async def set_variable(self, channel: str, name: str, value: str) -> None:
        """`value` is taken as it is: clean it first (protocol/variables)."""
        await self.request("POST", _at("channels", channel, "variable"), {"variable": name, "value": value})

    async def send_dtmf(self, channel: str, digits: str) -> None:
        await self.request("POST", _at("channels", channel, "dtmf"), {"dtmf": digits})

    async def external_media(
        self, channel: str, *, call: str, host: str, variables: Mapping[str, str]
    ) -> None:
        """A new channel (its id is ours) whose audio is an AudioSocket connection to `host` with `call` as its UUID.

        It can be joined to a bridge when its StasisStart has come (`call` is its argument), not before.
        """
        wanted = {
            "channelId": channel, "app": self.access.app, "external_host": host, "data": call,
            "format": "slin16" if self.access.rate == 16_000 else "slin",
            "encapsulation": "audiosocket", "transport": "tcp", "connection_type": "client", "direction": "both",
            "variables": dict(variables),
        }  # fmt: skip
        await self.request("POST", "/channels/externalMedia", wanted)

    async def originate(
        self, channel: str, endpoint: str, *, args: str, ring_s: int, caller_id: str, variables: Mapping[str, str]
    ) -> None:
        """Call `endpoint`; the channel (its id is ours) comes into our app with `args` once it is answered."""
        wanted = {
            "endpoint": endpoint, "app": self.access.app, "appArgs": args, "timeout": ring_s,
            "callerId": caller_id, "channelId": channel, "variables": dict(variables),
        }
        await self.request("POST", "/channels", wanted)

    # ---- bridges

    async def make_bridge(self, bridge: str, name: str) -> None:
        await self.request("POST", "/bridges", {"bridgeId": bridge, "type": "mixing", "name": name})

    async def join(self, bridge: str, *channels: str) -> None:
        await self.request("POST", _at("bridges", bridge, "addChannel"), {"channel": list(channels)})

    async def leave(self, bridge: str, channel: str) -> None:
        await self.request("POST", _at("bridges", bridge, "removeChannel"), {"channel": channel})

    async def destroy_bridge(self, bridge: str) -> None:
        await self.request("DELETE", _at("bridges", bridge))

    async def bridges(self) -> list[tuple[str, str]]:
        """(id, name) of each."""
        return [(str(found["id"]), str(found["name"])) for found in await self.request("GET", "/bridges")]

    async def runs_module(self, name: str) -> bool:
        try:
            found = await self.request("GET", _at("asterisk", "modules", f"{name}.so"))
        except AriError as error:
            if error.status in (404, 409):  # not there, or not loaded
                return False
            raise
        return str(found["status"]) == "Running"

    async def version(self) -> str:
        """Asterisk's."""
        return str((await self.request("GET", "/asterisk/info?only=system"))["system"]["version"])


class AriEvents:
    """The events of our application, for ever: connects again when the connection is lost.

    `on_event` is called on the event loop and must not block; `on_up` and `on_down` when the connection comes and goes.
    """

    def __init__(
        self,
        access: AriAccess,
        on_event: Callable[[Event], None],
        *,
        on_up: Callable[[], None] = lambda: None,
        on_down: Callable[[], None] = lambda: None,
    ) -> None:
        self._access = access
        self._on_event, self._on_up, self._on_down = on_event, on_up, on_down
        self._task: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="ari events")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        wait, told = RETRY_FIRST_S, ""
        while True:
            try:
                async with self._connection() as connection:
                    wait, told = RETRY_FIRST_S, ""
                    await self._listen(connection)
            except (OSError, TimeoutError, WebSocketException) as error:
                why = _why_not(error, self._access)
                if why != told:  # once, not every few seconds
                    log.warning("%s", why)
                    told = why
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MOST_S)

    def _connection(self) -> connect:
        return connect(
            self._access.events_url,
            additional_headers={"Authorization": self._access.authorization},
            open_timeout=REQUEST_S, ping_interval=PING_S, ping_timeout=PING_S, close_timeout=1.0,
            compression=None, max_size=2**20, proxy=None, logger=_wire_log,
        )

    async def _listen(self, connection: ClientConnection) -> None:
        log.info("ari connected app=%s", self._access.app)
        self.connected.set()
        self._on_up()
        try:
            async for message in connection:
                self._take(message)
        finally:
            self.connected.clear()
            self._on_down()
        log.warning("ARI at %s has closed its events", self._access.url)

    def _take(self, message: str | bytes) -> None:
        try:
            event = parsed(json.loads(message))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("ari event not understood: %s", type(error).__name__)
            return
        if event is not None:
            self._on_event(event)


def access_of(config: Config) -> AriAccess | None:
    """None where ARI is not configured. Raises ConfigError where its password cannot be read."""
    if config.ari is None:
        return None
    login = config.ari
    try:
        return AriAccess(login.url, login.user, login.secret(PASSWORD_VARIABLE), login.app, login.rate)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"ari.password_file = {login.password_file}: cannot be read: {error}") from error


def own_host(url: str) -> str:
    """The address of ours that Asterisk would see; loopback where that cannot be told. May ask the name server."""
    parts = urlsplit(url)
    try:
        (family, _, _, _, address), *_ = socket.getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect(address)  # sends nothing
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"


def _at(*parts: str) -> str:
    return "".join("/" + quote(part, safe="") for part in parts)


def _message(answer: httpx.Response) -> str:
    try:
        found = answer.json()
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    return str(found.get("message") or found.get("error") or "")


def _failure(status: int, message: str, what: str, access: AriAccess) -> AriError:
    text = f"ARI {what}: {status} {message}".strip()
    match status:
        case 401 | 403:
            return AriDenied(f"ARI at {access.url} refuses user {access.user!r}: check [ari] user and password against "
                             "the user's section in ari.conf (read_only = no)", status)
        case 404:
            return AriGone(text, status)
        case 409:
            return AriConflict(text, status)
        case _:
            return AriError(text, status)


def _why_not(error: Exception, access: AriAccess) -> str:
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        if status == 404:
            return f"ARI events at {access.url}: 404; load res_ari_events and res_http_websocket, check [ari] url"
        return str(_failure(status, "", "events", access))
    if isinstance(error, InvalidHandshake):
        return f"ARI events at {access.url}: what answers is no WebSocket ({type(error).__name__}); check [ari] url"
    if isinstance(error, OSError):
        return f"ARI at {access.url} cannot be reached: {error.strerror or type(error).__name__}"
    return f"ARI at {access.url} lost: {error or type(error).__name__}"
