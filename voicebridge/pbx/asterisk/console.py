"""Asterisk's command line, for questions: by its program (`asterisk -rx`) or by AMI's action Command."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from collections.abc import Callable

from voicebridge.pbx.asterisk.ami import PASSWORD_VARIABLE, AmiAccess, AmiError, connected

Console = Callable[[str], str]
"""Takes a command such as `core show version`, gives what it prints. Raises ConsoleError."""

TIMEOUT_S = 10.0
AMI_PORT = 5038


class ConsoleError(Exception):
    """Asterisk did not answer; the text tells why and what helps."""


def by_program(command: str = "asterisk") -> Console:
    """`command` is how its program is run, e.g. `chroot /srv/pbx asterisk -C /etc/other.conf`; `-rx` may stand last."""
    words = shlex.split(command)
    if not words:
        raise ConsoleError("an empty command: write how asterisk is run, e.g. --asterisk 'sudo asterisk'")
    if words[-1] == "-rx":
        words.pop()

    def ask(question: str) -> str:
        try:
            done = subprocess.run(
                [*words, "-rx", question], capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S
            )
        except FileNotFoundError:
            raise ConsoleError(
                f"{words[0]} is not installed here: name it with --asterisk, or ask over --ami"
            ) from None
        except PermissionError:
            raise ConsoleError(f"{words[0]} may not be run: try --asterisk 'sudo asterisk'") from None
        except subprocess.TimeoutExpired:
            raise ConsoleError(f"{command} has not answered for {TIMEOUT_S:.0f} s: does Asterisk hang?") from None
        if done.returncode:
            said = " ".join((done.stdout + done.stderr).split())[:200]
            raise ConsoleError(
                f"{command} -rx: {said or f'exit {done.returncode}'}: is Asterisk running, and may you ask it (sudo)?"
            )
        return done.stdout

    return ask


def parsed_access(text: str, secret: str = "") -> AmiAccess:
    """`user[:secret]@host[:port]`. Raises ConsoleError."""
    found = re.fullmatch(r"([^:@]+)(?::(.*))?@(\[[0-9A-Fa-f:]+\]|[^:@\[\]]+)(?::(\d{1,5}))?", text)
    if found is None:
        raise ConsoleError(f"--ami: write user@host:port, its secret in {PASSWORD_VARIABLE}, or user:secret@host:port")
    return AmiAccess(found[3].strip("[]"), int(found[4] or AMI_PORT), found[1], found[2] or secret)


def by_ami(access: AmiAccess) -> Console:
    """A connection a question: there are few."""

    async def asked(question: str) -> str:
        async with connected(access) as ami:
            return "\n".join(await ami.command(question))

    def ask(question: str) -> str:
        try:
            return asyncio.run(asked(question))
        except AmiError as error:
            raise ConsoleError(str(error)) from error

    return ask
