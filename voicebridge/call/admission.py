"""Who may call: places given ahead of the audio (tickets), and how the last calls ended, for the PBX to ask.

Knows no sockets and no clock: every question carries `now` in seconds, all of the same clock.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from voicebridge.conversation.agent import AgentSpec
from voicebridge.conversation.commands import EndCall
from voicebridge.pbx.attach import NOWHERE, AttachRequest, CallEnd, Destination, Refusal, Refused, Ticket

TICKET_S = 10.0
"""From attach to the audio: Answer() and a connection, no more."""
KEEP_S = 120.0
"""So long a call's end may be asked for, and so long an id that was used is refused a second time."""
REMEMBERED = 10_000
"""Ids, at most: a peer that connects a thousand times a second costs no more memory."""
LEG_ENDS = frozenset({"hangup", "dropped", "error", "local"})
"""What legs (`pbx.leg`) call their ends."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A leg without a ticket that may be served: by the default agent, with its own settings."""


@dataclass(frozen=True, slots=True)
class Turned:
    """A leg that must be refused; `why` is for the log."""

    why: str


class Admission:
    """`targets` is the closed set of where callers may be sent; `bare`: legs without a ticket are served, too."""

    def __init__(
        self,
        agents: Collection[str],
        default_agent: str,
        *,
        max_calls: int,
        targets: Mapping[str, Destination] | None = None,
        bare: bool = True,
        ticket_s: float = TICKET_S,
        keep_s: float = KEEP_S,
    ) -> None:
        self._agents = frozenset(agents)
        self._default = default_agent
        self._max = max_calls
        self._targets = dict(targets or {})
        self._bare = bare
        self._ticket_s, self._keep_s = ticket_s, keep_s
        self._pending: dict[UUID, Ticket] = {}
        self._running: dict[UUID, Ticket | None] = {}
        self._ends: dict[UUID, CallEnd] = {}
        self._spent: dict[UUID, float] = {}
        """Ids that were used or ran out, until when they are remembered; in the order of that time."""
        self.draining = False
        """No new places are given, and bare legs are not taken. Who has a place may still come."""
        self.closed = False
        """Nobody comes any more."""
        self.refusals: Counter[str] = Counter()
        """How many calls were not taken, by reason: draining, busy, unknown_agent, ticket, bare."""

    @property
    def pending(self) -> int:
        """Places given away whose audio has not come yet."""
        return len(self._pending)

    def expected(self, now: float) -> int:
        """Places given away whose audio may still come."""
        self._forget(now)
        return len(self._pending)

    @property
    def full(self) -> bool:
        return len(self._running) + len(self._pending) >= self._max

    def serve(self, agents: Collection[str]) -> None:
        """Places are given for these agents from now on."""
        self._agents = frozenset(agents)

    # ---- before the call

    def attach(self, request: AttachRequest, now: float) -> Ticket | Refused:
        """A place for a call that is about to come. An id that is known already is replaced by a new one."""
        self._forget(now)
        agent = request.agent or self._default
        if self.draining:
            return self._refused("DRAINING")
        if agent not in self._agents:
            return self._refused("UNKNOWN_AGENT")
        if self.full:
            return self._refused("BUSY")
        call_id = request.call_id
        if call_id is None or self._knows(call_id):
            call_id = uuid.uuid4()
        ticket = Ticket(call_id, agent, request, now + self._ticket_s, self._destination(request.fallback))
        self._pending[call_id] = ticket
        return ticket

    def redeem(self, call_id: UUID, now: float) -> Ticket | Bare | Turned:
        """The leg with this id has come. A ticket is good once."""
        self._forget(now)
        if self.closed:
            return self._turned("draining", "shutting down")
        if (ticket := self._pending.pop(call_id, None)) is not None:
            self._running[call_id] = ticket
            return ticket
        if self.draining:
            return self._turned("draining", "shutting down")
        if call_id in self._running:
            return self._turned("ticket", "a call of this id is already here")
        if call_id in self._spent:
            return self._turned("ticket", "its ticket was used already, or has run out")
        if not self._bare:
            return self._turned("bare", "it has no ticket, and listen.bare is off")
        if self.full:
            return self._turned("busy", f"{len(self._running) + len(self._pending)} calls of {self._max}")
        self._running[call_id] = None
        return Bare()

    def _refused(self, reason: Refusal) -> Refused:
        self.refusals[reason.lower()] += 1
        return Refused(reason)

    def _turned(self, reason: str, why: str) -> Turned:
        self.refusals[reason] += 1
        return Turned(why)

    def withdraw(self, call_id: UUID, now: float) -> None:
        """The PBX, or whoever made the call, does not want the place any more."""
        if self._pending.pop(call_id, None) is not None:
            self._spend(call_id, now)

    # ---- after it

    def ended(self, call_id: UUID, ending: EndCall | None, ended_by: str, now: float, *, summary: str = "") -> None:
        """`ending` is None where the caller or the PBX ended it; `ended_by` says in a word who and why."""
        self._forget(now)
        self._ends[call_id] = self.foreseen(call_id, ending, ended_by, summary=summary)
        self._running.pop(call_id, None)
        self._spend(call_id, now)

    def outcome(self, call_id: UUID, now: float) -> CallEnd | None:
        """None while the call runs, and for one that is not known (any more)."""
        self._forget(now)
        return self._ends.get(call_id)

    def is_running(self, call_id: UUID) -> bool:
        return call_id in self._running

    def lost(self, call_id: UUID, reason: str) -> CallEnd:
        """What the PBX is told of a call of which it knows more than we do: its fallback."""
        ticket = self._running.get(call_id) or self._pending.get(call_id)
        return CallEnd("FALLBACK", reason, ticket.fallback if ticket is not None else NOWHERE)

    def foreseen(self, call_id: UUID, ending: EndCall | None, ended_by: str, *, summary: str = "") -> CallEnd:
        """What the PBX is told of a running call that ends like this."""
        ticket = self._running.get(call_id)
        fallback = ticket.fallback if ticket is not None else NOWHERE
        if ending is None:  # whoever asks for it still has the caller: the leg broke, and the agent did not end it
            return CallEnd("FALLBACK", "audio_lost" if ended_by in LEG_ENDS else ended_by, fallback, summary)
        if ending.outcome == "hangup":
            return CallEnd("HANGUP", ending.reason, summary=summary)
        target = self._destination(ending.target)
        if ending.outcome == "transfer" and target != NOWHERE:
            return CallEnd("TRANSFER", ending.reason, target, summary)
        return CallEnd("FALLBACK", ending.reason, fallback, summary)

    def _destination(self, name: str) -> Destination:
        """Only what stands in the configuration is a destination."""
        return self._targets.get(name, NOWHERE)

    # ---- what is remembered

    def _knows(self, call_id: UUID) -> bool:
        return call_id in self._pending or call_id in self._running or call_id in self._spent

    def _spend(self, call_id: UUID, now: float) -> None:
        self._spent.pop(call_id, None)
        self._spent[call_id] = now + self._keep_s
        if len(self._spent) > REMEMBERED:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        oldest = next(iter(self._spent))
        del self._spent[oldest]
        self._ends.pop(oldest, None)

    def _forget(self, now: float) -> None:
        """Tickets nobody came with, and ends nobody has asked for. Oldest first, so this costs what it drops."""
        while self._pending and (first := next(iter(self._pending.values()))).expires_at <= now:
            del self._pending[first.call_id]
            self._spend(first.call_id, now)
        while self._spent and next(iter(self._spent.values())) <= now:
            self._drop_oldest()


def spec_for(agent: AgentSpec, request: AttachRequest) -> AgentSpec:
    """The agent as one call wants it."""
    limits = agent.limits
    if request.max_s is not None:
        limits = dataclasses.replace(limits, call_s=request.max_s)
    if request.no_input_s is not None:
        limits = dataclasses.replace(limits, no_input_s=request.no_input_s)
    return dataclasses.replace(
        agent,
        language=request.language or agent.language,
        greeting=request.greeting or agent.greeting,
        call_facts=(*agent.call_facts, *(f"{name}: {value}" for name, value in request.facts)),
        limits=limits,
    )
