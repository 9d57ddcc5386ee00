"""journald's own protocol: fields beside the message, so that `journalctl VB_CALL=<id>` shows one call.

A datagram of `NAME=value` lines to /run/systemd/journal/socket; a value with a line break has its length before it;
what is too large for a datagram goes as a sealed memory file (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
python-systemd does the same and needs a compiler and headers.
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Mapping
from typing import Final

SOCKET: Final = "/run/systemd/journal/socket"
LIMIT: Final = 1 << 20
"""Bytes of a value that are kept: a traceback is shorter."""


def encoded(fields: Mapping[str, str]) -> bytes:
    """One entry. Names are upper case letters, digits and underscores."""
    made = bytearray()
    for name, value in fields.items():
        data = value.encode("utf-8", "replace")[:LIMIT]
        if b"\n" in data:
            made += name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
        else:
            made += name.encode() + b"=" + data + b"\n"
    return bytes(made)


class Journal:
    """`send` never blocks and never raises: who logs has callers to serve. `lost` counts what journald did not take."""

    def __init__(self, path: str = SOCKET) -> None:
        """Raises OSError where no journald listens."""
        self._path = path
        self._link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._link.setblocking(False)
        self.lost = 0
        if not os.path.exists(path):  # noqa: PTH110 - pathlib is slow to import in a process that is to be small
            self._link.close()
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def send(self, fields: Mapping[str, str]) -> None:
        entry = encoded(fields)
        try:
            self._link.sendto(entry, self._path)
        except OSError as error:
            if error.errno in (errno.EMSGSIZE, errno.ENOBUFS):
                self._send_large(entry)
            else:
                self.lost += 1

    def _send_large(self, entry: bytes) -> None:
        try:
            file = os.memfd_create("journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                left = memoryview(entry)
                while left:
                    left = left[os.write(file, left) :]
                seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
                passed = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))]
                self._link.sendmsg([], passed, 0, self._path)
            finally:
                os.close(file)
        except OSError:
            self.lost += 1

    def close(self) -> None:
        self._link.close()
