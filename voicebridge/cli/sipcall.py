"""The part of `voicebridge call` that is a SIP telephone: `--sip`."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from voicebridge.cli import testcall
from voicebridge.config import Settings
from voicebridge.installation import cure
from voicebridge.phone import Heard, Line, PhoneError
from voicebridge.trace.store import NoStoreError, StoreError, open_calls

NEAR_S = 2.5
"""A record that begins or ends so much elsewhere is another call's."""
SURE_S = 1.0
"""So long the record with our own id is waited for before one is taken that fits by time."""

Record = dict[str, Any]
Received = dict[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])


NO_SOUND = (
    "the call was answered and no sound came: does the PBX send its RTP to an address of this machine (NAT, a firewall "
    "for UDP), and does the extension lead to the agent?"
)


@dataclass(frozen=True, slots=True)
class Placed:
    """`received`: what the line was like (`sip.phone.Received`); `began`: when it was answered, unix seconds."""

    heard: Heard
    received: Received
    began: float


@dataclass(frozen=True, slots=True)
class SipOptions:
    """As they were given. `target` is None where it is no SIP call."""

    target: str | None
    user: str | None
    password_env: str | None
    register: bool
    headers: tuple[str, ...]
    local: str | None

    def check(self, *, address: str | None, rate: int) -> None:
        """Raises ValueError: what does not go together."""
        if self.target is None:
            if any((self.user, self.password_env, self.register, self.headers, self.local)):
                raise ValueError("--user, --password-env, --register, --header and --local are for --sip")
            return
        if address is not None:
            raise ValueError("either --to (AudioSocket, past the PBX) or --sip (through the PBX), not both")
        if rate != 8_000:
            raise ValueError("a SIP call is G.711, 8000 samples a second: leave out --rate")
        if (self.password_env or self.register) and not self.user:
            raise ValueError("--password-env and --register want --user, too")

    @property
    def password(self) -> str | None:
        """None for a guest. Raises ValueError."""
        if not self.password_env:
            return None
        if self.password_env not in os.environ:
            raise ValueError(f"--password-env {self.password_env}: there is no such variable in the environment")
        return os.environ[self.password_env]


def sip_options(command: Command) -> Command:
    """The options of a SIP call."""
    for option in reversed((
        click.option("--sip", "sip", metavar="sip:EXTENSION@PBX[:PORT]",
                     help="Call the PBX as a telephone, over SIP (extra `sip`)."),
        click.option("--user", help="With --sip: who calls (the PBX's endpoint); without it a guest."),
        click.option("--password-env", metavar="NAME", help="The variable that holds the user's password."),
        click.option("--register", is_flag=True,
                     help="Register before, and take it back: only where the PBX wants it, as it may "
                          "displace the user's own telephone."),
        click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="With --sip: for the INVITE."),
        click.option("--local", metavar="ADDRESS", help="With --sip: from which address of this machine."),
    )):  # fmt: skip
        command = option(command)
    return command


def place(options: SipOptions, lines: Sequence[Line], tell: Callable[[str], None]) -> Placed:
    """The call, to its end. Raises PhoneError, ValueError."""
    from voicebridge.load.run import Target

    assert options.target is not None
    target, password = Target.parsed(options.target), options.password
    try:
        from voicebridge.sip.phone import GUEST, SipPhone
    except ModuleNotFoundError as error:
        raise PhoneError(f"a SIP call needs what is not installed here ({error.name}): {cure('sip')}") from error
    phone = SipPhone(
        target, user=options.user or GUEST, password=password, register=options.register, headers=options.headers,
        local=options.local, on_event=tell,
    )  # fmt: skip
    heard = asyncio.run(phone.call(lines))
    began = time.time() - (time.monotonic() - phone.zero)
    received = phone.received
    assert received is not None  # who was not answered raised
    return Placed(heard, dataclasses.asdict(received), began)


def record_of(settings: Settings, placed: Placed) -> Record | None:
    """The daemon's record of the call: with our id, where the dialplan hands on X-VB-Call, else by its times."""
    began_looking = time.monotonic()
    began, ended = placed.began, placed.began + placed.heard.seconds
    while True:
        try:
            records = list(open_calls(settings).records(began - NEAR_S, ended + NEAR_S))
        except (NoStoreError, StoreError):
            records = []
        own = next((record for record in records if record["call_id"] == placed.heard.call_id), None)
        if own is not None:
            return own
        looked_s = time.monotonic() - began_looking
        near = [record for record in records if _distance(record, began, ended) <= NEAR_S]
        if near and looked_s > min(SURE_S, testcall.RECORD_WAIT_S):
            return min(near, key=lambda record: _distance(record, began, ended))
        if looked_s > testcall.RECORD_WAIT_S:
            return None
        time.sleep(0.1)


def _distance(record: Record, began: float, ended: float) -> float:
    over = float(record["began_at"]) + float(record["seconds"])
    return max(abs(float(record["began_at"]) - began), abs(over - ended))


def told(received: Received) -> str:
    """The line in words."""
    return (
        f"answered after {received['answered_s']:.1f} s; {received['codec']}: {received['packets']} packets received, "
        f"{received['lost']} lost, {received['reordered']} out of order, jitter at most "
        f"{received['jitter_s'] * 1000:.1f} ms"
    )
