"""FastAGI, sans I/O: the side of the server that Asterisk's `AGI(agi://host:port/script)` connects to.

Asterisk begins with its environment: lines `agi_name: value`, closed by an empty one. Then each command of ours (one
line) gets one reply: `200 result=1 (value)`, `510 Invalid or unknown command`, `511 Command Not Permitted ...`, or
`520-Invalid command syntax` with usage lines up to `520 End of proper usage.` When the channel hangs up, a line
`HANGUP` comes in between; commands still work after it. The server ends it all by closing the connection.
Source: https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Gateway-Interface-AGI/ and res_agi.c of Asterisk 22.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal

from voicebridge.protocol.variables import NAME

DEFAULT_PORT: Final = 4573
MAX_LINE: Final = 8_192
MAX_REPLY: Final = 32_768
"""Bytes of a value of several lines, and of a usage text."""
MAX_ENVIRONMENT: Final = 32_768
MAX_COMMAND: Final = 2_047
"""Asterisk reads a command into a buffer of 2048 bytes; the rest of a longer one would be a command of its own."""

_REPLY: Final = re.compile(r"(\d{3}) result=(\S*?)(?: \((.*)\))?(?: endpos=\d+)?", re.DOTALL)
_HANGUP: Final = b"HANGUP\n"
_STATUS: Final = re.compile(r"(\d{3})([ -])(.*)", re.DOTALL)
_ENV_NAME: Final = re.compile(r"agi_[a-z0-9_]{1,60}")


class ProtocolError(Exception):
    """The rules of AGI were broken."""


class LocalProtocolError(ProtocolError):
    """By us: a command that cannot be sent safely, or not now."""


class RemoteProtocolError(ProtocolError):
    """By the peer: the connection is of no use any more."""


class NeedData(Enum):
    """Nothing whole has come yet."""

    NEED_DATA = "NEED_DATA"


NEED_DATA: Final = NeedData.NEED_DATA


@dataclass(frozen=True, slots=True)
class Environment:
    """What Asterisk tells of the channel: `agi_channel`, `agi_uniqueid`, `agi_callerid` ...; unknown ones say so."""

    values: Mapping[str, str]

    def get(self, name: str) -> str:
        """Without `agi_`; Asterisk writes `unknown` where it knows nothing, which is "" here."""
        value = self.values.get(f"agi_{name}", "")
        return "" if value == "unknown" else value

    @property
    def script(self) -> str:
        """The path that was asked for, without slashes around it or what follows a `?`."""
        return self.get("network_script").partition("?")[0].strip("/")

    @property
    def arguments(self) -> tuple[str, ...]:
        found: list[str] = []
        while (value := self.values.get(f"agi_arg_{len(found) + 1}")) is not None:
            found.append(value)
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Reply:
    """To one command. `code` 200: done, `result` as the command defines it, `value` what stood in brackets.

    510: unknown command, 511: not on a dead channel, 520: wrong syntax; `value` is the text.
    """

    code: int
    result: str = ""
    value: str | None = None

    @property
    def ok(self) -> bool:
        return self.code == 200


@dataclass(frozen=True, slots=True)
class Hangup:
    """The channel has hung up. Commands that need no living channel still work."""


Event = Environment | Reply | Hangup


class AgiConnection:
    """Feed it what was read, take events until NEED_DATA. Raises RemoteProtocolError, and for ever after that.

    `command` gives the bytes to send and expects a reply; there is one command at a time.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._environment: dict[str, str] | None = {}
        self._environment_size = 0
        self._waiting = False
        self._reply: list[str] = []
        self._reply_size = 0
        self._broken: RemoteProtocolError | None = None

    def feed(self, data: bytes) -> None:
        if self._broken is None:
            self._buffer += data

    def command(self, line: bytes) -> bytes:
        """Raises LocalProtocolError before the environment, while a reply is owed, and for what is not one line.

        Raises RemoteProtocolError where something came that nobody asked for: a variable's value may hold newlines and
        so look like several replies, and the next command would be answered by its rest.
        """
        if self._environment is not None or self._waiting:
            raise LocalProtocolError("a command before the environment, or before the reply to the last")
        if not line.endswith(b"\n") or line.count(b"\n") != 1 or b"\r" in line or b"\0" in line:
            raise LocalProtocolError("a command is one line")
        if len(line) > MAX_COMMAND:
            raise LocalProtocolError(f"a command of {len(line)} bytes, more than {MAX_COMMAND}")
        self._refuse_unasked()
        self._waiting = True
        return line

    def _refuse_unasked(self) -> None:
        """What is there before a command is sent can only be the news of a hangup."""
        unread = bytes(self._buffer)
        while unread.startswith(_HANGUP):
            unread = unread[len(_HANGUP) :]
        if self._broken is None and not _HANGUP.startswith(unread):
            self._broken = RemoteProtocolError("a reply that nobody asked for")
            self._buffer.clear()
        if self._broken is not None:
            raise self._broken

    def next_event(self) -> Event | Literal[NeedData.NEED_DATA]:
        if self._broken is not None:
            raise self._broken
        try:
            while (line := self._line()) is not None:
                event = self._take(line)
                if event is not None:
                    return event
        except RemoteProtocolError as error:
            self._broken = error
            self._buffer.clear()
            raise
        return NEED_DATA

    def events(self) -> Iterator[Event]:
        while (event := self.next_event()) is not NEED_DATA:
            yield event

    def _line(self) -> str | None:
        end = self._buffer.find(b"\n", 0, MAX_LINE + 1)
        if end < 0:
            if len(self._buffer) > MAX_LINE:
                raise RemoteProtocolError(f"a line of more than {MAX_LINE} bytes")
            return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.decode("utf-8", "replace").removesuffix("\r")

    def _take(self, line: str) -> Event | None:
        if self._environment is not None:
            return self._take_environment(line, self._environment)
        if not self._reply and line == "HANGUP":
            return Hangup()
        return self._take_reply(line)

    def _take_environment(self, line: str, found: dict[str, str]) -> Environment | None:
        if not line:
            if "agi_network_script" not in found:
                raise RemoteProtocolError("an environment without agi_network_script: not a FastAGI request")
            self._environment = None
            return Environment(MappingProxyType(found))
        self._environment_size += len(line)
        if self._environment_size > MAX_ENVIRONMENT:
            raise RemoteProtocolError(f"an environment of more than {MAX_ENVIRONMENT} bytes")
        name, colon, value = line.partition(":")
        if not colon or not _ENV_NAME.fullmatch(name):
            raise RemoteProtocolError("a line that is no agi_name: value")
        found.setdefault(name, value.strip())  # the first counts: Asterisk names the script before the caller's text
        return None

    def _take_reply(self, line: str) -> Reply | None:
        if not self._waiting:
            raise RemoteProtocolError("a reply that nobody asked for")
        self._reply.append(line)
        self._reply_size += len(line) + 1
        if self._reply_size > MAX_REPLY:
            raise RemoteProtocolError(f"a reply of more than {MAX_REPLY} bytes")
        reply = _parsed(self._reply)
        if reply is None:
            return None
        self._reply, self._reply_size = [], 0
        if 100 <= reply.code < 200:  # provisional
            return None
        self._waiting = False
        return reply


def _parsed(lines: list[str]) -> Reply | None:
    """None while more lines must come: a usage text, or a value that holds newlines."""
    first = _STATUS.fullmatch(lines[0])
    if first is None:
        raise RemoteProtocolError("a line that is no reply")
    code, mark, text = int(first[1]), first[2], first[3]
    if mark == "-":
        if len(lines) > 1 and lines[-1].startswith(f"{code} "):
            return Reply(code, value=text)
        return None
    if code != 200:
        return Reply(code, value=text)
    if len(lines) == 1 or lines[-1].endswith(")"):
        found = _REPLY.fullmatch("\n".join(lines))
        if found is not None:
            return Reply(code, found[2], found[3])
    if not text.startswith("result=") or " (" not in text:
        raise RemoteProtocolError("a reply without a result")
    return None


# ---- commands


def get_variable(name: str) -> bytes:
    """Replies result=1 (value), or result=0 where there is none."""
    return f"GET VARIABLE {_name(name)}\n".encode("utf-8", "replace")


def get_full_variable(expression: str) -> bytes:
    """`expression` is the dialplan's own, such as `${CALLERID(num)}`: a constant of ours, never text of somebody's."""
    return f"GET FULL VARIABLE {_quoted(expression)}\n".encode("utf-8", "replace")


def set_variable(name: str, value: str) -> bytes:
    """Nothing in `value` is expanded. Clean it (protocol.variables) where it is not ours."""
    return f"SET VARIABLE {_name(name)} {_quoted(value)}\n".encode("utf-8", "replace")


def verbose(text: str, level: int = 1) -> bytes:
    return f"VERBOSE {_quoted(text)} {level:d}\n".encode("utf-8", "replace")


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise LocalProtocolError(f"{name!r} is no name of a channel variable")
    return name


def _quoted(text: str) -> str:
    """One argument. Raises LocalProtocolError for what Asterisk would read as the end of the command."""
    if any(letter in text for letter in "\r\n\0"):
        raise LocalProtocolError("a value of several lines")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
