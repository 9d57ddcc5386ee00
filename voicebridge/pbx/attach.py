"""What a PBX tells of a call before its audio comes, and is told when it has ended. Plain data, whatever the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

Refusal = Literal["BUSY", "UNKNOWN_AGENT", "DRAINING"]
Result = Literal["HANGUP", "TRANSFER", "FALLBACK"]


@dataclass(frozen=True, slots=True)
class AttachRequest:
    """One call's settings; what is empty or None is as the agent has it.

    `fallback` is the name of a target. `facts` are (name, value), told to the model. `max_s`, `no_input_s`: seconds.
    `tells_hangup`: whether the PBX will also say, when its channel ends in the middle of the call, who hung up.
    `caller`, `caller_name`, `dialled`, `channel` and `unique_id` are the PBX's, not checked by anybody.
    """

    agent: str = ""
    call_id: UUID | None = None
    language: str = ""
    greeting: str = ""
    fallback: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    max_s: float | None = None
    no_input_s: float | None = None
    caller: str = ""
    caller_name: str = ""
    dialled: str = ""
    channel: str = ""
    unique_id: str = ""
    tells_hangup: bool = False


@dataclass(frozen=True, slots=True)
class Destination:
    """A configured target as the dialplan needs it: `kind` queue, extension, context, sip or endpoint; `dest` its
    value (a queue's name; `exten@context`; `context,exten,priority`; a URI; a dial string)."""

    name: str = ""
    kind: str = ""
    dest: str = ""


NOWHERE = Destination()


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place for one call, for the leg that comes with this id until `expires_at` (the clock of who asked), once.

    `fallback`: where the dialplan should send the caller if the daemon is not there any more to say so.
    """

    call_id: UUID
    agent: str
    request: AttachRequest
    expires_at: float
    fallback: Destination = NOWHERE


@dataclass(frozen=True, slots=True)
class Refused:
    reason: Refusal


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended, for the dialplan. `target` is NOWHERE or a configured one."""

    result: Result
    reason: str
    target: Destination = NOWHERE
    summary: str = ""


class FrontDesk(Protocol):
    """Who admits calls and knows how they ended (`call.admission.Admission` behind the daemon)."""

    def attach(self, request: AttachRequest) -> Ticket | Refused: ...

    async def outcome(self, call_id: UUID) -> CallEnd:
        """Waits shortly where the call is still ending; FALLBACK where nothing is known of it."""
