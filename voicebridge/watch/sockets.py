"""Listening sockets that outlive a daemon: taken from systemd (sd_listen_fds(3)) and passed on to each daemon.

Who comes while no daemon listens waits in the socket's queue. What the parent has taken it passes on in
VOICEBRIDGE_SOCKETS ("audiosocket=3,fastagi=4"), for a process id, as systemd writes it, is not known before the start.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

VARIABLE = "VOICEBRIDGE_SOCKETS"
SYSTEMD = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
FIRST = 3
"""The number of the first descriptor that systemd passes (SD_LISTEN_FDS_START)."""
KNOWN = ("audiosocket", "fastagi")
AT_ONCE = 64
"""So many callers are turned away in one go, so that whoever does it keeps his own time."""


class StrangeSocket(Exception):
    """A socket by a name that we do not know, or no listening one; the text says what is wrong and how to put it
    right."""


@dataclass(frozen=True, slots=True)
class Sockets:
    """`fds`: (what is spoken, descriptor)."""

    fds: tuple[tuple[str, int], ...] = ()

    @classmethod
    def taken(cls, environment: MutableMapping[str, str] | None = None) -> Sockets:
        """Those that were passed to this process, where no child finds them after us. Raises StrangeSocket."""
        given = os.environ if environment is None else environment
        ours = given.pop(VARIABLE, "")
        count, pid, names = (given.pop(name, "") for name in SYSTEMD)
        if ours:
            pairs = [part.partition("=") for part in ours.split(",")]
            return cls(tuple((name, int(fd)) for name, _, fd in pairs))._closed_on_exec()
        if not count.isdigit() or pid != str(os.getpid()):
            return cls()
        known = names.split(":") if names else []
        fds = range(FIRST, FIRST + int(count))
        return cls(tuple(zip((known + ["unknown"] * len(fds))[: len(fds)], fds, strict=True)))._checked()

    def _checked(self) -> Sockets:
        for name, fd in self.fds:
            if name not in KNOWN:
                raise StrangeSocket(
                    f"a socket was passed to us by the name {name!r}: write FileDescriptorName= {' or '.join(KNOWN)} "
                    "in its .socket unit (systemd-socket-activate: --fdname=audiosocket:fastagi)"
                )
            if not _is_socket(fd):
                raise StrangeSocket(f"{name}: descriptor {fd} is no socket, whatever LISTEN_FDS says of it")
        return self._closed_on_exec()

    def _closed_on_exec(self) -> Sockets:
        for _, fd in self.fds:
            os.set_inheritable(fd, False)
        return self

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(fd for _, fd in self.fds)

    @property
    def environment(self) -> Mapping[str, str]:
        """What a child is told of them; their numbers must be passed to it, too."""
        return {VARIABLE: ",".join(f"{name}={fd}" for name, fd in self.fds)} if self.fds else {}

    def opened(self) -> dict[str, list[socket]]:
        """As socket objects, by what is spoken on them. They own the descriptors from then on. Raises
        StrangeSocket."""
        import socket

        made: dict[str, list[socket.socket]] = {}
        for name, fd in self.fds:
            opened = socket.socket(fileno=fd)
            if opened.type != socket.SOCK_STREAM or not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise StrangeSocket(f"{name}: no listening TCP socket was passed to us: ListenStream= and Accept=no")
            made.setdefault(name, []).append(opened)
        return made

    def turn_away(self) -> int:
        """Close on whoever waits: his dialplan goes on with its fallback. How many there were.

        `AGI()` and `AudioSocket()` have no time-out of their own: without us they would wait for ever.
        """
        import socket

        turned = 0
        for _, fd in self.fds:
            with socket.socket(fileno=os.dup(fd)) as door:
                door.setblocking(False)
                while turned < AT_ONCE:
                    try:
                        visitor, _ = door.accept()
                    except OSError:  # nobody, or nobody any more
                        break
                    visitor.close()
                    turned += 1
        return turned


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False
