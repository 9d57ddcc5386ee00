"""Who wants to know what happens in calls: metrics, the control socket, tracing, plug-ins.

A happening is a flat JSON-able dict with `event`, `call_id`, `at` (unix seconds):

    call_began      agent, caller (as stored), dialled, peer, language
    turn            turn: the turn so far as in the record (redacted); told when it changes, 3 times a second at most
    state           caller, agent: the core's two regions, e.g. "speaking", "thinking"
    call_ended      record: the whole document, as stored

What was said is redacted before it comes here. A subscriber is a plain function that must not block and never fails a
call: what it raises is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

log = logging.getLogger(__name__)

Happening = dict[str, Any]
Subscriber = Callable[[Happening], None]


class Bus:
    """In the daemon's event loop only."""

    def __init__(self) -> None:
        self._subscribers: list[tuple[Subscriber, frozenset[str]]] = []
        self._all = 0
        self._wanted: set[str] = set()

    def subscribe(self, subscriber: Subscriber, events: Collection[str] = ()) -> Callable[[], None]:
        """Returns what ends the subscription. `events`: only these are told, and made; none named means all.

        Who wants no `turn` should say so: of all that is told they are what costs the most to make.
        """
        entry = (subscriber, frozenset(events))
        self._subscribers.append(entry)
        self._count()

        def end() -> None:
            if entry in self._subscribers:
                self._subscribers.remove(entry)
                self._count()

        return end

    def _count(self) -> None:
        self._all = sum(not events for _, events in self._subscribers)
        self._wanted = set().union(*(events for _, events in self._subscribers))

    @property
    def wanted(self) -> bool:
        """Whether anybody listens: making a happening costs time."""
        return bool(self._subscribers)

    def wants(self, event: str) -> bool:
        """Whether anybody listens to this kind of happening."""
        return self._all > 0 or event in self._wanted

    def publish(self, happening: Happening) -> None:
        for subscriber, events in tuple(self._subscribers):
            if events and happening.get("event") not in events:
                continue
            try:
                subscriber(happening)
            except Exception:  # the boundary: an observer's mistake is not the call's
                log.exception("call=%s %s: an observer failed", happening.get("call_id"), happening.get("event"))
