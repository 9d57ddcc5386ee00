"""Tells systemd how a service is: the datagrams of sd_notify(3), without its library."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import MutableMapping

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


def reloading() -> tuple[str, ...]:
    """Read again from now on. The time is for Type=notify-reload: it tells answers to two requests apart."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=reading the agents again"


class Notify:
    """`tell("READY=1")`. Without a socket to tell it to, nothing happens.

    `watchdog_s` is how often systemd wants to hear `WATCHDOG=1` at the latest; 0 where it does not.
    """

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self.address, self.watchdog_s = address, watchdog_s

    @classmethod
    def taken(cls, environment: MutableMapping[str, str] | None = None) -> Notify:
        """From the environment, where nobody finds it after us: a child that told systemd as well would confuse it."""
        given = os.environ if environment is None else environment
        address, usec, pid = (given.pop(name, "") for name in VARIABLES)
        meant = address.startswith(("/", "@")) and usec.isdigit() and pid in ("", str(os.getpid()))
        return cls(address, int(usec) / 1e6 if meant else 0.0)

    def tell(self, *state: str) -> None:
        """Each `NAME=value`. Never raises and never blocks: a service must not die of its reports."""
        if not self.address.startswith(("/", "@")):
            return
        import socket

        name = "\0" + self.address[1:] if self.address[0] == "@" else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.setblocking(False)
            link.sendto("\n".join(state).encode(), name)
