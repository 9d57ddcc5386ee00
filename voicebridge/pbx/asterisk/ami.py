"""Asterisk's manager interface (AMI), by panoramisk: a redirect, a CLI command, and whether the login may do that.

For diagnostics and for administrators; calls need none of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from panoramisk import Manager

from voicebridge.config import Config, ConfigError, split_address

log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.CRITICAL)  # what it would say is raised as AmiError

PASSWORD_VARIABLE = "VB_AMI_PASSWORD"
CONNECT_S = 3.0
ANSWER_S = 5.0
ANSWERED = "Command output follows"
NEEDED = {"Redirect": "call", "Command": "command", "CoreStatus": "system"}
"""Actions that we use, and the class of `write =` in manager.conf that allows them."""


class AmiError(Exception):
    """The text says why, and which setting is to be looked at."""


class AmiDenied(AmiError):
    """Not this user, or not with this password."""


@dataclass(frozen=True, slots=True)
class AmiAccess:
    host: str
    port: int
    user: str
    password: str = field(repr=False)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"


def access_of(config: Config) -> AmiAccess | None:
    """None where AMI is not configured. Raises ConfigError where its password cannot be read."""
    login = config.ami
    if login is None:
        return None
    try:
        return AmiAccess(*split_address(login.address), login.user, login.secret(PASSWORD_VARIABLE))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"ami.password_file = {login.password_file}: cannot be read: {error}") from error


class _OneConnection(Manager):  # type: ignore[misc]  # panoramisk has no types
    """Does not connect again by itself: whoever asks wants to know that it is down."""

    def connection_made(self, connecting: asyncio.Future[Any]) -> None:
        if not connecting.cancelled() and connecting.exception() is None:
            super().connection_made(connecting)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connected = False
        if self.pinger is not None:
            self.pinger.cancel()


class Ami:
    """A connection that is logged in; see `connected`. Every method raises AmiError."""

    def __init__(self, manager: Manager, access: AmiAccess) -> None:
        self._manager, self._access = manager, access

    async def redirect(self, channel: str, context: str, extension: str, priority: int = 1) -> None:
        """Send a channel (by name) to a place of the dialplan."""
        where = {"Context": context, "Exten": extension, "Priority": str(priority)}
        await self._act({"Action": "Redirect", "Channel": channel, **where})

    async def command(self, text: str) -> list[str]:
        """The lines that the CLI answers; also where it says no, which Asterisk calls an error."""
        answer = await self._act({"Action": "Command", "Command": text}, ANSWERED)
        output = answer.get("Output", answer.get("output", ""))
        return [str(line) for line in output] if isinstance(output, list) else str(output).splitlines()

    async def allowed(self) -> frozenset[str]:
        """The actions that this login may use."""
        answer = await self._act({"Action": "ListCommands"})
        return frozenset(str(name) for name in dict(answer))

    async def _act(self, action: Mapping[str, str], answered: str = "") -> Any:
        """`answered`: the message of an error that is none."""
        if any(not value.isprintable() for value in action.values()):
            raise AmiError(f"AMI {action['Action']}: a value holds control characters")
        sent = self._manager.send_action(dict(action))
        try:
            answer = await asyncio.wait_for(sent, ANSWER_S)
        except TimeoutError:
            raise AmiError(f"AMI at {self._access.address} does not answer {action['Action']}") from None
        what = str(answer.get("Message", answer.get("message", "refused")))
        if not answer.success and what != answered:
            cure = ""
            if "ermission" in what:
                cure = f"; {self._access.user!r} needs `write = {NEEDED.get(action['Action'], 'call')}` in manager.conf"
            raise AmiError(f"AMI {action['Action']}: {what}{cure}")
        return answer


@asynccontextmanager
async def connected(access: AmiAccess) -> AsyncIterator[Ami]:
    """Connected and logged in. Raises AmiError; AmiDenied where only the login is wrong."""
    manager = _OneConnection(
        host=access.host, port=access.port, username=access.user, secret=access.password, events="off", log=_wire_log,
        loop=asyncio.get_running_loop(), ping_delay=3600,
    )  # fmt: skip
    try:
        try:
            async with asyncio.timeout(CONNECT_S):
                await manager.connect()
                await asyncio.sleep(0)  # for its own callback, which sends the login
                login = await manager.authenticated_future
        except TimeoutError:
            raise AmiError(f"AMI at {access.address} does not answer in time") from None
        except OSError as error:
            raise AmiError(
                f"AMI at {access.address} cannot be reached ({error.strerror or error}): is it enabled = yes in "
                "manager.conf, and [ami] address right?"
            ) from error
        if not login.success:
            raise AmiDenied(
                f"AMI at {access.address} refuses user {access.user!r}: check [ami] user and password against "
                "manager.conf, and its permit lines"
            )
        yield Ami(manager, access)
    finally:
        manager.close()


async def missing(access: AmiAccess) -> list[str]:
    """What the login lacks of what we use, in words; empty where all is well. Raises AmiError."""
    async with connected(access) as ami:
        allowed = await ami.allowed()
    lacking = sorted({group for action, group in NEEDED.items() if action not in allowed})
    return [f"{access.user!r} needs `write = {','.join(lacking)}` in manager.conf"] if lacking else []
