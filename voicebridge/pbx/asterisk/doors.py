"""The doors by which Asterisk comes in: listening sockets that we bind, or that somebody holds open for us.

A daemon that was given its sockets (systemd's socket activation) has two doors a protocol:

    shared   the given one. It stays open while no daemon runs: who comes then waits in its queue, and the next daemon
             answers. A daemon that ends shuts it for itself only.
    own      bound by this daemon, on the same address at another port. What belongs to a call of its own comes here
             (VB_MEDIA and VB_NODE name it), so that a draining daemon takes its calls to their end while new callers
             wait for the next one.

Without given sockets there is one door, and it is our own.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

BACKLOG = 1024
EVERYWHERE = "::"


def bound(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to an address, one for each address that a name has. `::` is every address of both families.

    Raises OSError.
    """
    if host == EVERYWHERE:
        return [socket.create_server((host, port), family=socket.AF_INET6, backlog=BACKLOG, dualstack_ipv6=True)]
    made: list[socket.socket] = []
    try:
        for family, _, _, _, address in _addresses(host, port):
            wanted = (str(address[0]), made[0].getsockname()[1] if made else port)
            made.append(socket.create_server(wanted, family=family, backlog=BACKLOG))
    except OSError:
        for each in made:
            each.close()
        raise
    return made


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, int, int, str, tuple[object, ...]]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [(family, kind, number, name, address) for family, kind, number, name, address in found]


def beside(given: Sequence[socket.socket], ports: range | None) -> list[socket.socket]:
    """An own door on the address of the given one: at the first free port of `ports`, else at any.

    Raises OSError where all of them are taken.
    """
    host = str(given[0].getsockname()[0])
    for port in ports or (0,):
        try:
            return bound(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"no port of listen.own_ports is free on {host}")


def address_of(door: Sequence[socket.socket]) -> tuple[str, int]:
    """Host and port that a door listens on."""
    host, port = door[0].getsockname()[:2]
    return str(host), int(port)
