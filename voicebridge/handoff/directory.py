"""Who can be reached under which name, and where a caller goes when nobody is there. Pure: `now` is an argument.

`Directory.destination` is the one gate between words and the telephone network. Whatever comes out of this room was
looked up there; a name that is not configured is nothing, and no part of it goes any further.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from voicebridge.conversation.agent import AgentSpec
from voicebridge.hours import is_open, next_opening
from voicebridge.targets import Target, named_by

Refusal = Literal["closed", "unknown_target", "failed"]


@dataclass(frozen=True, slots=True)
class Destination:
    """A configured target with its name. Only `Directory.destination` makes them."""

    name: str
    target: Target

    @property
    def label(self) -> str:
        return self.target.label or self.name.replace("_", " ").replace("-", " ")


@dataclass(frozen=True, slots=True)
class Resolution:
    """Where to, at this moment: `destination`, or a `cause` why there is none.

    `warm`: a human is to be called while the caller waits. `passed` are the targets that were passed over on the way,
    `opens` is the first moment at which one of these opens, where they were closed.
    """

    destination: Destination | None = None
    warm: bool = False
    cause: Refusal | None = None
    passed: tuple[str, ...] = ()
    opens: datetime | None = None


class Directory:
    """The closed set of where callers can be sent: `targets`, or those of them that are `allowed` and what these name
    as `next`."""

    def __init__(self, targets: Mapping[str, Target], allowed: Collection[str] | None = None) -> None:
        self._targets = dict(targets)
        if allowed is not None:
            reached = {name for first in allowed for name in self._way_on(first)}
            self._targets = {name: target for name, target in targets.items() if name in reached}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._targets)

    def for_agent(self, agent: AgentSpec) -> Directory:
        """What is open to this agent's callers."""
        return Directory(self._targets, {name for _, name in named_by(agent)})

    def destination(self, name: object) -> Destination | None:
        """The gate: a configured target by its exact name, whatever else is asked for is None."""
        target = self._targets.get(name) if isinstance(name, str) else None
        return Destination(name, target) if isinstance(name, str) and target is not None else None

    def resolve(self, name: object, now: datetime, *, can_warm: bool, tried: Collection[str] = ()) -> Resolution:
        """The target, or the next of those that are closed (or need ARI, where there is none: `can_warm`).

        `tried` are not offered again. A warm target without ARI is announced.
        """
        passed: list[str] = []
        cause: Refusal = "unknown_target"
        opens: datetime | None = None
        wanted = name
        while (found := self.destination(wanted)) is not None and found.name not in (*passed, *tried):
            target = found.target
            if not is_open(target.opening, now):
                cause = "closed"
                opens = _earlier(opens, next_opening(target.opening, now))
            elif target.kind == "sip" and not can_warm:
                cause = "failed"
            else:
                return Resolution(found, target.strategy == "warm" and can_warm, None, tuple(passed), opens)
            passed.append(found.name)
            wanted = target.next
        return Resolution(None, False, cause, tuple(passed), opens)

    def _way_on(self, first: str) -> list[str]:
        """`first` and the targets behind it by `next`, as far as they are configured."""
        way: list[str] = []
        while first in self._targets and first not in way:
            way.append(first)
            first = self._targets[first].next
        return way


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)
