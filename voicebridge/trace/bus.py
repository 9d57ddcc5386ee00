"""Who wants to know what happens in calls: metrics, the control socket, tracing, plug-ins.

A happening is a flat JSON-able dict with `event`, `call_id`, `at` (unix seconds):

    call_began      agent, caller (as stored), dialled, peer, language
    turn            turn: the turn so far as in the record; told when it changes (redacted), ten times a second at most
    state           caller, agent: the core's two regions, e.g. "speaking", "thinking"
    call_ended      record: the whole document, as stored

What was said is redacted before it comes here. A subscriber is a plain function that must not block and never fails a
call: what it raises is logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

Happening = dict[str, Any]
Subscriber = Callable[[Happening], None]


class Bus:
    """In the daemon's event loop only."""

    def __init__(self) -> None:
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Returns what ends the subscription."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    @property
    def wanted(self) -> bool:
        """Whether anybody listens: making a happening costs time."""
        return bool(self._subscribers)

    def publish(self, happening: Happening) -> None:
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(happening)
            except Exception:  # the boundary: an observer's mistake is not the call's
                log.exception("call=%s %s: an observer failed", happening.get("call_id"), happening.get("event"))
