"""What makes a TCP connection fail soon when the other machine is gone without a word: cable, power, a firewall.

The kernel would go on for a quarter of an hour. A machine that computes for long acknowledges all the same.
"""

from __future__ import annotations

import socket

LOST_S = 2
"""A machine that has acknowledged nothing for so long is gone."""
_BY_NAME = {"TCP_USER_TIMEOUT": LOST_S * 1000, "TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_KEEPCNT": LOST_S}
OPTIONS: list[tuple[int, int, int]] = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in _BY_NAME.items()
        if hasattr(socket, name)  # Linux has them all
    ),
]
"""For setsockopt: level, option, value."""


def notice_loss(connection: socket.socket) -> None:
    for level, option, value in OPTIONS:
        connection.setsockopt(level, option, value)
