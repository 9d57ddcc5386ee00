"""What a plug-in that is told of calls has to be. Its entry point (`voicebridge.events`) is an object with

    create(options, folder) -> EventHook

options   the table `[events.NAME]`, a dict; raise ValueError("KEY: what is wrong") where it cannot be used
folder    a Path below the store where the hook may keep things; it makes it when it needs it, mode 0700

Example: plugins/README.md. Happenings, and when they come: `voicebridge.trace.bus`. A record:
`voicebridge.trace.record`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

EVENTS = frozenset({"call_began", "turn", "state", "call_ended"})


@runtime_checkable
class EventHook(Protocol):
    """Called in the daemon's event loop, one happening at a time: it must not block; files and sums go to a thread.

    `async def start(self)`, where it has one, is called first. Where it delivers later, it may tell metrics how far it
    is by `queued`, `delivered` and `failed`.
    """

    events: frozenset[str]
    """Those that it wants, of EVENTS. `turn` comes up to three times a second and call: `call_ended` has all of it."""

    async def handle(self, happening: dict[str, Any]) -> None:
        """Has 10 s; what it raises is logged, and the call knows nothing of it. The dict is shared: do not change it.
        """

    async def close(self) -> None:
        """At the end of the daemon, once; has 3 s."""


class EventPlugin(Protocol):
    def create(self, options: Mapping[str, Any], folder: Path) -> EventHook: ...
